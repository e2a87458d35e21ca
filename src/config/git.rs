//! `commits = "git"` of `[sync]`: where the clones lie, and whether lines are counted.

use std::path::{Path, PathBuf};

use super::load::Relative;
use super::section::Section;
use crate::error::Result;

/// Below the lake's or the configuration's folder, where `git_cache` names none.
const CACHE: &str = ".bitlake-cache/git";

/// Commits are read from clones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommits {
    /// The folder of the clones. What is in it can be fetched again.
    pub cache: PathBuf,
    /// Whether lines are counted, which needs the files' contents.
    pub line_counts: bool,
}

/// `None`: commits come from the API. `lake`: its folder or address.
pub(super) fn read(
    sync: &Section<'_>,
    lake: &str,
    relative: &Relative<'_>,
) -> Result<Option<GitCommits>> {
    let by_git = sync.one_of("commits", &[("api", false), ("git", true)])?;
    let cache = sync.string("git_cache")?;
    let line_counts = sync.boolean("line_counts")?;
    let cache = match cache {
        Some(folder) => PathBuf::from(relative.location(folder, sync.place_of("git_cache"))),
        None if lake.contains("://") => relative.path(CACHE),
        None => Path::new(lake)
            .parent()
            .unwrap_or(Path::new(""))
            .join(CACHE),
    };
    Ok((by_git == Some(true)).then_some(GitCommits {
        cache,
        line_counts: line_counts.unwrap_or(true),
    }))
}
