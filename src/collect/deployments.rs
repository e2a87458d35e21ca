//! Deployments, in the order of their completion: the list is newest first by that, with unfinished deployments before all
//! others, so a re-deploy, which overwrites its record, comes to the front. If the server does not sort, the whole list is read.
//!
//! Manual steps that are never started leave records that never complete. Once they fill a page, every incremental read would
//! read all of them again: it then asks for completed deployments only, and for all of them once a week.
//! `since` cuts by the latest time of a record; a deployment that never ran has none and is kept.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::checkpoint::PendingRecords;
use super::entity::{Entity, text, time, uuid};
use super::list_reader::ListOutcome;
use super::newest_first::{NewestFirstList, SyncMode, no_filter, read_newest_first};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::config::StepsRule;
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::PendingRecord;
use crate::schema::SourceTable;

static ENTITY: Entity = Entity {
    time: Some(latest_time),
    ordered_by: Some(completed_on),
    ..Entity::new(SourceTable::Deployments, |record| {
        uuid(record).or_else(|| text(record, "/key"))
    })
};

static ALL: NewestFirstList = NewestFirstList {
    entity: &ENTITY,
    endpoint: &endpoints::DEPLOYMENTS,
    stop: EarlyStop::OlderStrictly,
    filter: no_filter,
    incremental_parameter: None,
    has_full_refresh: false,
};

static COMPLETED: NewestFirstList = NewestFirstList {
    entity: &ENTITY,
    endpoint: &endpoints::DEPLOYMENTS,
    stop: EarlyStop::OlderStrictly,
    filter: no_filter,
    incremental_parameter: Some(("state.name", "COMPLETED")),
    has_full_refresh: false,
};

const UNFINISHED_INTERVAL: TimeDelta = TimeDelta::days(7);

const TIMES: [&str; 4] = [
    "/last_update_time",
    "/state/completed_on",
    "/state/started_on",
    "/release/created_on",
];

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let now = run.repository.now();
    let mut environments = BTreeSet::new();
    let steps = run.steps;
    let read_on = run.checkpoints.list(ENTITY.table).unfinished_on();
    let is_recent = read_on.is_some_and(|on| now - on < UNFINISHED_INTERVAL);
    let list = match is_recent && !run.repository.is_full_refresh() {
        true => &COMPLETED,
        false => &ALL,
    };
    let mut unfinished = 0;
    let outcome = read_newest_first(run, list, report, |record, mode, target, pending| {
        unfinished += u64::from(completed_on(record).is_none());
        environments.extend(text(record, "/environment/uuid"));
        find_pending(record, mode, target, steps, pending);
    })
    .await;
    run.environments.extend(environments);
    if !is_recent && matches!(outcome, Ok(ListOutcome::Complete)) {
        let fills_page = unfinished >= u64::from(endpoints::DEPLOYMENTS.pagelen);
        let list = run.checkpoints.list_mut(ENTITY.table);
        list.set_unfinished_on(fills_page.then_some(now));
    }
    outcome
}

/// Make the pipeline of a repeated deployment pending, because the deployment changes a pipeline that completed long ago. Make
/// its steps pending as well where a completed deployment does not contain its result.
fn find_pending(
    record: JsonValue<'_>,
    mode: SyncMode,
    target: DateTime<Utc>,
    steps: StepsRule,
    pending: &mut PendingRecords,
) {
    let is_new = completed_on(record).is_some_and(|time| time >= target);
    let Some(pipeline) = text(record, "/release/pipeline/uuid") else {
        return;
    };
    if mode == SyncMode::Incremental && is_new {
        pending.add(SourceTable::Pipelines, PendingRecord::fetch(&pipeline));
    }
    let lacks_status = text(record, "/state/status/name").is_none();
    if steps == StepsRule::Deployments && is_new && lacks_status {
        pending.add(SourceTable::PipelineSteps, PendingRecord::fetch(&pipeline));
    }
}

fn completed_on(record: JsonValue<'_>) -> Option<DateTime<Utc>> {
    time(record, "/state/completed_on")
}

fn latest_time(record: JsonValue<'_>) -> Option<DateTime<Utc>> {
    TIMES
        .iter()
        .filter_map(|pointer| time(record, pointer))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonDocument;
    use serde_json::json;

    #[test]
    fn a_repeated_deployment_has_the_time_of_its_last_change() {
        let record = JsonDocument::from(&json!({"release": {"created_on": "2025-01-01T00:00:00Z"},
            "state": {"started_on": "2026-11-01T00:00:00Z"}, "last_update_time": "2026-11-01T00:01:00Z"}));
        assert_eq!(
            latest_time(record.root()).unwrap().to_rfc3339(),
            "2026-11-01T00:01:00+00:00"
        );
        let undeployed = JsonDocument::from(&json!({"state": {"name": "UNDEPLOYED"}}));
        assert_eq!(latest_time(undeployed.root()), None);
    }
}
