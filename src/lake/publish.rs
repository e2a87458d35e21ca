//! Publish: put staged files into the lake so that a reader that globs sees each partition whole, old or new.
//!
//! ```text
//! staged files ─▶ intent in the manifest ─▶ put changed files ─▶ remove obsolete files ─▶ manifest ─▶ (caller) state
//! ```
//!
//! The old files of a table that is partitioned by other keys are removed before its new files are put. Otherwise files are
//! put in any order, several at the same time.
//!
//! Each put names the version that it replaces, as recorded in the manifest. A refused put means that another program than
//! bitlake wrote the file, and ends the run. A damaged file is replaced whatever its version is; files that the manifest
//! does not name are removed.
//!
//! A run killed between any two steps leaves files that read correctly, and a manifest with its intent. Because of the
//! intent the next run compares every file with its entry, puts every file that differs, and removes the files that the
//! manifest does not name. The result has the bytes of an uninterrupted run.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};

use super::inventory::Inventory;
use super::layout::{self, FORMAT_VERSION};
use super::lease::Lease;
use super::lock::LakeLock;
use super::manifest::{FileEntry, Manifest, TableEntry};
use super::parquet::WrittenFile;
use super::removals::{Removals, list_leftovers, split_removals};
use super::store::Lake;
use super::version::{ObjectVersion, is_lost_race, lost_race};
use crate::clock;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Files put at the same time. One that is put by a single request is in memory as a whole.
const CONCURRENT_PUTS: usize = 8;

/// The content of a table after a publish.
#[derive(Debug, Default)]
pub struct NextTable {
    /// The version of the table's contract.
    pub schema_version: u32,
    /// What the rows were made from, see [`TableEntry::made_from`].
    pub made_from: BTreeMap<String, String>,
    /// The files, by path below the lake. A table without files is removed.
    pub files: BTreeMap<String, NextFile>,
}

/// A file of a table after a publish.
#[derive(Debug)]
pub enum NextFile {
    /// A file made by this run.
    Staged(WrittenFile),
    /// The published file, unchanged.
    Kept,
}

/// The result of a publish, in counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublishSummary {
    /// Tables of this publish.
    pub tables: u64,
    /// Files put.
    pub files_written: u64,
    /// Bytes of the files put.
    pub bytes_written: u64,
    /// Files that were published before with the same content.
    pub files_unchanged: u64,
    /// Files removed.
    pub files_removed: u64,
}

/// Publish `tables` (by `layer.table`); other tables remain as they are. `base`: the inventory that the tables were made
/// from. Return counts of the files.
///
/// # Errors
/// [`ErrorKind::Lake`] when another run publishes or has published since `base`, or when a file cannot be put. Every file
/// of the lake is complete then, and the next run continues.
pub async fn publish(
    lake: &Lake,
    lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    base: &Inventory,
    tables: BTreeMap<String, NextTable>,
) -> Result<PublishSummary> {
    publish_with(lake, lock, run_id, now, base, tables, &|_, _| {}).await
}

/// Publish as [`publish`] does, and tell `listener` how many files of how many were put.
///
/// # Errors
/// As [`publish`].
pub async fn publish_with(
    lake: &Lake,
    _lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    base: &Inventory,
    tables: BTreeMap<String, NextTable>,
    listener: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<PublishSummary> {
    let (before, version) = lake.versioned_manifest().await?;
    lake.refuse_other_publish(&before, clock::now())?;
    if before != base.manifest {
        return Err(lost_race(layout::MANIFEST));
    }
    let mut plan = PublishPlan::new(base, tables)?;
    plan.record_confirmed(lake, base);
    plan.after.run_id = Some(run_id.to_owned());
    plan.after.published_at = Some(now);
    if plan.is_empty(&before) {
        return Ok(plan.summary);
    }
    let mut lease = Lease::acquire(lake, run_id, before, version.as_ref()).await?;
    plan.after.epoch = lease.epoch();
    match plan.execute(lake, &mut lease, run_id, listener).await {
        Ok(()) => lease.commit(&plan.after).await?,
        Err(error) => {
            lease.release().await;
            return Err(error);
        }
    }
    if let Err(error) = lake.remove_old_manifests().await {
        tracing::warn!("cannot remove old manifests: {error}");
    }
    Ok(plan.summary)
}

/// The puts and removals of a publish, and the manifest after it.
struct PublishPlan {
    after: Manifest,
    puts: Vec<Put>,
    /// Published files that no table has any more.
    removals: Vec<String>,
    /// The run that was killed while it published. If there is one, files may differ from their entries.
    interrupted_run: Option<String>,
    /// Files whose version differs from the manifest's but whose content is the published one. The manifest is put again to
    /// record their versions, so that later runs need not read them.
    confirmed: usize,
    summary: PublishSummary,
}

/// A file to put.
struct Put {
    table: String,
    path: String,
    written: WrittenFile,
    published: Option<FileEntry>,
    /// The current file may differ from the published one, and is replaced whatever its version is.
    replaces_any: bool,
}

/// A file that was put.
struct PutFile {
    table: String,
    path: String,
    version: ObjectVersion,
    /// The replaced file; `None` if an interrupted run had put the file already.
    replaced: Option<ReplacedFile>,
}

/// The file that a put replaced or created.
struct ReplacedFile {
    /// The version before the put; `None` for a new file.
    version: Option<ObjectVersion>,
    /// The bytes that were written.
    bytes: u64,
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
            interrupted_run: before.intent.as_ref().map(|intent| intent.run_id.clone()),
            confirmed: 0,
            summary: PublishSummary {
                tables: tables.len() as u64,
                ..PublishSummary::default()
            },
        };
        for (name, next) in tables {
            let published = before.tables.get(&name).cloned().unwrap_or_default();
            plan.add_table(name, next, published, base)?;
        }
        let named: BTreeSet<&String> = plan.after.paths().collect();
        let unnamed = base.unnamed.iter().filter(|path| !named.contains(path));
        plan.removals.extend(unnamed.cloned());
        Ok(plan)
    }

    fn add_table(
        &mut self,
        name: String,
        next: NextTable,
        published: TableEntry,
        base: &Inventory,
    ) -> Result<()> {
        let mut table = TableEntry {
            schema_version: next.schema_version,
            made_from: next.made_from,
            ..TableEntry::default()
        };
        for (path, file) in next.files {
            let published = published.files.get(&path).cloned();
            let entry = match (file, published) {
                (NextFile::Kept, Some(published)) => published,
                (NextFile::Kept, None) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "cannot keep a file that was never published",
                    )
                    .with("file", path));
                }
                (NextFile::Staged(written), published) => {
                    self.add_staged(&name, &path, written, published, base)
                }
            };
            table.rows = table.rows.saturating_add(entry.rows);
            table.files.insert(path, entry);
        }
        let former = published.files.into_keys();
        self.removals
            .extend(former.filter(|path| !table.files.contains_key(path)));
        self.summary.files_unchanged += table.files.len() as u64;
        if table.files.is_empty() {
            self.after.tables.remove(&name);
        } else {
            self.after.tables.insert(name, table);
        }
        Ok(())
    }

    /// Return the entry of a staged file, and plan to put the file unless the same content is published already.
    fn add_staged(
        &mut self,
        table: &str,
        path: &str,
        written: WrittenFile,
        published: Option<FileEntry>,
        base: &Inventory,
    ) -> FileEntry {
        let replaces_any = self.interrupted_run.is_some()
            || base.damaged.contains_key(path)
            || base.unnamed.contains(path);
        let same = published
            .as_ref()
            .filter(|entry| entry.sha256 == written.sha256);
        let is_unchanged = same.is_some() && !replaces_any;
        let entry = same.cloned().unwrap_or_else(|| FileEntry::from(&written));
        if !is_unchanged {
            self.puts.push(Put {
                table: table.to_owned(),
                path: path.to_owned(),
                written,
                published,
                replaces_any,
            });
        }
        entry
    }

    /// Whether the lake already is as planned.
    fn is_empty(&self, before: &Manifest) -> bool {
        self.interrupted_run.is_none()
            && self.puts.is_empty()
            && self.removals.is_empty()
            && self.confirmed == 0
            && self.after.tables == before.tables
    }

    /// Record the versions of files that the inventory has confirmed.
    fn record_confirmed(&mut self, lake: &Lake, base: &Inventory) {
        for table in self.after.tables.values_mut() {
            for (path, entry) in &mut table.files {
                if let Some(version) = base.confirmed.get(path) {
                    record_version(lake, entry, version.clone());
                    self.confirmed += 1;
                }
            }
        }
    }

    async fn execute(
        &mut self,
        lake: &Lake,
        lease: &mut Lease<'_>,
        run_id: &str,
        listener: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<()> {
        if let Some(interrupted) = self.interrupted_run.clone() {
            // The manifest that it kept may never have become the lake's.
            let kept = layout::manifest_file(&interrupted);
            lease.run(lake.remove(&kept)).await?;
            self.removals = lease.run(list_leftovers(lake, &self.after)).await?;
            lease.run(self.compare_kept_files(lake)).await?;
        }
        let removals = std::mem::take(&mut self.removals);
        let Removals {
            mut repartitioned,
            obsolete,
        } = split_removals(removals, &self.after);
        let puts = std::mem::take(&mut self.puts);
        let total = puts.len() as u64;
        if total > 0 {
            listener(0, total);
        }
        let mut puts = puts.into_iter().peekable();
        while let Some(first) = puts.next() {
            let folder = layout::table_folder(&first.path);
            let files = repartitioned.remove(folder).unwrap_or_default();
            self.remove(lake, lease, files).await?;
            let mut batch = vec![first];
            let has_no_old_files =
                |put: &Put| !repartitioned.contains_key(layout::table_folder(&put.path));
            while let Some(put) = puts.next_if(has_no_old_files) {
                batch.push(put);
            }
            let tell = |waiting: usize| {
                let waiting = waiting.saturating_add(puts.len()) as u64;
                listener(total.saturating_sub(waiting), total);
            };
            self.put_files(lake, lease, batch, &tell).await?;
        }
        let obsolete = repartitioned.into_values().flatten().chain(obsolete);
        self.remove(lake, lease, obsolete).await?;
        let kept = layout::manifest_file(run_id);
        lease.run(lake.put_json(&kept, &self.after)).await
    }

    /// Put files, several at the same time. After a failure no other put is started. Report the number of files that are not
    /// put yet to `listener`.
    async fn put_files(
        &mut self,
        lake: &Lake,
        lease: &mut Lease<'_>,
        puts: Vec<Put>,
        listener: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<()> {
        let is_interrupted = self.interrupted_run.is_some();
        let has_failed = AtomicBool::new(false);
        let mut waiting = puts.len();
        let mut running = stream::iter(puts)
            .take_while(|_| ready(!has_failed.load(Ordering::Relaxed)))
            .map(|put| put.execute(lake, is_interrupted))
            .buffered(CONCURRENT_PUTS);
        let mut result = Ok(());
        while let Some(put) = lease.run(async { Ok(running.next().await) }).await? {
            match put {
                Ok(put) => self.record(lake, put),
                Err(error) => {
                    has_failed.store(true, Ordering::Relaxed);
                    result = result.and(Err(error));
                }
            }
            waiting = waiting.saturating_sub(1);
            listener(waiting);
        }
        result
    }

    /// Record a file that was put.
    fn record(&mut self, lake: &Lake, put: PutFile) {
        let entry = self.after.tables.get_mut(&put.table);
        let entry = entry.and_then(|table| table.files.get_mut(&put.path));
        let Some(replaced) = put.replaced else {
            if let Some(entry) = entry {
                record_version(lake, entry, put.version);
            }
            return;
        };
        if let Some(entry) = entry
            && lake.folder().is_none()
        {
            entry.set_version(put.version, replaced.version);
        }
        let summary = &mut self.summary;
        summary.files_written += 1;
        summary.files_unchanged = summary.files_unchanged.saturating_sub(1);
        summary.bytes_written = summary.bytes_written.saturating_add(replaced.bytes);
    }

    async fn remove(
        &mut self,
        lake: &Lake,
        lease: &mut Lease<'_>,
        paths: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        for path in paths {
            lease.run(lake.remove(&path)).await?;
            self.summary.files_removed += 1;
        }
        Ok(())
    }

    /// Compare the files that this publish does not put. The interrupted run may have replaced them without recording it;
    /// then their entries are made anew from their content, and it is unknown what any table was made from.
    async fn compare_kept_files(&mut self, lake: &Lake) -> Result<()> {
        let put: BTreeSet<_> = self.puts.iter().map(|put| put.path.clone()).collect();
        let mut was_replaced = false;
        for table in self.after.tables.values_mut() {
            for (path, entry) in &mut table.files {
                if put.contains(path) {
                    continue;
                }
                match lake.version_with_content(path, entry).await? {
                    Some(version) => record_version(lake, entry, version),
                    None => {
                        *entry = describe_file(lake, path, entry).await?;
                        was_replaced = true;
                    }
                }
            }
            let rows = table.files.values().map(|file| file.rows);
            table.rows = rows.fold(0, u64::saturating_add);
        }
        if was_replaced {
            for table in self.after.tables.values_mut() {
                table.made_from.clear();
            }
        }
        Ok(())
    }
}

impl Put {
    /// Put the file. `is_interrupted`: a run that was killed may have put it already.
    async fn execute(self, lake: &Lake, is_interrupted: bool) -> Result<PutFile> {
        let Self {
            table,
            path,
            written,
            published,
            replaces_any,
        } = self;
        if is_interrupted
            && let Some(same) = published
                .as_ref()
                .filter(|entry| entry.sha256 == written.sha256)
            && let Some(version) = lake.version_with_content(&path, same).await?
        {
            return Ok(PutFile {
                table,
                path,
                version,
                replaced: None,
            });
        }
        let recorded = published.as_ref().map(FileEntry::version);
        let mut expected = match recorded {
            None if !replaces_any => None,
            Some(Some(recorded)) if !replaces_any && lake.compares(&recorded) => Some(recorded),
            // The file is that of an interrupted run, or damaged, or the manifest does not record versions.
            _ => lake.current_version(&path).await?,
        };
        let mut put = lake.put_data(&written, &path, expected.as_ref()).await;
        if put.as_ref().is_err_and(is_lost_race)
            && let Some(published) = published.filter(|_| !replaces_any)
            && let Some(current) = lake.version_with_digest(&path, &published).await?
        {
            // The lake was copied: the content is the published one, its version is new.
            expected = Some(current);
            put = lake.put_data(&written, &path, expected.as_ref()).await;
        }
        let version = put.map_err(|error| {
            if !is_lost_race(&error) {
                return error;
            }
            Error::new(
                ErrorKind::Lake,
                "something else than bitlake has changed a file of the lake",
            )
            .with("file", &path)
            .hint("find the program that writes there, then run again: the next run puts every file anew")
        })?;
        let replaced = Some(ReplacedFile {
            version: expected,
            bytes: written.bytes,
        });
        Ok(PutFile {
            table,
            path,
            version,
            replaced,
        })
    }
}

/// Record the version of a file whose content is the published one. On local disk no versions are recorded, because an
/// inode and its time can come again.
fn record_version(lake: &Lake, entry: &mut FileEntry, version: ObjectVersion) {
    let recorded = entry.version();
    if lake.folder().is_none() && recorded.as_ref() != Some(&version) {
        entry.set_version(version, recorded);
    }
}

/// Make an entry from the content of the current file. `entry`: the outdated entry.
async fn describe_file(lake: &Lake, path: &str, entry: &FileEntry) -> Result<FileEntry> {
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
        found.set_version(version, entry.version());
    }
    Ok(found)
}
