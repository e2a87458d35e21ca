//! Remove leftovers of former runs, so that `_bitlake` does not grow without bound.
//!
//! ```text
//! segments        that no state names: the run was killed before it wrote the state
//! probes          of a killed `bitlake check`
//! staged files    of a killed run with workers
//! partial files   `name#1` on local disk, which object_store writes before it renames
//! run reports     beyond the last 1,000, or older than 400 days, as configured in `[lake]`
//! ```
//!
//! Other processes may collect at the same time, and may be about to name a segment in a state. So leftovers are removed
//! on local disk only under the exclusive lock, and in a bucket only if they are older than a lease, staged files than two
//! days. If a collector was suspended for longer, the next run finds its segment missing and reads that list again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;

use super::layout;
use super::lock::LakeLock;
use super::state::RepositoryState;
use super::store::Lake;
use crate::clock;
use crate::error::{ErrorKind, OrError, Result};

/// The age from which on a staged file in a bucket belongs to no transform that still runs.
const STAGED: TimeDelta = TimeDelta::days(2);

/// The run reports to keep: those within both limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The number of last runs.
    pub runs: usize,
    /// The age in days.
    pub days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs: 1000,
            days: 400,
        }
    }
}

impl Lake {
    /// Remove leftovers of former runs. `lock`: that of this run; `now`: its start.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be listed, read or written. The next run removes the remaining leftovers.
    pub async fn clean(
        &self,
        lock: &LakeLock,
        retention: Retention,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.remove_old_reports(retention, now).await?;
        if self.folder().is_some() && !lock.is_exclusive() {
            return Ok(());
        }
        let lease = TimeDelta::from_std(self.lease).unwrap_or(TimeDelta::MAX);
        let probes = self.list_objects(layout::PROBES).await?;
        self.remove_all(self.unused(probes, lease)).await?;
        let staged = self.list_objects(layout::STAGING).await?;
        self.remove_all(self.unused(staged, STAGED)).await?;
        let segments = self.list_objects(layout::SEGMENTS).await?;
        let unnamed = self.unnamed_segments(self.unused(segments, lease)).await?;
        if !unnamed.is_empty() {
            tracing::info!(
                segments = unnamed.len(),
                "removing segments of an interrupted run"
            );
        }
        self.remove_all(unnamed).await?;
        match self.folder() {
            // Every writer of partial files has the lock.
            Some(folder) => remove_partial_files(&folder.join(layout::PRIVATE)).or_error(
                ErrorKind::Lake,
                "cannot remove partial files of an interrupted run",
            ),
            None => Ok(()),
        }
    }

    /// Select the objects that no running process can still be using: in a bucket, those of this `age`.
    fn unused(&self, listed: BTreeMap<String, ObjectMeta>, age: TimeDelta) -> Vec<String> {
        let before = clock::now().checked_sub_signed(age).unwrap_or_default();
        let is_unused =
            |object: &ObjectMeta| self.folder().is_some() || object.last_modified < before;
        let unused = listed.into_iter().filter(|(_, object)| is_unused(object));
        unused.map(|(path, _)| path).collect()
    }

    /// Select the segments that their repository's state does not name. The states are read after the segments were
    /// listed, so that a segment named meanwhile is kept.
    async fn unnamed_segments(&self, segments: Vec<String>) -> Result<Vec<String>> {
        let mut named = BTreeSet::new();
        let states: BTreeSet<_> = segments
            .iter()
            .filter_map(|path| layout::state_of_segment(path))
            .collect();
        for state in states {
            let state = self.get_json::<RepositoryState>(&state).await?;
            let lists = state.into_iter().flat_map(|state| state.entities);
            let segments = lists.flat_map(|(_, list)| list.segments);
            named.extend(segments.map(|segment| segment.path));
        }
        let unnamed = segments.into_iter().filter(|path| !named.contains(path));
        Ok(unnamed.collect())
    }

    async fn remove_old_reports(&self, retention: Retention, now: DateTime<Utc>) -> Result<()> {
        let oldest = TimeDelta::try_days(retention.days.into());
        let oldest = oldest.and_then(|days| now.checked_sub_signed(days));
        let is_old = |path: &str| {
            let started = layout::run_started_at(path);
            started
                .zip(oldest)
                .is_some_and(|(started, oldest)| started < oldest)
        };
        // Run ids sort by time.
        let newest_first = self.list(layout::RUNS).await?.into_iter().rev().enumerate();
        let obsolete = newest_first.filter(|(n, path)| *n >= retention.runs || is_old(path));
        self.remove_all(obsolete.map(|(_, path)| path)).await
    }
}

/// Remove partial files and empty folders below `folder`.
fn remove_partial_files(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_partial_files(&entry.path())?;
            // Fails for a folder that is not empty.
            std::fs::remove_dir(entry.path()).ok();
        } else if kind.is_file() && is_partial(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether object_store has written but not yet renamed the file. No object of the lake has such a name.
fn is_partial(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_object_store_has_not_renamed_are_partial() {
        for name in ["manifest.json#1", "a.parquet#12"] {
            assert!(is_partial(name), "{name}");
        }
        for name in ["manifest.json", "a#b", "a#", "#x1"] {
            assert!(!is_partial(name), "{name}");
        }
    }

    #[test]
    fn objects_and_their_folders_are_kept() {
        let lake = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = lake.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        for path in [
            "_bitlake/manifest.json",
            "_bitlake/manifest.json#1",
            "_bitlake/segments/1/web/commits/a.parquet",
            "_bitlake/segments/1/web/commits/b.parquet#2",
            "_bitlake/segments/1/web/tags/c.parquet#1",
            "_bitlake/state/1/web.json#1",
        ] {
            put(path);
        }
        remove_partial_files(&lake.path().join("_bitlake")).unwrap();
        let exists = |path: &str| lake.path().join(path).exists();
        assert!(exists("_bitlake/manifest.json"));
        assert!(exists("_bitlake/segments/1/web/commits/a.parquet"));
        for gone in [
            "_bitlake/manifest.json#1",
            "_bitlake/segments/1/web/commits/b.parquet#2",
            "_bitlake/segments/1/web/tags",
            "_bitlake/state/1",
        ] {
            assert!(!exists(gone), "{gone}");
        }
    }
}
