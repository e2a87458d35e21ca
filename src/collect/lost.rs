//! Lists whose collected records are missing or damaged: in a published file of the source layer, or in a segment that is
//! not published yet. They are read again.
//!
//! The state of such a list starts over, so this run reads the list whole, as in the first load. The records of a list
//! whose parents are other records are requested when those are read, so the parents are read again too.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lake::{Damage, Inventory, Lake, RepositoryState};
use crate::schema::{Contracts, SourceTable};

/// The damaged and missing files of the source layer and of the segments.
pub(super) struct LostLists {
    published: Inventory,
    /// By path.
    segments: BTreeMap<String, Damage>,
}

impl LostLists {
    /// Check the files of the source layer, and the segments that the states name.
    pub(super) async fn find(lake: &Lake, states: &[RepositoryState]) -> Result<Self> {
        Ok(Self {
            published: lake.source_inventory().await?,
            segments: lake.damaged_segments(states).await?,
        })
    }

    /// Start over the lists of a repository or workspace whose files are missing or damaged.
    pub(super) fn start_over(&self, state: &mut RepositoryState) -> Result<()> {
        let mut lost = BTreeMap::new();
        for contract in Contracts::bundled()?.layer(SourceTable::LAYER) {
            let table = contract.table.as_str();
            let path = state.source_file(table);
            if let Some(damage) = self.published.damaged.get(&path)
                && !state.may_have_moved(table, &self.published)
            {
                let list = state.entities.entry(table.to_owned()).or_default();
                if !list.is_lost {
                    list.is_lost = true;
                    lost.insert(table, format!("{path} {damage}"));
                }
            }
            let Some(list) = state.entities.get_mut(table) else {
                continue;
            };
            list.segments.retain(|segment| {
                let damage = self.segments.get(&segment.path);
                if let Some(damage) = damage {
                    lost.insert(table, format!("{} {damage}", segment.path));
                }
                damage.is_none()
            });
        }
        for (table, reason) in lost {
            tracing::warn!(repository = %state.full_name, entity = table, "{reason}: the list is read again");
            start_over(state, table, &format!("{reason}: read again"));
        }
        Ok(())
    }
}

/// Start over a list and the lists that lead to its records.
fn start_over(state: &mut RepositoryState, table: &str, reason: &str) {
    let is_by_parent = |state: &RepositoryState| {
        let list = state.entities.get(table);
        list.is_some_and(|list| list.is_by_parent())
    };
    let source_table = SourceTable::from_name(table);
    let sources: &[SourceTable] = match source_table {
        // One list has the activity of all pull requests.
        Some(SourceTable::PullRequestActivity) if !is_by_parent(state) => &[],
        Some(source_table) => source_table.sources(),
        None => &[],
    };
    for table in sources.iter().map(|it| it.as_str()).chain([table]) {
        if let Some(list) = state.entities.get_mut(table) {
            list.start_over(reason);
        }
    }
    // These lists are only read when something was pushed since the last time.
    if source_table.is_some_and(SourceTable::is_read_after_push) {
        state.refs_as_of = None;
    }
}
