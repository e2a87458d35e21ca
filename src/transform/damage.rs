//! What becomes of published files that are missing or damaged.
//!
//! ```text
//! config, domain, dora, metrics   made by every run: put again
//! bitbucket                       collected again before (the state says so), else the run ends
//! history, metrics.history        grow from what was published: nothing can make them again, so the run ends
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind};
use crate::lake::{Damage, Inventory, InventoryDepth, Lake, Manifest, RepositoryState, layout};
use crate::schema::HISTORY;

const SOURCE: &str = "bitbucket";
/// So many files are named in an error.
const NAMED: usize = 5;

/// Files that this run cannot make again, with what is wrong with each.
pub(super) type Irreplaceable = BTreeMap<String, String>;

/// `remembered`: tables (`layer.table`) that are made from what was published of them before.
pub(super) fn irreplaceable(
    inventory: &Inventory,
    segments: BTreeMap<String, Damage>,
    states: &[RepositoryState],
    remembered: &BTreeSet<String>,
) -> Irreplaceable {
    let mut lost: Irreplaceable = segments
        .into_iter()
        .map(|(path, damage)| (path, damage.to_string()))
        .collect();
    for (path, damage) in &inventory.damaged {
        let table = table(path);
        let why = match table.split_once('.') {
            Some((SOURCE, entity)) => not_collected_again(path, entity, states, inventory),
            Some((HISTORY, _)) => Some(String::new()),
            _ => remembered.contains(&table).then(String::new),
        };
        if let Some(why) = why {
            lost.insert(path.clone(), format!("{damage}{why}"));
        }
    }
    lost
}

/// Why a file of the source layer cannot be made again; nothing for one that can, or that no repository has any more.
fn not_collected_again(
    path: &str,
    entity: &str,
    states: &[RepositoryState],
    inventory: &Inventory,
) -> Option<String> {
    let state = states
        .iter()
        .find(|state| state.source_file(entity) == path)?;
    let known = state.entities.get(entity);
    if known.is_some_and(|known| known.replaces_lost()) || state.may_have_moved(entity, inventory) {
        return None;
    }
    let reason = known
        .filter(|known| known.is_lost)
        .and_then(|known| known.reason.as_deref());
    Some(reason.map_or_else(String::new, |reason| {
        format!("; not collected again: {reason}")
    }))
}

/// The error that names what is lost.
pub(super) fn error(lost: &Irreplaceable) -> Error {
    let named = lost.iter().take(NAMED);
    let named: Vec<_> = named.map(|(path, why)| format!("{path} {why}")).collect();
    Error::new(
        ErrorKind::Lake,
        "files of the lake are missing or damaged, and this command cannot make them again",
    )
    .with("files", lost.len())
    .with("file", named.join("; "))
    .hint(
        "run `bitlake run`, which collects the source layer again; what it cannot collect, restore from a backup or a former \
         version of the bucket, or give up with `bitlake rebuild --accept-loss`; nothing was published",
    )
}

/// After a step that could not read a file: the error that names the damaged files which its listing does not show.
pub(super) async fn explain(lake: &Lake, error: Error) -> Error {
    if error.context(super::write::CAUSE) != Some(super::write::UNREADABLE) {
        return error;
    }
    let inventory = match lake.inventory(InventoryDepth::Content).await {
        Ok(inventory) if !inventory.damaged.is_empty() => inventory,
        _ => return error,
    };
    let named = inventory.damaged.iter().take(NAMED);
    let named: Vec<_> = named.map(|(path, why)| format!("{path} {why}")).collect();
    Error::new(ErrorKind::Lake, "files of the lake are damaged")
        .with("files", inventory.damaged.len())
        .with("file", named.join("; "))
        .source(error)
        .hint("remove them, then run `bitlake run`, which makes or collects them again")
}

/// What is published and can be read.
pub(super) fn readable(inventory: &Inventory, states: &[RepositoryState]) -> Manifest {
    let may_have_moved = |path: &str| {
        let table = table(path);
        let entity = table.strip_prefix("bitbucket.");
        entity.is_some_and(|entity| {
            let of_file = |state: &&RepositoryState| state.source_file(entity) == path;
            let state = states.iter().find(of_file);
            state.is_some_and(|state| state.may_have_moved(entity, inventory))
        })
    };
    let mut manifest = inventory.manifest.clone();
    for path in inventory
        .damaged
        .keys()
        .filter(|path| !may_have_moved(path))
    {
        if let Some(table) = manifest.tables.get_mut(&table(path)) {
            table.files.remove(path);
        }
    }
    manifest
}

/// The table (`layer.table`) of a file.
pub(super) fn table(path: &str) -> String {
    layout::table_folder(path).replace('/', ".")
}
