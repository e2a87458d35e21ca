//! Resolves paths of the configuration.
//!
//! Paths of the file are relative to the file, so that the working directory of a scheduler does not matter. Paths of
//! environment variables and flags are relative to the working directory, as a shell completes them.

use std::path::{Path, PathBuf};

use super::place::ConfigPlace;

/// The folder that paths of the file are relative to.
pub(super) struct BasePath<'a> {
    folder: &'a Path,
}

impl<'a> BasePath<'a> {
    /// Return the folder of the configuration file at `path`.
    pub(super) fn of_file(path: &'a Path) -> Self {
        Self {
            folder: path.parent().unwrap_or(Path::new("")),
        }
    }

    /// Return `path` relative to the file.
    pub(super) fn join(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Return `location`, which is a path or a URL, resolved against the place where it was written.
    pub(super) fn resolve(&self, location: String, place: &ConfigPlace) -> String {
        let is_url = location.contains("://");
        if is_url || !place.is_in_file() || self.folder.as_os_str().is_empty() {
            return location;
        }
        // Both parts are strings, so the conversion loses nothing.
        self.join(&location).to_string_lossy().into_owned()
    }
}
