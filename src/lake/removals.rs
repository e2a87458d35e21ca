//! What a publish takes away: files that no table has any more, and in which order they go.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lake, Manifest, layout};
use crate::error::Result;
use crate::schema::{HISTORY, LAYERS};

/// Tells files whose table is cut otherwise now, by its folder, from those that are only gone. A reader who globs while
/// a table moves would see rows twice if the new files came first; so he misses some for the time it takes to put them.
pub(super) fn moved(
    removals: Vec<String>,
    after: &Manifest,
) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
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

/// Files of the layers that the manifest does not name, and what grew beside them.
pub(super) async fn leftovers(lake: &Lake, manifest: &Manifest) -> Result<Vec<String>> {
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
