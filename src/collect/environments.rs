//! Deployment environments. A deleted one is kept, because its deployments still name it.
//!
//! A deployment contains the name and type of its environment, so the list of environments is read only when a deployment names
//! one that was not asked for yet, and once a week for changed settings.

use chrono::{DateTime, TimeDelta, Utc};

use super::entity::{Entity, uuid};
use super::list_reader::ListOutcome;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use super::whole_list::read_whole;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::lake::ListState;
use crate::schema::SourceTable;

static ENTITY: Entity = Entity::new(SourceTable::Environments, uuid);

const INTERVAL: TimeDelta = TimeDelta::days(7);

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let now = run.repository.now();
    let is_full_refresh = run.repository.is_full_refresh();
    let named = std::mem::take(&mut run.environments);
    let deployments_complete_until = run
        .checkpoints
        .list(SourceTable::Deployments)
        .complete_through;
    let list = run.checkpoints.list_mut(ENTITY.table);
    let all_requested = named.is_subset(list.requested_environments());
    if !is_full_refresh && all_requested && !is_due(list, now) {
        list.complete_through = deployments_complete_until.max(list.complete_through);
        return Ok(ListOutcome::Complete);
    }
    let outcome = read_whole(run, &ENTITY, &endpoints::ENVIRONMENTS, report, |_| {}).await?;
    if matches!(outcome, ListOutcome::Complete) {
        let list = run.checkpoints.list_mut(ENTITY.table);
        list.full_refresh_on = Some(now);
        // Also those that do not exist any more: asking again would not help.
        list.add_requested_environments(named);
    }
    Ok(outcome)
}

/// Whether the list of environments is to be read even if no deployment names a new one.
pub(super) fn is_due(list: &ListState, now: DateTime<Utc>) -> bool {
    let last = list.full_refresh_on;
    !list.ever_returned() || last.is_none_or(|last| now - last >= INTERVAL)
}
