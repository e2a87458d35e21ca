//! The lock of a lake on local disk: the operating system's file lock, which it releases when the process exits.
//!
//! In a bucket there is no lock; the lease in the manifest excludes other publishers there, see [`super::lease`].

use std::fs::{File, TryLockError};

use super::layout;
use super::store::Lake;
use crate::error::{Error, ErrorKind, Result};

/// The permission to write to a lake, until it is dropped.
#[derive(Debug)]
pub struct LakeLock {
    _file: Option<File>,
    is_exclusive: bool,
}

impl LakeLock {
    /// Whether no other process writes to the lake; false in a bucket, where that is unknown.
    pub(super) fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }
}

impl Lake {
    /// Lock the lake for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when another process has the lock; the lake is unchanged.
    pub fn lock(&self) -> Result<LakeLock> {
        self.try_lock(File::try_lock, true)
    }

    /// Lock the lake for collecting, which several processes may do at the same time.
    ///
    /// # Errors
    /// As [`Lake::lock`].
    pub fn lock_shared(&self) -> Result<LakeLock> {
        self.try_lock(File::try_lock_shared, false)
    }

    fn try_lock(
        &self,
        lock: fn(&File) -> Result<(), TryLockError>,
        is_exclusive: bool,
    ) -> Result<LakeLock> {
        let Some(folder) = self.folder() else {
            return Ok(LakeLock {
                _file: None,
                is_exclusive: false,
            });
        };
        let path = folder.join(layout::LOCK);
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Lake, "cannot lock the lake")
                .with("file", path.display())
                .source(source)
                .hint("check the folder's permissions")
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match lock(&file) {
            Ok(()) => Ok(LakeLock {
                _file: Some(file),
                is_exclusive,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Lake,
                "another run is writing this lake",
            )
            .with("lake", self.url())
            .hint("wait for it to end; nothing was changed")),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
