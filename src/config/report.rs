//! Reads `[report]` and `[metrics]`: the files that a run writes besides the lake.

use std::path::PathBuf;

use super::keys;
use super::paths::BasePath;
use super::section::Section;
use crate::error::Result;

/// Read `[report] path`.
pub(super) fn read(root: &Section<'_>, base: &BasePath<'_>) -> Result<Option<PathBuf>> {
    let section = root.section("report", &keys::REPORT.names())?;
    let file = section.map(|it| read_file(&it, "path", "page", "an HTML file", base));
    file.transpose()
}

/// Read `[metrics] textfile`.
pub(super) fn read_metrics(root: &Section<'_>, base: &BasePath<'_>) -> Result<Option<PathBuf>> {
    let section = root.section("metrics", &keys::METRICS.names())?;
    let file = section.map(|it| read_file(&it, "textfile", "metrics", "a .prom file", base));
    file.transpose()
}

/// Read the path of a file of this machine, also where the lake is in a bucket. `content` and `kind` describe it in errors.
fn read_file(
    section: &Section<'_>,
    key: &str,
    content: &str,
    kind: &str,
    base: &BasePath<'_>,
) -> Result<PathBuf> {
    let path = section.required(key, &format!("name {kind} to write"))?;
    let place = section.place_of(key);
    if path.contains("://") {
        return Err(place
            .error(format!("`{path}` is not a path of this machine"))
            .hint(format!(
                "write the {content} to a local file, and upload it after the run"
            )));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(place
            .error(format!("`{key}` is not a file"))
            .hint(format!("add the name of {kind}")));
    }
    Ok(base.resolve(path, place).into())
}
