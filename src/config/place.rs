//! Where a setting was written, because an error that names the line is fixed in seconds.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// A line of `bitlake.toml`. Line 0 stands for a value that is in no file: an override or a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPlace {
    /// The configuration file; for an override the environment variable or `command line`.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl ConfigPlace {
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self {
            file: file.to_path_buf(),
            line,
        }
    }

    /// A value given outside the file.
    pub(super) fn outside(source: &str) -> Self {
        Self::new(Path::new(source), 0)
    }

    /// An [`ErrorKind::Configuration`] error at this place.
    pub fn error(&self, message: impl Into<String>) -> Error {
        self.locate(Error::new(ErrorKind::Configuration, message))
    }

    /// Adds this place to an error of any kind.
    pub fn locate(&self, error: Error) -> Error {
        if self.line == 0 {
            error.with("from", self.file.display())
        } else {
            error
                .with("file", self.file.display())
                .with("line", self.line)
        }
    }
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}
