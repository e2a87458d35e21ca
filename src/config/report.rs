//! Reads `[report]`: the page that a run writes.

use std::path::PathBuf;

use super::keys;
use super::paths::BasePath;
use super::section::Section;
use crate::error::Result;

/// Read `[report] path`. It is a file of this machine, also where the lake is in a bucket.
pub(super) fn read(root: &Section<'_>, base: &BasePath<'_>) -> Result<Option<PathBuf>> {
    let Some(section) = root.section("report", &keys::REPORT.names())? else {
        return Ok(None);
    };
    let path = section.required("path", "name the HTML file to write")?;
    let place = section.place_of("path");
    if path.contains("://") {
        return Err(place
            .error(format!("`{path}` is not a path of this machine"))
            .hint("write the page to a local file, and upload it after the run"));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(place
            .error("`path` is not a file")
            .hint("add the name of an HTML file"));
    }
    Ok(Some(base.resolve(path, place).into()))
}
