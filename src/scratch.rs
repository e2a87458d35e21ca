//! The folder for this process's temporary files, and what dead processes left of theirs.
//!
//! ```text
//! TMPDIR/bitlake-x7Kq2p/lock      held by the process for as long as it lives
//!                      /…         everything else: staging, segments, what queries spill
//! ```
//!
//! A process that is killed removes nothing. The operating system lets go of its lock, and the next run removes the folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "bitlake-";
const LOCK: &str = "lock";
/// How often a folder is made that another process takes for a dead one's before it is locked.
const TRIES: usize = 8;

/// The folder; removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a folder in the system's one for temporary files, and has all temporary files of this process created
    /// in it. `None` when that is not possible: they are then created beside it.
    pub fn open() -> Option<Self> {
        let scratch = Self::create_in(&std::env::temp_dir())?;
        tempfile::env::override_temp_dir(scratch.folder.path()).ok()?;
        Some(scratch)
    }

    fn create_in(parent: &Path) -> Option<Self> {
        let attempt = || -> std::io::Result<Option<Self>> {
            // The engine takes no path with `..` in it.
            let parent = parent.canonicalize()?;
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = File::create(&path)?;
            // A sweep may have come first, and then holds or has removed it.
            Ok((lock.try_lock().is_ok() && path.exists()).then_some(Self {
                folder,
                _lock: lock,
            }))
        };
        (0..TRIES).find_map(|_| attempt().ok().flatten())
    }
}

/// Removes the folders of processes that do not live any more.
pub fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        if is_ours
            && is_folder
            && let Err(error) = remove_if_dead(entry.path())
        {
            tracing::debug!(folder = %entry.path().display(), "cannot remove: {error}");
        }
    }
}

fn remove_if_dead(folder: PathBuf) -> std::io::Result<()> {
    let lock = match File::open(folder.join(LOCK)) {
        // Its process died before it could lock it, or is about to; it makes another one then.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::remove_dir(folder).ok();
            return Ok(());
        }
        lock => lock?,
    };
    match lock.try_lock() {
        Ok(()) => std::fs::remove_dir_all(folder),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(parent: &Path) -> usize {
        std::fs::read_dir(parent).unwrap().count()
    }

    #[test]
    fn a_folder_that_is_named_by_a_way_around_is_named_by_its_own_path() {
        let parent = tempfile::tempdir().unwrap();
        let around = parent.path().join("aside/..");
        std::fs::create_dir(parent.path().join("aside")).unwrap();
        let scratch = Scratch::create_in(&around).unwrap();
        let own = parent.path().canonicalize().unwrap();
        assert_eq!(scratch.folder.path().parent(), Some(own.as_path()));
    }

    #[test]
    fn only_folders_of_dead_processes_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Scratch::create_in(parent.path()).unwrap();
        std::fs::write(alive.folder.path().join("part"), "x").unwrap();
        let dead = parent.path().join("bitlake-dead");
        std::fs::create_dir_all(dead.join("staging")).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        std::fs::create_dir(parent.path().join("bitlake-before-its-lock")).unwrap();
        let others = parent.path().join("bitlake-of-somebody");
        std::fs::create_dir_all(&others).unwrap();
        std::fs::write(others.join("file"), "").unwrap();
        sweep_in(parent.path());
        assert!(alive.folder.path().join("part").exists() && others.exists());
        assert_eq!(folders(parent.path()), 2);
        drop(alive);
        assert_eq!(folders(parent.path()), 1);
    }
}
