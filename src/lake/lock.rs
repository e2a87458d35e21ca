//! Who may write a lake on local disk: the operating system's file lock, which ends with the process that holds it.
//!
//! On S3 no lock is taken here: the intent in the manifest decides there, see [`super::publish`].

use std::fs::{File, TryLockError};

use super::{Lake, layout};
use crate::error::{Error, ErrorKind, Result};

/// Held while a run writes; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct LakeLock {
    _file: Option<File>,
    is_alone: bool,
}

impl LakeLock {
    /// Whether nobody else writes to the lake; never known of a bucket.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Lake {
    /// Takes the lake for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when another process holds it: nothing was touched.
    pub fn lock(&self) -> Result<LakeLock> {
        self.take(File::try_lock, true)
    }

    /// Takes the lake for collecting beside others who do no more than that.
    ///
    /// # Errors
    /// As [`Lake::lock`].
    pub fn lock_shared(&self) -> Result<LakeLock> {
        self.take(File::try_lock_shared, false)
    }

    fn take(
        &self,
        lock: fn(&File) -> Result<(), TryLockError>,
        is_alone: bool,
    ) -> Result<LakeLock> {
        let Some(folder) = self.folder() else {
            return Ok(LakeLock {
                _file: None,
                is_alone: false,
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
                is_alone,
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
