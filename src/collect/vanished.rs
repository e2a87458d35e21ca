//! Repositories of earlier runs that discovery does not find any more: their rows stay, marked as stale.

use super::checkpoint::CheckpointStore;
use super::context::RunContext;
use super::discovery::VanishedRepository;
use super::freshness::CONFIRMED_AFTER;
use super::report::{EntityReport, RepositoryReport};
use crate::error::Result;
use crate::lake::ListStatus;

/// When more than one in so many repositories is missing, the cause is the credentials or Bitbucket, and none counts as
/// deleted.
const PLAUSIBLE_SHARE: usize = 5;

/// Mark the lists of vanished repositories as stale and report them.
///
/// # Errors
/// Those of the lake.
pub(super) async fn mark_vanished(
    context: &RunContext<'_>,
    vanished: &[&VanishedRepository],
) -> Result<Vec<RepositoryReport>> {
    let known = context.states.count_repositories();
    let is_plausible = known <= 1 || vanished.len() * PLAUSIBLE_SHARE <= known;
    let mut reports = Vec::new();
    for one in vanished {
        reports.push(mark_stale(context, one, is_plausible).await?);
    }
    Ok(reports)
}

async fn mark_stale(
    context: &RunContext<'_>,
    vanished: &VanishedRepository,
    is_plausible: bool,
) -> Result<RepositoryReport> {
    let now = context.options.now;
    let mut state = vanished.state.clone();
    let saved = context
        .states
        .get_versioned(state.connection_id, &state.uuid);
    if vanished.is_missing {
        let since = *state.missing_since.get_or_insert(now);
        state.deleted = is_plausible && now - since >= CONFIRMED_AFTER;
    }
    let mut report = RepositoryReport {
        connection: vanished.connection.clone(),
        repository: state.full_name.clone(),
        uuid: state.uuid.clone(),
        ..RepositoryReport::default()
    };
    for (table, list) in &mut state.entities {
        if list.ever_returned() {
            list.status = ListStatus::Stale;
            list.reason = Some(vanished.reason.clone());
            list.stale_since.get_or_insert(now);
        }
        let list = EntityReport {
            status: Some(list.status),
            reason: list.reason.clone(),
            ..EntityReport::default()
        };
        report.entities.insert(table.clone(), list);
    }
    let mut checkpoints = CheckpointStore::new(context.lake, state, saved);
    checkpoints.put().await?;
    Ok(report)
}
