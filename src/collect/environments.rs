//! Deployment environments. A deleted one stays, because its deployments still name it.
//!
//! A deployment says the name and type of its environment, so their list is asked for only when a deployment names one
//! that is not known, and once a week for what is changed in its settings.

use chrono::{DateTime, TimeDelta, Utc};

use super::entity::{Entity, uuid};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::{self, ListOutcome};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::lake::ListState;

static ENTITY: Entity = Entity::new("environments", uuid);

const ASKED_EVERY: TimeDelta = TimeDelta::days(7);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let options = repo.site.context.options;
    let named = std::mem::take(&mut repo.environments);
    let through = repo.checkpoints.entity("deployments").complete_through;
    let state = repo.checkpoints.entity(ENTITY.table);
    let all_known = named.is_subset(&state.known);
    if !options.full && all_known && !is_due(state, options.now) {
        state.complete_through = through.max(state.complete_through);
        return Ok(ListOutcome::Complete);
    }
    let outcome = walk::whole(repo, &ENTITY, &endpoints::ENVIRONMENTS, report, |_| {}).await?;
    if matches!(outcome, ListOutcome::Complete) {
        let state = repo.checkpoints.entity(ENTITY.table);
        state.reconciled_on = Some(options.now);
        // Also those that are not there any more: to ask again would not help.
        state.known.extend(named);
    }
    Ok(outcome)
}

pub(super) fn is_due(state: &ListState, now: DateTime<Utc>) -> bool {
    let last = state.reconciled_on;
    !state.ever_returned() || last.is_none_or(|last| now - last >= ASKED_EVERY)
}
