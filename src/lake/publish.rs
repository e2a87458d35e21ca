//! Puts staged files into the lake so that a reader who globs sees each partition whole, old or new.
//!
//! ```text
//! staged files ─▶ intent in the manifest ─▶ put what differs ─▶ remove what is gone ─▶ manifest ─▶ (caller) state
//! ```
//!
//! Where a table is cut otherwise than before, its old files go before its new ones come.
//!
//! Each put names the version that it replaces, as the manifest recorded it. One that is refused means that something
//! else than bitlake wrote there: the run stops. A file that was found damaged is put again, over whatever is there now, and
//! what nobody names is removed.
//!
//! A run killed between any two steps leaves files that read correctly, and a manifest with its intent. The next run sees
//! that intent, believes no entry of that manifest before it has looked at the file, puts every file of its own that is
//! not there, and removes what nobody names: it ends in the bytes of an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::lease::Lease;
use super::manifest::{Manifest, TableEntry};
use super::objects::{is_lost_race, lost_race};
use super::removals::{leftovers, moved};
use super::{
    FORMAT_VERSION, FileEntry, Inventory, Lake, LakeLock, ObjectVersion, WrittenFile, layout,
};
use crate::clock;
use crate::error::{Error, ErrorKind, OrError, Result};

/// What a table will consist of.
#[derive(Debug, Default)]
pub struct NextTable {
    pub schema_version: u32,
    /// By path below the lake; none: the table goes.
    pub files: BTreeMap<String, NextFile>,
}

#[derive(Debug)]
pub enum NextFile {
    /// Made by this run.
    Staged(WrittenFile),
    /// As published before.
    Kept,
}

/// What a publish did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublishSummary {
    pub tables: u64,
    pub files_written: u64,
    pub bytes_written: u64,
    pub files_unchanged: u64,
    pub files_removed: u64,
}

/// Makes `tables` (by `layer.table`) the lake's; tables not named stay as they are. `base`: what they were made from.
///
/// # Errors
/// [`ErrorKind::Lake`] when another run publishes or has published since `base`, or when a file cannot be put; what was
/// put so far is whole, and the next run goes on.
pub async fn publish(
    lake: &Lake,
    _lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    base: &Inventory,
    tables: BTreeMap<String, NextTable>,
) -> Result<PublishSummary> {
    let (before, version) = lake.versioned_manifest().await?;
    lake.refuse_other(&before, clock::now())?;
    if before != base.manifest {
        return Err(lost_race(layout::MANIFEST));
    }
    let mut plan = PublishPlan::new(base, tables)?;
    plan.confirm(lake, base);
    plan.after.run_id = Some(run_id.to_owned());
    plan.after.published_at = Some(now);
    if plan.is_nothing(&before) {
        return Ok(plan.done);
    }
    let mut lease = Lease::take(lake, run_id, before, version.as_ref()).await?;
    plan.after.epoch = lease.epoch();
    match plan.carry_out(lake, &mut lease, run_id).await {
        Ok(()) => lease.end(&plan.after).await?,
        Err(error) => {
            lease.give_up().await;
            return Err(error);
        }
    }
    if let Err(error) = lake.forget_manifests().await {
        tracing::warn!("cannot remove old manifests: {error}");
    }
    Ok(plan.done)
}

/// What has to be done, and what will be true then.
struct PublishPlan {
    after: Manifest,
    puts: Vec<Put>,
    /// Files of the manifest before that are in no table any more.
    removals: Vec<String>,
    /// The run that died while it was publishing; with it, files may be other than their entries say.
    died: Option<String>,
    /// Files that were found to be what their entries say although they do not look so: the manifest is put again for
    /// them, so that nobody reads them a second time.
    confirmed: usize,
    done: PublishSummary,
}

struct Put {
    table: String,
    path: String,
    written: WrittenFile,
    was: Option<FileEntry>,
    /// What is there now is not what the manifest says.
    over_any: bool,
}

impl PublishPlan {
    fn new(base: &Inventory, tables: BTreeMap<String, NextTable>) -> Result<Self> {
        let before = &base.manifest;
        let mut plan = Self {
            after: Manifest {
                format_version: FORMAT_VERSION,
                writer: env!("CARGO_PKG_VERSION").to_owned(),
                intent: None,
                ..before.clone()
            },
            puts: Vec::new(),
            removals: Vec::new(),
            died: before.intent.as_ref().map(|intent| intent.run_id.clone()),
            confirmed: 0,
            done: PublishSummary {
                tables: tables.len() as u64,
                ..PublishSummary::default()
            },
        };
        for (name, next) in tables {
            let old = before.tables.get(&name).cloned().unwrap_or_default();
            plan.table(name, next, old, base)?;
        }
        let named: BTreeSet<&String> = plan.after.paths().collect();
        let unnamed = base.unnamed.iter().filter(|path| !named.contains(path));
        plan.removals.extend(unnamed.cloned());
        Ok(plan)
    }

    fn table(
        &mut self,
        name: String,
        next: NextTable,
        old: TableEntry,
        base: &Inventory,
    ) -> Result<()> {
        let mut entry = TableEntry {
            schema_version: next.schema_version,
            ..TableEntry::default()
        };
        for (path, file) in next.files {
            let was = old.files.get(&path).cloned();
            let is = match (file, was) {
                (NextFile::Kept, Some(was)) => was,
                (NextFile::Kept, None) => {
                    let what = "kept a file that was never published";
                    return Err(Error::new(ErrorKind::Internal, what).with("file", path));
                }
                (NextFile::Staged(written), was) => {
                    let is_damaged = base.damaged.contains_key(&path);
                    let over_any =
                        self.died.is_some() || is_damaged || base.unnamed.contains(&path);
                    let same = was.as_ref().filter(|was| was.sha256 == written.sha256);
                    let is = same.cloned().unwrap_or_else(|| FileEntry::from(&written));
                    if over_any || same.is_none() {
                        self.puts.push(Put {
                            table: name.clone(),
                            path: path.clone(),
                            written,
                            was,
                            over_any,
                        });
                    }
                    is
                }
            };
            entry.rows = entry.rows.saturating_add(is.rows);
            entry.files.insert(path, is);
        }
        let gone = old.files.into_keys();
        self.removals
            .extend(gone.filter(|path| !entry.files.contains_key(path)));
        self.done.files_unchanged += entry.files.len() as u64;
        match entry.files.is_empty() {
            true => self.after.tables.remove(&name),
            false => self.after.tables.insert(name, entry),
        };
        Ok(())
    }

    fn is_nothing(&self, before: &Manifest) -> bool {
        self.died.is_none()
            && self.puts.is_empty()
            && self.removals.is_empty()
            && self.confirmed == 0
            && self.after.tables == before.tables
    }

    /// Notes the versions of files that look changed and are not.
    fn confirm(&mut self, lake: &Lake, base: &Inventory) {
        for table in self.after.tables.values_mut() {
            for (path, entry) in &mut table.files {
                if let Some(version) = base.confirmed.get(path) {
                    note(lake, entry, version.clone());
                    self.confirmed += 1;
                }
            }
        }
    }

    async fn carry_out(&mut self, lake: &Lake, lease: &mut Lease<'_>, run_id: &str) -> Result<()> {
        if let Some(died) = self.died.clone() {
            // It may have kept a manifest that was never the lake's.
            let kept = layout::manifest_file(&died);
            lease.during(lake.remove(&kept)).await?;
            self.removals = lease.during(leftovers(lake, &self.after)).await?;
            lease.during(self.look_at_kept(lake)).await?;
        }
        let removals = std::mem::take(&mut self.removals);
        let (mut moved, gone) = moved(removals, &self.after);
        for put in std::mem::take(&mut self.puts) {
            let cut_otherwise = moved.remove(layout::table_folder(&put.path));
            self.remove(lake, lease, cut_otherwise.unwrap_or_default())
                .await?;
            lease.during(self.put(lake, put)).await?;
        }
        let gone = moved.into_values().flatten().chain(gone);
        self.remove(lake, lease, gone).await?;
        let kept = layout::manifest_file(run_id);
        lease.during(lake.put_json(&kept, &self.after)).await
    }

    async fn put(&mut self, lake: &Lake, put: Put) -> Result<()> {
        let Put {
            table,
            path,
            written,
            was,
            over_any,
        } = put;
        if self.died.is_some()
            && let Some(was) = was.as_ref().filter(|was| was.sha256 == written.sha256)
            && let Some(version) = lake.version_with_content(&path, was).await?
        {
            if let Some(entry) = self.entry(&table, &path) {
                note(lake, entry, version);
            }
            return Ok(());
        }
        let expected = match was.map(|was| was.version()) {
            None if !over_any => None,
            Some(Some(recorded)) if !over_any => Some(recorded),
            // What is there now is another run's, or damaged, or the manifest is older than the recording of ETags.
            _ => lake.current_version(&path).await?,
        };
        let version = lake.put_data(&written, &path, expected.as_ref()).await;
        let version = version.map_err(|error| match is_lost_race(&error) {
            true => Error::new(
                ErrorKind::Lake,
                "something else than bitlake has changed a file of the lake",
            )
            .with("file", &path)
            .hint("run again: the next run puts every file anew; find out what writes there"),
            false => error,
        })?;
        if let Some(entry) = self.entry(&table, &path)
            && lake.folder().is_none()
        {
            entry.put_as(version, expected);
        }
        self.done.files_written += 1;
        self.done.files_unchanged = self.done.files_unchanged.saturating_sub(1);
        self.done.bytes_written = self.done.bytes_written.saturating_add(written.bytes);
        Ok(())
    }

    fn entry(&mut self, table: &str, path: &str) -> Option<&mut FileEntry> {
        self.after.tables.get_mut(table)?.files.get_mut(path)
    }

    async fn remove(
        &mut self,
        lake: &Lake,
        lease: &mut Lease<'_>,
        paths: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        for path in paths {
            lease.during(lake.remove(&path)).await?;
            self.done.files_removed += 1;
        }
        Ok(())
    }

    /// Files that this run keeps as they are may be another run's, who died before it could say so: then the manifest
    /// has to learn what they hold.
    async fn look_at_kept(&mut self, lake: &Lake) -> Result<()> {
        let put: BTreeSet<_> = self.puts.iter().map(|put| put.path.clone()).collect();
        for table in self.after.tables.values_mut() {
            for (path, entry) in &mut table.files {
                if put.contains(path) {
                    continue;
                }
                match lake.version_with_content(path, entry).await? {
                    Some(version) => note(lake, entry, version),
                    None => *entry = describe(lake, path, entry).await?,
                }
            }
            let rows = table.files.values().map(|file| file.rows);
            table.rows = rows.fold(0, u64::saturating_add);
        }
        Ok(())
    }
}

/// The version of a file that is as its entry says, and may have been put again. The local disk has no names of versions
/// that do not come again.
fn note(lake: &Lake, entry: &mut FileEntry, version: ObjectVersion) {
    let known = entry.version();
    if lake.folder().is_none() && known.as_ref() != Some(&version) {
        entry.put_as(version, known);
    }
}

async fn describe(lake: &Lake, path: &str, entry: &FileEntry) -> Result<FileEntry> {
    let copy = tempfile::NamedTempFile::new();
    let copy = copy.or_error(ErrorKind::Lake, "cannot create a temporary file")?;
    let version = lake.current_version(path).await?;
    if version.is_none() || lake.fetch(path, None, copy.path()).await?.is_none() {
        return Err(Error::new(ErrorKind::Lake, "a file of the lake is missing")
            .with("file", path)
            .hint("put it back, or publish its table anew with `bitlake transform`"));
    }
    let bounded: Vec<_> = entry.bounds.keys().cloned().collect();
    let found = WrittenFile::describe(copy.path(), &bounded);
    let mut found = FileEntry::from(&found.map_err(|error| error.with("file", path))?);
    if let Some(version) = version.filter(|_| lake.folder().is_none()) {
        found.put_as(version, entry.version());
    }
    Ok(found)
}
