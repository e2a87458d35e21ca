//! Decides what to do about published files that are missing or damaged.
//!
//! ```text
//! config, domain, dora, metrics   every run makes them: publish them again
//! bitbucket                       publish again if the state says that the list was collected again, else fail
//! history, metrics.history        made from their published rows, so nothing can make them again: fail
//! ```

use std::collections::{BTreeMap, BTreeSet};

use datafusion::error::DataFusionError;

use super::kept::MadeFrom;
use super::run::TransformRun;
use crate::engine::is_unreadable;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{
    Damage, Inventory, InventoryDepth, Lake, Manifest, NextFile, NextTable, RepositoryState, layout,
};
use crate::schema::{HISTORY, SourceTable};

/// The number of files that an error names.
const NAMED: usize = 5;

/// The files that this run cannot make again, with the damage of each.
pub(super) type Irreplaceable = BTreeMap<String, String>;

impl TransformRun<'_> {
    /// Log the damaged files, and fail if this run cannot make one of them again. With `accept_loss` such files are given
    /// up instead: their segments leave the states, and their paths are returned.
    pub(super) async fn check_damage(
        &self,
        states: &mut [RepositoryState],
        accept_loss: bool,
    ) -> Result<BTreeSet<String>> {
        for (path, damage) in &self.inventory.damaged {
            tracing::warn!(file = path, "a published file {damage}");
        }
        let segments = self.lake.damaged_segments(states).await?;
        let self_reading_tables = self.steps.self_reading_tables(&self.engine)?;
        let lost = irreplaceable(self.inventory, segments, states, &self_reading_tables);
        if lost.is_empty() {
            return Ok(BTreeSet::new());
        }
        if !accept_loss {
            return Err(error(&lost));
        }
        for state in states {
            for list in state.entities.values_mut() {
                list.segments
                    .retain(|segment| !lost.contains_key(&segment.path));
            }
        }
        Ok(lost.into_keys().collect())
    }

    /// Fail if a damaged file belongs to a table that this run did not make. With `accept_loss` publish such tables
    /// without their damaged files instead.
    pub(super) fn check_repairs(&mut self, accept_loss: bool) -> Result<()> {
        let mut unrepaired = Irreplaceable::new();
        for (path, damage) in &self.inventory.damaged {
            if !self.tables.contains_key(&table(path)) {
                unrepaired.insert(path.clone(), damage.to_string());
            }
        }
        if unrepaired.is_empty() {
            return Ok(());
        }
        if !accept_loss {
            return Err(error(&unrepaired));
        }
        for name in unrepaired.keys().map(|path| table(path)) {
            if let Some(table) = self.manifest.table(&name) {
                let kept = table.files.keys();
                let next = NextTable {
                    schema_version: table.schema_version,
                    made_from: MadeFrom::new(),
                    files: kept.map(|path| (path.clone(), NextFile::Kept)).collect(),
                };
                self.tables.insert(name, next);
            }
        }
        Ok(())
    }
}

/// Return the damaged files that this run cannot make again. `self_reading_tables` are the tables (`layer.table`) that
/// are made from their own published rows.
pub(super) fn irreplaceable(
    inventory: &Inventory,
    segments: BTreeMap<String, Damage>,
    states: &[RepositoryState],
    self_reading_tables: &BTreeSet<String>,
) -> Irreplaceable {
    let mut lost: Irreplaceable = segments
        .into_iter()
        .map(|(path, damage)| (path, damage.to_string()))
        .collect();
    for (path, damage) in &inventory.damaged {
        let table = table(path);
        let why = match table.split_once('.') {
            Some((SourceTable::LAYER, entity)) => {
                not_collected_again(path, entity, states, inventory)
            }
            Some((HISTORY, _)) => Some(String::new()),
            _ => self_reading_tables.contains(&table).then(String::new),
        };
        if let Some(why) = why {
            lost.insert(path.clone(), format!("{damage}{why}"));
        }
    }
    lost
}

/// Return why a file of the source layer cannot be made again; `None` for a file that can be, or that belongs to no
/// repository any more.
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

/// Create the error that names the lost files.
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

/// Explain the failure of a step that could not read a file: compare the content of all published files with the
/// manifest, and name the damaged ones. Return other errors unchanged.
pub(super) async fn explain(lake: &Lake, error: Error) -> Error {
    let cause = error.find_cause::<DataFusionError>();
    if error.kind() != ErrorKind::Lake || !cause.is_some_and(is_unreadable) {
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

/// Return the manifest without the damaged files, except for files that may have moved with a renamed repository.
pub(super) fn readable(inventory: &Inventory, states: &[RepositoryState]) -> Manifest {
    let may_have_moved = |path: &str| {
        let source_table = SourceTable::from_qualified_name(&table(path));
        source_table.is_some_and(|source_table| {
            let entity = source_table.as_str();
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

/// Return the table (`layer.table`) that a published file belongs to.
pub(super) fn table(path: &str) -> String {
    layout::table_folder(path).replace('/', ".")
}
