//! The error type of the crate: what failed, where, why, and what the user should do.
//!
//! The [`ErrorKind`] decides the exit code. The context names the connection, repository, entity, table, file or column.
//! The hint is the fix. `Display` writes one line, so that logs, the terminal and the run report show the same text.
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

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, which tells who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line or the query names something that does not exist.
    Usage,
    /// `bitlake.toml`, the environment, a user's SQL or an outside table must be corrected.
    Configuration,
    /// The server does not accept the credentials, or they lack a scope for everything asked.
    Credentials,
    /// The request budget or the deadline is used up; state is saved and the next run resumes.
    Quota,
    /// Ctrl-C or SIGTERM; state is saved and the next run resumes.
    Interrupted,
    /// The host cannot be reached, or its response is not Bitbucket's.
    Unreachable,
    /// The lake has nothing yet that the command could work on.
    Empty,
    /// Bitbucket refused a request, or failed it after all retries.
    Api,
    /// Data does not match its contract. Nothing is published.
    Contract,
    /// The lake cannot be read or written, or another run holds it.
    Lake,
    /// A defect of bitlake.
    Internal,
}

impl ErrorKind {
    /// Return the exit code of the process; docs/src/command-line.md has the table.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unreachable | Self::Api | Self::Empty => 1,
            Self::Usage | Self::Configuration => 2,
            Self::Credentials => 3,
            Self::Quota | Self::Interrupted => 4,
            Self::Contract | Self::Lake | Self::Internal => 5,
        }
    }
}

/// The part of a network path that failed, if it is not the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFailure {
    /// The proxy requires credentials, or does not accept them.
    ProxyAuthentication,
    /// The proxy refuses to connect to the host.
    ProxyRefusal,
    /// The certificate is not signed by a known authority, or is not the host's.
    Certificate,
}

/// An error with its kind, context, cause and hint. The content is boxed to keep `Result<T>` small.
#[derive(thiserror::Error)]
#[error("{}", .0)]
pub struct Error(Box<ErrorDetails>);

struct ErrorDetails {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    status: Option<StatusCode>,
    network_failure: Option<NetworkFailure>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Create an error. The `message` is in lower case, without a full stop and without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorDetails {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            status: None,
            network_failure: None,
            source: None,
        }))
    }

    /// Add context, such as `.with("repository", full_name)`. The first value of a key wins, because it is nearest to
    /// the cause.
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

    /// Record what broke the connection. The first value wins.
    #[must_use]
    pub fn with_network_failure(mut self, failure: NetworkFailure) -> Self {
        self.0.network_failure.get_or_insert(failure);
        self
    }

    /// Add what the user should do. The first hint wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Set the error that caused this one.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Return the kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Return the HTTP status of the response that caused the error; `None` if no response did.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Return what broke the connection, if that is known.
    pub fn network_failure(&self) -> Option<NetworkFailure> {
        self.0.network_failure
    }

    /// Return the first error of type `T` among the sources of the error.
    pub fn find_cause<T: StdError + 'static>(&self) -> Option<&T> {
        find_cause(self.0.source.as_deref()?)
    }

    /// Return the message without context, cause and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Return what the user should do, which [`Error::hint`] has set.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Return the context under `key`.
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
        let mut written = self.message.clone();
        while let Some(source) = cause {
            // Libraries often repeat the message of their cause in their own message.
            let text = one_line(&source.to_string());
            if !written.contains(&text) {
                write!(f, ": {text}")?;
                written = text;
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
        // An error of ours shows its sources in its own text and hides them from `source`.
        next = match error.downcast_ref::<Error>() {
            Some(ours) => ours.0.source.as_deref().map(|source| source as _),
            None => error.source(),
        };
    }
    None
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Converts an error of a library: `.or_error(ErrorKind::Lake, "cannot read the manifest")?`.
pub trait OrError<T> {
    /// Return the value, or an [`Error`] whose source is the library's error.
    ///
    /// # Errors
    /// An error of `kind` if the result is an error.
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
