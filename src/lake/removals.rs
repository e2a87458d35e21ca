//! The files that a publish removes: files of no table, and files of a former partitioning.

use std::collections::{BTreeMap, BTreeSet};

use super::layout;
use super::manifest::Manifest;
use super::store::Lake;
use crate::error::Result;
use crate::schema::{HISTORY, LAYERS};

/// Files to remove.
pub(super) struct Removals {
    /// The files of tables that are partitioned by other keys now, by the table's folder. They are removed before the
    /// table's new files are put: a reader that globs meanwhile misses rows, but never reads a row twice.
    pub(super) repartitioned: BTreeMap<String, Vec<String>>,
    /// All others, removed after the puts.
    pub(super) obsolete: Vec<String>,
}

/// Split `paths`, which are to be removed, by whether their table has other partition keys in the manifest `after`.
pub(super) fn split_removals(paths: Vec<String>, after: &Manifest) -> Removals {
    let keys_of_tables: BTreeMap<&str, Vec<&str>> = after
        .tables
        .values()
        .filter_map(|table| table.files.keys().next())
        .map(|path| (layout::table_folder(path), layout::partition_keys(path)))
        .collect();
    let mut removals = Removals {
        repartitioned: BTreeMap::new(),
        obsolete: Vec::new(),
    };
    for path in paths {
        let table = layout::table_folder(&path);
        match keys_of_tables.get(table) {
            Some(keys) if *keys != layout::partition_keys(&path) => {
                let files = removals.repartitioned.entry(table.to_owned());
                files.or_default().push(path);
            }
            _ => removals.obsolete.push(path),
        }
    }
    removals
}

/// List the files of the layers that the manifest does not name. On local disk, remove partial files too.
pub(super) async fn list_leftovers(lake: &Lake, manifest: &Manifest) -> Result<Vec<String>> {
    let named: BTreeSet<&str> = manifest.paths().map(String::as_str).collect();
    let layers = named.iter().filter_map(|path| path.split('/').next());
    let layers: BTreeSet<&str> = layers.chain(LAYERS).chain([HISTORY]).collect();
    let mut unnamed = Vec::new();
    for layer in layers {
        let found = lake.list(layer).await?;
        unnamed.extend(
            found
                .into_iter()
                .filter(|path| !named.contains(path.as_str())),
        );
    }
    if let Some(folder) = lake.folder() {
        match std::fs::remove_dir_all(folder.join(layout::INCOMING)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", layout::INCOMING);
            }
            _ => {}
        }
    }
    Ok(unnamed)
}
