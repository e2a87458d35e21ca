//! Records where a setting was written, so that an error can name the line.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// The place where a setting was written: a line of `bitlake.toml`, or an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPlace {
    /// The configuration file; for an override, the name of the environment variable or `command line`.
    pub file: PathBuf,
    /// The line, from 1; 0 for overrides and defaults, which are in no file.
    pub line: usize,
}

impl ConfigPlace {
    /// Return the place of a line of `file`.
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self {
            file: file.to_path_buf(),
            line,
        }
    }

    /// Return the place of an override, whose origin is `source`.
    pub(super) fn outside(source: &str) -> Self {
        Self::new(Path::new(source), 0)
    }

    /// Return whether the setting was written in the file.
    pub(super) fn is_in_file(&self) -> bool {
        self.line > 0
    }

    /// Return an [`ErrorKind::Configuration`] error at this place.
    pub fn error(&self, message: impl Into<String>) -> Error {
        self.locate(Error::new(ErrorKind::Configuration, message))
    }

    /// Add this place to `error`.
    pub fn locate(&self, error: Error) -> Error {
        if self.is_in_file() {
            error
                .with("file", self.file.display())
                .with("line", self.line)
        } else {
            error.with("from", self.file.display())
        }
    }
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.is_in_file() {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}
