//! Manages the folder for the temporary files of this process, and removes the folders of killed processes.
//!
//! ```text
//! TMPDIR/bitlake-x7Kq2p/lock      locked by the process until it ends
//!                      /…         everything else: staging, segments, what queries spill
//! ```
//!
//! A killed process leaves its folder. The operating system releases its lock, and the next run removes the folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "bitlake-";
const LOCK: &str = "lock";
/// How often creating a folder is tried. Another process may remove a folder before it is locked.
const ATTEMPTS: usize = 8;

/// The folder, which is removed on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Create a folder below the system's folder for temporary files, and let this process create its temporary files in
    /// it. Return `None` if that fails; temporary files are then created in the system's folder.
    pub(crate) fn open() -> Option<Self> {
        let scratch = Self::create_in(&std::env::temp_dir())?;
        tempfile::env::override_temp_dir(scratch.folder.path()).ok()?;
        Some(scratch)
    }

    fn create_in(parent: &Path) -> Option<Self> {
        let attempt = || -> std::io::Result<Option<Self>> {
            // The engine refuses paths that contain `..`.
            let parent = parent.canonicalize()?;
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = File::create(&path)?;
            // Another process may have locked or removed the folder.
            Ok((lock.try_lock().is_ok() && path.exists()).then_some(Self {
                folder,
                _lock: lock,
            }))
        };
        (0..ATTEMPTS).find_map(|_| attempt().ok().flatten())
    }
}

/// Remove the folders of killed processes.
pub(crate) fn sweep() {
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
            tracing::debug!(folder = %entry.path().display(), "cannot remove a temporary folder: {error}");
        }
    }
}

fn remove_if_dead(folder: PathBuf) -> std::io::Result<()> {
    let lock = match File::open(folder.join(LOCK)) {
        // The process was killed before it created the lock, or will create it and then try again.
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
    fn the_path_of_a_folder_is_canonical() {
        let parent = tempfile::tempdir().unwrap();
        let around = parent.path().join("aside/..");
        std::fs::create_dir(parent.path().join("aside")).unwrap();
        let scratch = Scratch::create_in(&around).unwrap();
        let own = parent.path().canonicalize().unwrap();
        assert_eq!(scratch.folder.path().parent(), Some(own.as_path()));
    }

    #[test]
    fn only_folders_of_killed_processes_are_removed() {
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
