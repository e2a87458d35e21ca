//! Deployments, by when they ended: the list is newest first by that, with those that have not ended before all others,
//! so a re-deploy, which overwrites its record, comes to the front. If the server does not sort, all are walked.
//! Steps that nobody presses leave records that never end. Once they fill a page, every refresh would read them all again:
//! then it asks for those that ended, and for all of them once a week.
//! `since` cuts by the latest time a record has; one that never ran has none and stays.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::checkpoint::FollowUps;
use super::entity::{Entity, text, time, uuid};
use super::newest_first::{Aim, List, newest_first, unfiltered};
use super::order::EarlyStop;
use super::pipelines::STEPS;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::config::StepsRule;
use crate::error::Result;
use crate::lake::PendingRecord;

static ENTITY: Entity = Entity {
    time: Some(latest),
    ordered_by: Some(completed_on),
    ..Entity::new("deployments", |record| {
        uuid(record).or_else(|| text(record, "/key"))
    })
};

static LIST: List = List {
    entity: &ENTITY,
    endpoint: &endpoints::DEPLOYMENTS,
    stop: EarlyStop::OlderStrictly,
    filter: unfiltered,
    only: None,
    reconciles: false,
};

/// Those that have ended.
static ENDED: List = List {
    entity: &ENTITY,
    endpoint: &endpoints::DEPLOYMENTS,
    stop: EarlyStop::OlderStrictly,
    filter: unfiltered,
    only: Some(("state.name", "COMPLETED")),
    reconciles: false,
};

const UNFINISHED_EVERY: TimeDelta = TimeDelta::days(7);

const TIMES: [&str; 4] = [
    "/last_update_time",
    "/state/completed_on",
    "/state/started_on",
    "/release/created_on",
];

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let mut environments = BTreeSet::new();
    let steps = repo.steps;
    let options = repo.site.context.options;
    let read_on = repo.checkpoints.entity(ENTITY.table).unfinished_on;
    let lately = read_on.is_some_and(|on| options.now - on < UNFINISHED_EVERY);
    let list = match lately && !options.full {
        true => &ENDED,
        false => &LIST,
    };
    let mut unfinished = 0;
    let outcome = newest_first(repo, list, report, |record, aim, target, more| {
        unfinished += u64::from(completed_on(record).is_none());
        environments.extend(text(record, "/environment/uuid"));
        follow(record, aim, target, steps, more);
    })
    .await;
    repo.environments.extend(environments);
    if !lately && matches!(outcome, Ok(ListOutcome::Complete)) {
        let many = unfinished >= u64::from(endpoints::DEPLOYMENTS.pagelen);
        repo.checkpoints.entity(ENTITY.table).unfinished_on = many.then_some(options.now);
    }
    outcome
}

/// A deployment that was done again changes a pipeline that ended long ago: it is to be looked at. One that ended and does
/// not say how leaves that to its step.
fn follow(record: &Value, aim: Aim, target: DateTime<Utc>, steps: StepsRule, more: &mut FollowUps) {
    let is_new = completed_on(record).is_some_and(|time| time >= target);
    let Some(pipeline) = text(record, "/release/pipeline/uuid") else {
        return;
    };
    let mut queue = |table| {
        more.entry(table)
            .or_default()
            .push(PendingRecord::parent(&pipeline))
    };
    if aim == Aim::Refresh && is_new {
        queue("pipelines");
    }
    let is_open = text(record, "/state/status/name").is_none();
    if steps == StepsRule::Deployments && is_new && is_open {
        queue(STEPS);
    }
}

fn completed_on(record: &Value) -> Option<DateTime<Utc>> {
    time(record, "/state/completed_on")
}

fn latest(record: &Value) -> Option<DateTime<Utc>> {
    TIMES
        .iter()
        .filter_map(|pointer| time(record, pointer))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_re_deploy_of_an_old_release_is_as_young_as_its_last_change() {
        let record = json!({"release": {"created_on": "2025-01-01T00:00:00Z"},
            "state": {"started_on": "2026-11-01T00:00:00Z"}, "last_update_time": "2026-11-01T00:01:00Z"});
        assert_eq!(
            latest(&record).unwrap().to_rfc3339(),
            "2026-11-01T00:01:00+00:00"
        );
        assert_eq!(latest(&json!({"state": {"name": "UNDEPLOYED"}})), None);
    }
}
