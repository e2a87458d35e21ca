//! Puts staged files into the lake so that a reader who globs sees each partition whole, old or new.
//!
//! ```text
//! staged files ─▶ intent in the manifest ─▶ put what differs ─▶ remove what is gone ─▶ manifest ─▶ (caller) state
//! ```
//!
//! Where a table is cut otherwise than before, its old files go before its new ones come.
//!
//! A run killed between any two steps leaves files that read correctly, and a manifest with its intent. The next run sees
//! that intent, trusts no digest of that manifest, puts every file that it made and removes what nobody names: it ends
//! in the bytes of an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::manifest::{Intent, Manifest, TableEntry};
use super::{FORMAT_VERSION, FileEntry, Lake, LakeLock, WrittenFile, layout};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{HISTORY, LAYERS};

/// After this time an intent whose run said nothing more is taken for dead.
const INTENT_LIFE: TimeDelta = TimeDelta::hours(6);

/// What a table will consist of.
#[derive(Debug, Default)]
pub struct NextTable {
    pub schema_version: u32,
    /// By path below the lake.
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
pub struct Published {
    pub tables: u64,
    pub files_written: u64,
    pub bytes_written: u64,
    pub files_unchanged: u64,
    pub files_removed: u64,
}

/// Makes `tables` (by `layer.table`) the lake's; tables not named stay as they are.
///
/// # Errors
/// [`ErrorKind::Lake`] when a file cannot be put; what was put so far is whole, and the next run goes on.
pub async fn publish(
    lake: &Lake,
    _lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    tables: BTreeMap<String, NextTable>,
) -> Result<Published> {
    let before = lake.manifest().await?;
    let disturbed = before.intent.is_some();
    let mut done = Published {
        tables: tables.len() as u64,
        ..Published::default()
    };
    let mut after = Manifest {
        format_version: FORMAT_VERSION,
        writer: env!("CARGO_PKG_VERSION").to_owned(),
        run_id: Some(run_id.to_owned()),
        published_at: Some(now),
        intent: None,
        tables: before.tables.clone(),
    };
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for (name, next) in tables {
        let old = before.tables.get(&name).cloned().unwrap_or_default();
        let mut entry = TableEntry {
            schema_version: next.schema_version,
            ..TableEntry::default()
        };
        for (path, file) in next.files {
            let was = old.files.get(&path);
            let is = match (file, was) {
                (NextFile::Kept, Some(was)) => was.clone(),
                (NextFile::Kept, None) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "kept a file that was never published",
                    )
                    .with("file", path));
                }
                (NextFile::Staged(written), was) => {
                    let is = FileEntry::from(&written);
                    if disturbed || was.is_none_or(|was| was.sha256 != is.sha256) {
                        puts.push((path.clone(), written));
                    }
                    is
                }
            };
            entry.rows += is.rows;
            entry.files.insert(path, is);
        }
        removals.extend(
            old.files
                .into_keys()
                .filter(|path| !entry.files.contains_key(path)),
        );
        done.files_unchanged += entry.files.len() as u64;
        after.tables.insert(name, entry);
    }
    done.files_unchanged -= puts.len() as u64;
    if !disturbed && puts.is_empty() && removals.is_empty() && after.tables == before.tables {
        return Ok(done);
    }

    let epoch = before.intent.as_ref().map_or(1, |intent| intent.epoch + 1);
    let intent = Intent {
        run_id: run_id.to_owned(),
        epoch,
        expires_at: now + INTENT_LIFE,
    };
    lake.put_json(
        layout::MANIFEST,
        &Manifest {
            intent: Some(intent),
            ..before
        },
    )
    .await?;
    if disturbed {
        removals = leftovers(lake, &after).await?;
    }
    let (mut moved, gone) = moved(removals, &after);
    for (path, written) in puts {
        for old in moved
            .remove(layout::table_folder(&path))
            .unwrap_or_default()
        {
            lake.remove(&old).await?;
            done.files_removed += 1;
        }
        lake.put_file(&written.path, &path).await?;
        done.files_written += 1;
        done.bytes_written += written.bytes;
    }
    for path in moved.into_values().flatten().chain(gone) {
        lake.remove(&path).await?;
        done.files_removed += 1;
    }
    lake.put_json(layout::MANIFEST, &after).await?;
    Ok(done)
}

/// Tells files whose table is cut otherwise now, by its folder, from those that are only gone. A reader who globs while
/// a table moves would see rows twice if the new files came first; so he misses some for the time it takes to put them.
fn moved(removals: Vec<String>, after: &Manifest) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let cuts: BTreeMap<&str, Vec<&str>> = after
        .tables
        .values()
        .filter_map(|table| table.files.keys().next())
        .map(|path| (layout::table_folder(path), layout::keys(path)))
        .collect();
    let mut moved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut gone = Vec::new();
    for path in removals {
        let table = layout::table_folder(&path);
        match cuts.get(table) {
            Some(keys) if *keys != layout::keys(&path) => {
                moved.entry(table.to_owned()).or_default().push(path);
            }
            _ => gone.push(path),
        }
    }
    (moved, gone)
}

/// Files of the layers that the manifest does not name.
async fn leftovers(lake: &Lake, manifest: &Manifest) -> Result<Vec<String>> {
    let named: BTreeSet<&String> = manifest
        .tables
        .values()
        .flat_map(|table| table.files.keys())
        .collect();
    let mut unnamed = Vec::new();
    for layer in LAYERS.into_iter().chain([HISTORY]) {
        let found = lake.list(layer).await?;
        unnamed.extend(found.into_iter().filter(|path| !named.contains(path)));
    }
    Ok(unnamed)
}
