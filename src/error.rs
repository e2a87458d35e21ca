//! One error type, made for the person who must act: what failed, where, why, and what to do about it.
//!
//! The [`ErrorKind`] decides the exit code; the context names connection, repository, entity, table, file or column;
//! the hint is the fix. `Display` is one line, so that a log line, a terminal and the run report all say the same.
//!
//! ```
//! use bitlake::error::{Error, ErrorKind};
//! let error = Error::new(ErrorKind::Configuration, "unknown key `enities`")
//!     .with("file", "bitlake.toml")
//!     .with("line", 12)
//!     .hint("did you mean `entities`?");
//! assert_eq!(
//!     error.to_string(),
//!     "unknown key `enities` (file=bitlake.toml, line=12): did you mean `entities`?"
//! );
//! assert_eq!(error.kind().exit_code(), 2);
//! ```

use std::error::Error as StdError;
use std::fmt;

use reqwest::StatusCode;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line or the query asks for something that does not exist.
    Usage,
    /// `bitlake.toml`, the environment, a user's SQL or an outside table must be corrected.
    Configuration,
    /// The server does not accept the credentials, or they lack a scope for everything asked.
    Credentials,
    /// The request budget or the deadline is used up; state is saved and the next run goes on.
    Quota,
    /// Ctrl-C or SIGTERM; state is saved and the next run goes on.
    Interrupted,
    /// The host cannot be reached, or answers what no Bitbucket answers.
    Unreachable,
    /// Bitbucket refused or failed one request for good.
    Api,
    /// Data does not match its contract: nothing is published.
    Contract,
    /// The lake cannot be read or written, or another run holds it.
    Lake,
    /// A mistake of ours.
    Internal,
}

impl ErrorKind {
    /// The process's exit code; docs/src/command-line.md has the table.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unreachable | Self::Api => 1,
            Self::Usage | Self::Configuration => 2,
            Self::Credentials => 3,
            Self::Quota | Self::Interrupted => 4,
            Self::Contract | Self::Lake | Self::Internal => 5,
        }
    }
}

/// See the module's page. Boxed inside, so that `Result<T>` stays small.
#[derive(thiserror::Error)]
#[error("{}", .0)]
pub struct Error(Box<ErrorDetails>);

struct ErrorDetails {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    status: Option<StatusCode>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `message`: lower case, no full stop, no secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorDetails {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            status: None,
            source: None,
        }))
    }

    /// Adds where it happened: `.with("repository", full_name)`. The first value for a key wins, because it is the
    /// one nearest to the cause.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        if !self.0.context.iter().any(|(known, _)| *known == key) {
            self.0.context.push((key, value.to_string()));
        }
        self
    }

    /// Record the HTTP status of the response that caused the error, and show it as context `status`. The first
    /// status wins.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status.get_or_insert(status);
        self.with("status", status.as_u16())
    }

    /// What the reader should do. The first hint wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status of the response that caused the error; `None` when no response did.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The first cause of type `T` in the chain of sources.
    #[must_use]
    pub fn cause<T: StdError + 'static>(&self) -> Option<&T> {
        find_cause(self.0.source.as_deref()?)
    }

    /// What the reader should do, as [`Error::hint`] was told.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Return the first cause of type `E` among the sources of the error.
    pub fn find_cause<E: StdError + 'static>(&self) -> Option<&E> {
        let mut cause: Option<&(dyn StdError + 'static)> =
            self.0.source.as_deref().map(|source| source as _);
        while let Some(source) = cause {
            if let Some(found) = source.downcast_ref::<E>() {
                return Some(found);
            }
            if let Some(error) = source.downcast_ref::<Self>() {
                return error.find_cause();
            }
            cause = source.source();
        }
        None
    }

    /// The value recorded under `key`, if any.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.0
            .context
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for ErrorDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (n, (key, value)) in self.context.iter().enumerate() {
            write!(f, "{}{key}={value}", if n == 0 { " (" } else { ", " })?;
        }
        if !self.context.is_empty() {
            f.write_str(")")?;
        }
        let mut cause: Option<&dyn StdError> = self.source.as_deref().map(|source| source as _);
        let mut said = self.message.clone();
        while let Some(source) = cause {
            // Libraries often repeat their cause in their own message; saying it twice helps nobody.
            let text = one_line(&source.to_string());
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = source.source();
        }
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0)
    }
}

/// Return the first error of type `T` among `error` and its sources.
pub(crate) fn find_cause<'a, T: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lifts a library's error into ours: `.or_error(ErrorKind::Lake, "cannot read the manifest")?`.
pub trait OrError<T> {
    fn or_error(self, kind: ErrorKind, message: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrError<T> for std::result::Result<T, E> {
    fn or_error(self, kind: ErrorKind, message: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::new(kind, message).source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_context_cause_and_hint() {
        let cause = std::io::Error::other("disk\n  full");
        let error = Error::new(ErrorKind::Lake, "cannot write")
            .with("table", "domain.repos")
            .with("table", "ignored")
            .source(cause)
            .hint("free some space");
        assert_eq!(
            error.to_string(),
            "cannot write (table=domain.repos): disk full: free some space"
        );
    }
}
