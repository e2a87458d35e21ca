//! The lock of a lake on local disk: the operating system's file lock, which it releases when the process exits.
//!
//! In a bucket there is no lock; the lease in the manifest excludes other publishers there, see [`super::lease`].

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::time::Duration;

use super::layout;
use super::store::Lake;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The permission to write to a lake, until it is dropped.
#[derive(Debug)]
pub struct LakeLock {
    file: Option<File>,
    is_exclusive: bool,
}

/// The wait before a lock is tried again: a process that only asks who holds the lock has it for an instant.
const RETRY: Duration = Duration::from_millis(100);

impl LakeLock {
    /// Write who holds the lock into its file, for [`Lake::lock_owner`]. In a bucket there is no such file.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the file cannot be written.
    pub fn set_owner(&mut self, owner: &str) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(owner.as_bytes()));
        written.or_error(ErrorKind::Lake, "cannot write the lock of the lake")
    }

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

    /// Return what the process wrote that has the lock; `None` if no process has it, or if that is unknown, as in a bucket.
    pub fn lock_owner(&self) -> Option<String> {
        let path = self.folder()?.join(layout::LOCK);
        let file = File::open(&path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => std::fs::read_to_string(&path).ok(),
            _ => None,
        }
    }

    fn try_lock(
        &self,
        lock: fn(&File) -> Result<(), TryLockError>,
        is_exclusive: bool,
    ) -> Result<LakeLock> {
        let Some(folder) = self.folder() else {
            return Ok(LakeLock {
                file: None,
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
        let locked = match lock(&file) {
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(RETRY);
                lock(&file)
            }
            locked => locked,
        };
        match locked {
            // What a former process wrote says nothing of this one.
            Ok(()) if is_exclusive && file.set_len(0).is_err() => Err(Error::new(
                ErrorKind::Lake,
                "cannot write the lock of the lake",
            )),
            Ok(()) => Ok(LakeLock {
                file: Some(file),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_owner_of_a_lock_is_known_until_the_lock_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let lake = Lake::create(url, &BTreeMap::new()).unwrap();
        assert_eq!(lake.lock_owner(), None);
        let mut lock = lake.lock().unwrap();
        assert_eq!(lake.lock_owner().as_deref(), Some(""));
        lock.set_owner("a long name").unwrap();
        lock.set_owner("run").unwrap();
        assert_eq!(lake.lock_owner().as_deref(), Some("run"));
        assert!(lake.lock().is_err());
        drop(lock);
        assert_eq!(lake.lock_owner(), None);
        let _next = lake.lock().unwrap();
        assert_eq!(lake.lock_owner().as_deref(), Some(""));
    }
}
