//! Reads the keys of `[sync]` for commits that are collected from clones.

use std::path::{Path, PathBuf};

use super::paths::BasePath;
use super::section::Section;
use crate::error::Result;

/// The default of `git_cache`, below the parent folder of the lake, or the configuration's folder if the lake is in a bucket.
const DEFAULT_CACHE: &str = ".bitlake-cache/git";

/// Settings of `commits = "git"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommits {
    /// The folder of the clones. It can be deleted: a run fetches the clones again.
    pub cache: PathBuf,
    /// Whether added and deleted lines are counted, which requires the contents of the files.
    pub line_counts: bool,
}

/// Return the settings; `None` if commits are collected from the API. `lake` is the lake's folder or URL.
pub(super) fn read(
    sync: &Section<'_>,
    lake: &str,
    base: &BasePath<'_>,
) -> Result<Option<GitCommits>> {
    let by_git = sync.one_of("commits", &[("api", false), ("git", true)])?;
    let cache = sync.string("git_cache")?;
    let line_counts = sync.boolean("line_counts")?;
    let cache = match cache {
        Some(folder) => PathBuf::from(base.resolve(folder, sync.place_of("git_cache"))),
        None if lake.contains("://") => base.join(DEFAULT_CACHE),
        None => Path::new(lake)
            .parent()
            .unwrap_or(Path::new(""))
            .join(DEFAULT_CACHE),
    };
    Ok((by_git == Some(true)).then_some(GitCommits {
        cache,
        line_counts: line_counts.unwrap_or(true),
    }))
}
