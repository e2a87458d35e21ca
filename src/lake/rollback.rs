//! Restore the files of a former publish, in a bucket with versioning.
//!
//! The kept manifest of that publish names the version of each file. Every version needed is fetched and compared with its
//! digest before the lake is changed; then the files are published like those of any run.
//!
//! The source layer (`bitbucket/`) is not restored: the checkpoints rely on its records, and records collected since would
//! be lost for good.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};

use super::inventory::{Inventory, InventoryDepth};
use super::lock::LakeLock;
use super::manifest::{FileEntry, Manifest};
use super::parquet::WrittenFile;
use super::publish::{NextFile, NextTable, PublishSummary, publish};
use super::store::Lake;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::SourceTable;

/// Files named in an error.
const NAMED_FILES: usize = 5;

/// Publish the tables as they were after the run `target`. State and source layer remain as they are.
///
/// # Errors
/// [`ErrorKind::Usage`] when there is no such run; [`ErrorKind::Lake`] when the last publish was interrupted, or the former
/// files no longer exist. The lake is unchanged then.
pub async fn rollback(
    lake: &Lake,
    lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    target: &str,
) -> Result<PublishSummary> {
    let inventory = lake.inventory(InventoryDepth::Listing).await?;
    let current = &inventory.manifest;
    lake.refuse_other_publish(current, now)?;
    if current.intent.is_some() {
        return Err(
            Error::new(ErrorKind::Lake, "the last publish was interrupted")
                .hint("run `bitlake transform` first; nothing was changed"),
        );
    }
    let former = lake.former_manifest(target).await?;
    let wanted = differing_files(&inventory, &former);
    ensure_versions_exist(lake, &wanted).await?;
    let folder = tempfile::tempdir();
    let folder = folder.or_error(ErrorKind::Lake, "cannot create a temporary folder")?;
    let mut fetched = BTreeMap::new();
    for (n, (path, entry)) in wanted.into_iter().enumerate() {
        let local = folder.path().join(n.to_string());
        fetched.insert(path, fetch_version(lake, path, entry, &local).await?);
    }
    let tables = next_tables(current, &former, fetched);
    publish(lake, lock, run_id, now, &inventory, tables).await
}

/// Whether `table` (`layer.table`) is made from other tables, not collected.
fn is_derived(table: &str) -> bool {
    !SourceTable::is_in_layer(table)
}

/// Return the former files that differ from the current ones.
fn differing_files<'a>(current: &Inventory, former: &'a Manifest) -> Vec<(&'a str, &'a FileEntry)> {
    let tables = former.tables.iter().filter(|(name, _)| is_derived(name));
    let files = tables.flat_map(|(name, table)| table.files.iter().map(move |file| (name, file)));
    let differs = files.filter(|(name, (path, entry))| {
        let now = current.manifest.tables.get(*name);
        now.and_then(|table| table.files.get(*path))
            .is_none_or(|now| now.sha256 != entry.sha256)
            || current.damaged.contains_key(*path)
    });
    differs
        .map(|(_, (path, entry))| (path.as_str(), entry))
        .collect()
}

async fn ensure_versions_exist(lake: &Lake, wanted: &[(&str, &FileEntry)]) -> Result<()> {
    let mut missing = Vec::new();
    for (path, entry) in wanted {
        if lake.folder().is_some() || !lake.has_version(path, entry).await? {
            missing.push(*path);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing
        .iter()
        .take(NAMED_FILES)
        .copied()
        .collect::<Vec<_>>();
    let error = Error::new(ErrorKind::Lake, "the files of that publish no longer exist")
        .with("files", missing.len())
        .with("for example", named.join(" "));
    Err(match lake.folder() {
        Some(_) => error.hint("a folder keeps no former versions; nothing was changed"),
        None => error.hint(
            "enable versioning of the bucket, and keep noncurrent versions as long as you may want \
             to restore them; nothing was changed",
        ),
    })
}

async fn fetch_version(
    lake: &Lake,
    path: &str,
    entry: &FileEntry,
    local: &Path,
) -> Result<WrittenFile> {
    let sha256 = lake.fetch(path, entry.version.as_deref(), local).await?;
    if sha256.as_ref() != Some(&entry.sha256) {
        return Err(Error::new(
            ErrorKind::Lake,
            "a former file is not what its manifest says",
        )
        .with("file", path)
        .hint("name another run; nothing was changed"));
    }
    Ok(WrittenFile {
        path: local.to_owned(),
        rows: entry.rows,
        bytes: entry.bytes,
        sha256: entry.sha256.clone(),
        bounds: entry.bounds.clone(),
    })
}

fn next_tables(
    current: &Manifest,
    former: &Manifest,
    mut fetched: BTreeMap<&str, WrittenFile>,
) -> BTreeMap<String, NextTable> {
    let names: BTreeSet<&String> = current.tables.keys().chain(former.tables.keys()).collect();
    let mut next = BTreeMap::new();
    for name in names.into_iter().filter(|name| is_derived(name)) {
        let mut table = NextTable::default();
        if let Some(was) = former.tables.get(name) {
            table.schema_version = was.schema_version;
            table.made_from.clone_from(&was.made_from);
            for path in was.files.keys() {
                let file = fetched.remove(path.as_str());
                let file = file.map_or(NextFile::Kept, NextFile::Staged);
                table.files.insert(path.clone(), file);
            }
        }
        next.insert(name.clone(), table);
    }
    next
}
