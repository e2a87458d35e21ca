//! Pipelines created since `since`. Their list cannot be filtered and is oldest first unless sorted, so it is read from the
//! newest pipeline down to the first page that was read before; if the server does not sort, to its end.
//!
//! Changes that an incremental read of that list does not return are read by id: of pipelines that had not completed, and of
//! those whose deployment was repeated. A pipeline with a manual step that is not started is given up after a month.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use serde_json::value::RawValue;

use super::checkpoint::{CheckpointStore, PendingRecords};
use super::entity::{Entity, text, time, uuid};
use super::list_reader::ListOutcome;
use super::newest_first::{NewestFirstList, SyncMode, no_filter, read_newest_first};
use super::order::EarlyStop;
use super::pending_reader::{Fetched, PendingReading, read_pending};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::{RecordLookup, endpoints};
use crate::config::StepsRule;
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::{Cursor, PendingKind, PendingRecord, Replaces};
use crate::redaction::ReceivedRecord;
use crate::schema::{Parent, SourceTable, content_key};

static ENTITY: Entity = Entity {
    time: Some(created_on),
    ..Entity::new(SourceTable::Pipelines, uuid)
};

static LIST: NewestFirstList = NewestFirstList {
    entity: &ENTITY,
    endpoint: &endpoints::PIPELINES,
    stop: EarlyStop::OlderStrictly,
    filter: no_filter,
    incremental_parameter: None,
    has_full_refresh: false,
};

/// Some pipelines never complete, because their manual step is not started or they are blocked: three of ten in some
/// repositories.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(30);

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let all_steps = run.steps == StepsRule::All;
    if all_steps {
        request_all_steps(&mut run.checkpoints);
    }
    let now = run.repository.now();
    let pending = run.checkpoints.list(ENTITY.table).pending.iter();
    let fingerprints: HashMap<String, Option<String>> = pending
        .map(|record| (record.id.clone(), record.fingerprint().map(str::to_owned)))
        .collect();
    let mut read = Vec::new();
    let outcome = read_newest_first(run, &LIST, report, |record, mode, target, pending| {
        let Some(uuid) = uuid(record) else { return };
        let (created_on, is_completed) = (created_on(record), is_completed(record));
        let fingerprint = || fingerprint(record);
        let is_new = mode != SyncMode::Incremental || created_on.is_none_or(|time| time >= target);
        // The last page also has older pipelines: only the pending ones of them are not read yet.
        let has_changed = match fingerprints.get(&uuid) {
            Some(before) => before.as_ref() != Some(&fingerprint()),
            None if is_new => true,
            None => return,
        };
        if all_steps && (has_changed || is_new) {
            pending.add(SourceTable::PipelineSteps, PendingRecord::fetch(&uuid));
        }
        if !is_completed && is_recent(created_on, now) {
            pending.add(ENTITY.table, update(&uuid, created_on, fingerprint()));
        }
        read.push((uuid, is_completed));
    })
    .await;
    run.pipelines.extend(read);
    outcome
}

/// Record that the steps of every pipeline are wanted. The first time, the pipelines that are collected already are read once
/// more, because each makes its steps pending.
fn request_all_steps(checkpoints: &mut CheckpointStore<'_>) {
    if checkpoints.list(SourceTable::PipelineSteps).is_by_parent() {
        return;
    }
    checkpoints
        .list_mut(SourceTable::PipelineSteps)
        .set_by_parent();
    let pipelines = checkpoints.list_mut(ENTITY.table);
    if pipelines.ever_returned() && pipelines.backfill.is_none() {
        pipelines.backfill = Some(Cursor {
            full_refresh: true,
            ..Cursor::default()
        });
    }
}

/// Read the pending pipelines that this run's list did not return.
pub(super) async fn collect_pending(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        pipelines,
        steps,
        ..
    } = run;
    let pending = &mut checkpoints.list_mut(ENTITY.table).pending;
    pending.retain(|record| pipelines.get(&record.id) != Some(&true));
    let mut requested = pending.clone();
    requested.retain(|record| !pipelines.contains_key(&record.id));
    let fetched = stream::iter(requested).then(|record| fetch(repository, record));
    let mut reading = PipelineUpdates {
        repository,
        all_steps: *steps == StepsRule::All,
        sink: Sink::new(repository, &ENTITY, checkpoints)?,
        records: Vec::new(),
        done: HashSet::new(),
        pending: PendingRecords::default(),
    };
    read_pending(
        repository,
        checkpoints,
        fetched,
        usize::MAX,
        &mut reading,
        report,
    )
    .await
}

/// A pending pipeline with its record; `None` for one that does not exist any more.
type PipelineUpdate = (PendingRecord, Option<Box<RawValue>>);

async fn fetch(
    repository: &RepositoryContext<'_>,
    pending: PendingRecord,
) -> Fetched<PipelineUpdate> {
    let target = repository.target().parent(&pending.id);
    let answer = repository.client.get(&endpoints::PIPELINE, &target).await;
    Fetched {
        requests: 1,
        result: answer.map(|answer| match answer {
            RecordLookup::Found { value, .. } => (pending, Some(value)),
            RecordLookup::Unavailable(_) => (pending, None),
        }),
    }
}

/// Pending pipelines that were read since the last checkpoint.
struct PipelineUpdates<'r, 'a> {
    repository: &'r RepositoryContext<'a>,
    all_steps: bool,
    sink: Sink<'r>,
    /// The records that changed.
    records: Vec<Box<RawValue>>,
    done: HashSet<String>,
    pending: PendingRecords,
}

impl PendingReading<PipelineUpdate> for PipelineUpdates<'_, '_> {
    fn take(
        &mut self,
        (before, record): PipelineUpdate,
        _: &mut EntityReport,
    ) -> Result<Option<ListOutcome>> {
        self.done.insert(before.id.clone());
        let Some(record) = record else {
            return Ok(None);
        };
        let received = ReceivedRecord::read(record.get());
        let value = received.value();
        let (fingerprint, created_on) = (fingerprint(value), created_on(value));
        let has_changed = before.fingerprint() != Some(&fingerprint);
        if !is_completed(value) && is_recent(created_on, self.repository.now()) {
            let update = update(&before.id, created_on, fingerprint);
            self.pending.add(ENTITY.table, update);
        }
        if has_changed {
            if self.all_steps {
                self.pending
                    .add(SourceTable::PipelineSteps, PendingRecord::fetch(&before.id));
            }
            self.records.push(record);
        }
        Ok(None)
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        report: &mut EntityReport,
    ) -> Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.records);
        let parent = Some(&Parent::None);
        self.sink.take(&records, parent, report, |_| {})?;
        self.sink.save(checkpoints, Replaces::Nothing).await?;
        let done = std::mem::take(&mut self.done);
        let list = checkpoints.list_mut(ENTITY.table);
        list.pending.retain(|record| !done.contains(&record.id));
        checkpoints.add_pending(&mut self.pending);
        checkpoints.put().await
    }
}

fn update(uuid: &str, created_on: Option<DateTime<Utc>>, fingerprint: String) -> PendingRecord {
    let kind = PendingKind::PipelineUpdate {
        created_on,
        fingerprint: Some(fingerprint),
    };
    PendingRecord::new(uuid, kind)
}

fn created_on(record: JsonValue<'_>) -> Option<DateTime<Utc>> {
    time(record, "/created_on")
}

fn is_completed(record: JsonValue<'_>) -> bool {
    text(record, "/state/name").as_deref() == Some("COMPLETED")
}

fn is_recent(created_on: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    created_on.is_some_and(|time| now - time < GIVEN_UP_AFTER)
}

/// Return a digest of the fields that change when a pipeline makes progress: the list and the single record of a pipeline differ
/// in others.
fn fingerprint(record: JsonValue<'_>) -> String {
    let parts = [
        "state",
        "completed_on",
        "run_number",
        "duration_in_seconds",
        "build_seconds_used",
    ];
    let parts = parts.map(|name| {
        record
            .get(name)
            .map(|it| it.to_string())
            .unwrap_or_default()
    });
    content_key(&parts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonDocument;
    use serde_json::{Value, json};

    #[test]
    fn a_pipeline_that_makes_progress_changes_its_fingerprint() {
        let fingerprint = |record: Value| fingerprint(JsonDocument::from(&record).root());
        let at = |stage: &str| {
            let state = json!({"name": "IN_PROGRESS", "stage": {"name": stage}});
            fingerprint(json!({"state": state, "links": stage}))
        };
        assert_ne!(at("PAUSED"), at("RUNNING"));
        let other = json!({"state": {"name": "IN_PROGRESS", "stage": {"name": "PAUSED"}}});
        assert_eq!(at("PAUSED"), fingerprint(other), "links do not count");
    }
}
