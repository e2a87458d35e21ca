//! What runs leave behind, removed by the next one, so that nothing below `_bitlake` grows for ever.
//!
//! ```text
//! segments        that their repository's state does not name: of a run that died between putting one and saying so
//! probes          of a `check` that died
//! half-written    `name#1` on local disk, which object_store writes before it renames
//! run reports     beyond the last 1,000, or older than 400 days, as `[lake]` says
//! ```
//!
//! Others may collect at the same time. On local disk only a run that holds the lake alone removes what another could be
//! about to name; in a bucket, where nobody is ever known to be alone, what was put longer ago than a lease. A collector
//! that stood still for longer finds its segment missing in the next run, and reads that list again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;

use super::{Lake, LakeLock, RepositoryState, layout};
use crate::clock;
use crate::error::{ErrorKind, OrError, Result};

/// Which run reports stay: those that meet both bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub runs: usize,
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
    /// Removes what former runs left. `lock`: what is known of others; `now`: the time of this run.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be listed, read or written; whatever is left is for the next run.
    pub async fn clean(
        &self,
        lock: &LakeLock,
        retention: Retention,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.forget_runs(retention, now).await?;
        if self.folder().is_some() && !lock.is_alone() {
            return Ok(());
        }
        let probes = self.listing(layout::PROBES).await?;
        self.remove_all(self.left(probes)).await?;
        let segments = self.listing(layout::SEGMENTS).await?;
        let unnamed = self.unnamed(self.left(segments)).await?;
        if !unnamed.is_empty() {
            tracing::info!(segments = unnamed.len(), "removing what a dead run left");
        }
        self.remove_all(unnamed).await?;
        match self.folder() {
            // Whoever writes there holds the lake.
            Some(folder) => sweep(&folder.join(layout::PRIVATE))
                .or_error(ErrorKind::Lake, "cannot remove what a dead run left"),
            None => Ok(()),
        }
    }

    /// Those that nobody alive can be about to name.
    fn left(&self, listed: BTreeMap<String, ObjectMeta>) -> Vec<String> {
        let lease = TimeDelta::from_std(self.lease).unwrap_or(TimeDelta::MAX);
        let before = clock::now().checked_sub_signed(lease).unwrap_or_default();
        let is_left =
            |object: &ObjectMeta| self.folder().is_some() || object.last_modified < before;
        let left = listed.into_iter().filter(|(_, object)| is_left(object));
        left.map(|(path, _)| path).collect()
    }

    /// Those segments that their repository's state does not name. The states are read after the listing.
    async fn unnamed(&self, segments: Vec<String>) -> Result<Vec<String>> {
        let mut named = BTreeSet::new();
        let states: BTreeSet<_> = segments
            .iter()
            .filter_map(|path| layout::state_of_segment(path))
            .collect();
        for state in states {
            let state = self.get_json::<RepositoryState>(&state).await?;
            let entities = state.into_iter().flat_map(|state| state.entities);
            let segments = entities.flat_map(|(_, known)| known.segments);
            named.extend(segments.map(|segment| segment.path));
        }
        let unnamed = segments.into_iter().filter(|path| !named.contains(path));
        Ok(unnamed.collect())
    }

    async fn forget_runs(&self, retention: Retention, now: DateTime<Utc>) -> Result<()> {
        let oldest = TimeDelta::try_days(retention.days.into());
        let oldest = oldest.and_then(|days| now.checked_sub_signed(days));
        let is_old = |path: &str| {
            let began = layout::run_started_at(path);
            began
                .zip(oldest)
                .is_some_and(|(began, oldest)| began < oldest)
        };
        // Run ids sort by time.
        let kept = self.list(layout::RUNS).await?.into_iter().rev().enumerate();
        let forgotten = kept.filter(|(n, path)| *n >= retention.runs || is_old(path));
        self.remove_all(forgotten.map(|(_, path)| path)).await
    }
}

/// Removes half-written files and empty folders below `folder`, which itself stays.
fn sweep(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sweep(&entry.path())?;
            // One that is not empty stays.
            std::fs::remove_dir(entry.path()).ok();
        } else if kind.is_file() && is_half_written(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// As object_store names what it has not renamed yet: no object of the lake can be named so.
fn is_half_written(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_object_store_has_not_renamed_is_half_written() {
        for name in ["manifest.json#1", "a.parquet#12"] {
            assert!(is_half_written(name), "{name}");
        }
        for name in ["manifest.json", "a#b", "a#", "#x1"] {
            assert!(!is_half_written(name), "{name}");
        }
    }

    #[test]
    fn sweeping_leaves_objects_and_their_folders() {
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
        sweep(&lake.path().join("_bitlake")).unwrap();
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
