//! Lists that are read again because what was collected of them is missing or damaged: a published file of the source
//! layer, or a segment that waits for its publish.
//!
//! The state of such a list starts over, so that the walks of this run read it whole, as in the first load. A list of
//! another list's records is led to by those, so they are read again too.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lake::{Damage, Inventory, Lake, RepositoryState};
use crate::schema::Contracts;

/// What is missing or damaged, by path.
pub(super) struct Lost {
    published: Inventory,
    segments: BTreeMap<String, Damage>,
}

impl Lost {
    /// Looks at the source layer and at the segments that the states name.
    pub(super) async fn find(lake: &Lake, states: &[RepositoryState]) -> Result<Self> {
        Ok(Self {
            published: lake.source_inventory().await?,
            segments: lake.damaged_segments(states).await?,
        })
    }

    /// Starts over what a repository or workspace has lost.
    pub(super) fn start_over(&self, state: &mut RepositoryState) -> Result<()> {
        let mut lost = BTreeMap::new();
        for contract in Contracts::bundled()?.layer("bitbucket") {
            let table = contract.table.as_str();
            let path = state.source_file(table);
            if let Some(damage) = self.published.damaged.get(&path)
                && !state.may_have_moved(table, &self.published)
            {
                let known = state.entities.entry(table.to_owned()).or_default();
                if !known.is_lost {
                    known.is_lost = true;
                    lost.insert(table, format!("{path} {damage}"));
                }
            }
            let Some(known) = state.entities.get_mut(table) else {
                continue;
            };
            known.segments.retain(|segment| {
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

fn start_over(state: &mut RepositoryState, table: &str, reason: &str) {
    let asked_by_parent = |state: &RepositoryState| {
        let known = state.entities.get(table);
        known.is_some_and(|known| known.is_by_parent())
    };
    let leading: &[&str] = match table {
        // The feed has most comments.
        "pull_request_comments" => &["pull_requests", "pull_request_activity"],
        "pull_request_commits" => &["pull_requests"],
        "pull_request_activity" if asked_by_parent(state) => &["pull_requests"],
        "issue_comments" | "issue_changes" => &["issues"],
        "pipeline_steps" => &["pipelines", "deployments"],
        _ => &[],
    };
    for table in leading.iter().chain([&table]) {
        if let Some(known) = state.entities.get_mut(*table) {
            known.start_over(reason);
        }
    }
    // Otherwise they are not read while nothing was pushed.
    if matches!(table, "branches" | "tags" | "commits") {
        state.refs_as_of = None;
    }
}
