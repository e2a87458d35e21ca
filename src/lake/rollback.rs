//! Puts a former publish back, where the bucket keeps versions.
//!
//! The kept manifest of that publish names the version of each file. Every version that is needed is looked for, fetched
//! and compared with its digest before anything is touched; then the files go through the same protocol as any publish.
//!
//! The source layer (`bitbucket/`) stays: the state of the collection counts on what it holds, and with an older one the
//! records collected since would be missing for good.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};

use super::manifest::Manifest;
use super::{
    FileEntry, Inventory, InventoryDepth, Lake, LakeLock, NextFile, NextTable, PublishSummary,
    WrittenFile, publish,
};
use crate::error::{Error, ErrorKind, OrError, Result};

/// What is collected, and not made.
const SOURCE: &str = "bitbucket.";
/// So many files are named in an error.
const NAMED: usize = 5;

/// Makes the tables what they were after the run `target`. State and source layer stay.
///
/// # Errors
/// [`ErrorKind::Usage`] for a run that there never was; [`ErrorKind::Lake`] when the last publish was not finished, or
/// the former files are not there any more: nothing was touched.
pub async fn rollback(
    lake: &Lake,
    lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    target: &str,
) -> Result<PublishSummary> {
    let inventory = lake.inventory(InventoryDepth::Listing).await?;
    let current = &inventory.manifest;
    lake.refuse_other(current, now)?;
    if current.intent.is_some() {
        return Err(
            Error::new(ErrorKind::Lake, "the last publish did not come to its end")
                .hint("run `bitlake transform` first; nothing was changed"),
        );
    }
    let former = lake.former_manifest(target).await?;
    let wanted = differing(&inventory, &former);
    check(lake, &wanted).await?;
    let folder = tempfile::tempdir();
    let folder = folder.or_error(ErrorKind::Lake, "cannot create a temporary folder")?;
    let mut fetched = BTreeMap::new();
    for (n, (path, entry)) in wanted.into_iter().enumerate() {
        let local = folder.path().join(n.to_string());
        fetched.insert(path, fetch(lake, path, entry, &local).await?);
    }
    let tables = next(current, &former, fetched);
    publish(lake, lock, run_id, now, &inventory, tables).await
}

fn is_made(table: &str) -> bool {
    !table.starts_with(SOURCE)
}

/// The former files that are not there as they were.
fn differing<'a>(current: &Inventory, former: &'a Manifest) -> Vec<(&'a str, &'a FileEntry)> {
    let tables = former.tables.iter().filter(|(name, _)| is_made(name));
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

async fn check(lake: &Lake, wanted: &[(&str, &FileEntry)]) -> Result<()> {
    let mut gone = Vec::new();
    for (path, entry) in wanted {
        if lake.folder().is_some() || !lake.has_version(path, entry).await? {
            gone.push(*path);
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    let named = gone.iter().take(NAMED).copied().collect::<Vec<_>>();
    let error = Error::new(
        ErrorKind::Lake,
        "the files of that publish are not there any more",
    )
    .with("files", gone.len())
    .with("for example", named.join(" "));
    Err(match lake.folder() {
        Some(_) => error.hint("a folder keeps no former versions; nothing was changed"),
        None => error.hint(
            "enable versioning of the bucket, and keep noncurrent versions as long as you may want \
             them back; nothing was changed",
        ),
    })
}

async fn fetch(lake: &Lake, path: &str, entry: &FileEntry, local: &Path) -> Result<WrittenFile> {
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

fn next(
    current: &Manifest,
    former: &Manifest,
    mut fetched: BTreeMap<&str, WrittenFile>,
) -> BTreeMap<String, NextTable> {
    let names: BTreeSet<&String> = current.tables.keys().chain(former.tables.keys()).collect();
    let mut next = BTreeMap::new();
    for name in names.into_iter().filter(|name| is_made(name)) {
        let mut table = NextTable::default();
        if let Some(was) = former.tables.get(name) {
            table.schema_version = was.schema_version;
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
