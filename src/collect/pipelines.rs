//! Pipelines created since `since`. Their list cannot be filtered and is oldest first unless sorted, so it is walked
//! from the newest and left at the first page that was read before; if the server does not sort, at its end.
//!
//! What that list cannot show is asked for one by one: pipelines that had not ended, and those whose deployment was done
//! again. One that waits for a button for ever is given up after a month.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::checkpoint::{CheckpointStore, FollowUps};
use super::entity::{Entity, text, time, uuid};
use super::newest_first::{Aim, List, newest_first, unfiltered};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::Sink;
use super::walk::{ListOutcome, Pace, or_stop};
use crate::bitbucket::{RecordLookup, endpoints};
use crate::config::StepsRule;
use crate::error::{ErrorKind, Result};
use crate::lake::{Cursor, PendingRecord, Replaces};
use crate::schema::{Parent, content_key};

static ENTITY: Entity = Entity {
    time: Some(created_on),
    ..Entity::new("pipelines", uuid)
};

static LIST: List = List {
    entity: &ENTITY,
    endpoint: &endpoints::PIPELINES,
    stop: EarlyStop::OlderStrictly,
    filter: unfiltered,
    only: None,
    reconciles: false,
};

pub(super) const STEPS: &str = "pipeline_steps";

/// Pipelines wait for a button, or are blocked, for ever: three of ten do in some repositories.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(30);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let mut seen = Vec::new();
    let all_steps = repo.steps == StepsRule::All;
    let steps = repo.checkpoints.entity(STEPS);
    let wanted_since_now = all_steps && !std::mem::replace(&mut steps.by_parent, all_steps);
    let state = repo.checkpoints.entity(ENTITY.table);
    if wanted_since_now && state.ever_returned() && state.deep.is_none() {
        // The pipelines that are here already are gone through once more, for their steps.
        state.deep = Some(Cursor {
            reconcile: true,
            ..Cursor::default()
        });
    }
    let now = repo.site.context.options.now;
    let waiting: HashMap<String, Option<String>> = repo
        .checkpoints
        .entity(ENTITY.table)
        .queue
        .iter()
        .map(|queued| (queued.id.clone(), queued.seen.clone()))
        .collect();
    let outcome = newest_first(repo, &LIST, report, |record, aim, target, more| {
        let Some(uuid) = uuid(record) else { return };
        let (queued, ended) = (unfinished(record, &uuid), has_ended(record));
        let is_new = aim != Aim::Refresh || queued.created_on.is_none_or(|time| time >= target);
        // The last page holds older ones as well: those that are waited for are looked at, the others were.
        let went_on = match waiting.get(&uuid) {
            Some(before) => *before != queued.seen,
            None if is_new => true,
            None => return,
        };
        if all_steps && (went_on || is_new) {
            more.entry(STEPS)
                .or_default()
                .push(PendingRecord::parent(&uuid));
        }
        if !ended && is_young(queued.created_on, now) {
            more.entry(ENTITY.table).or_default().push(queued);
        }
        seen.push((uuid, ended));
    })
    .await;
    repo.pipelines.extend(seen);
    outcome
}

/// Asks for the pipelines that may have gone on since they were seen.
pub(super) async fn look_again(
    repo: &mut Repo<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let Repo {
        site,
        checkpoints,
        pipelines,
        steps,
        ..
    } = repo;
    let all_steps = *steps == StepsRule::All;
    let queue = &mut checkpoints.entity(ENTITY.table).queue;
    queue.retain(|queued| pipelines.get(&queued.id) != Some(&true));
    let mut again: Vec<PendingRecord> = queue.clone();
    again.retain(|queued| !pipelines.contains_key(&queued.id));

    let mut pace = Pace::default();
    let mut found = Found::default();
    let (mut stopped, mut failure) = (false, None);
    for queued in again {
        let asked = tokio::select! {
            biased;
            () = site.context.options.stop.wait() => Ok(None),
            asked = ask(site, &queued, report) => or_stop(site, asked),
        };
        let record = match asked {
            Ok(Some(record)) => record,
            Ok(None) => {
                stopped = true;
                break;
            }
            // One that cannot be read stays queued and holds nobody up.
            Err(error) if error.kind() == ErrorKind::Api => {
                failure.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        found.take(queued, record, site, all_steps);
        pace.pages += 1;
        if pace.is_due() {
            found.save(site, checkpoints, report).await?;
            pace = Pace::default();
        }
    }
    found.save(site, checkpoints, report).await?;
    match failure {
        Some(error) => Err(error),
        None if stopped => Ok(ListOutcome::Stopped),
        None => Ok(ListOutcome::Complete),
    }
}

/// The pipeline as it is now; nothing for one that is gone.
async fn ask(
    site: &Site<'_>,
    queued: &PendingRecord,
    report: &mut EntityReport,
) -> Result<Option<Box<RawValue>>> {
    report.requests += 1;
    let target = site.target().parent(&queued.id);
    match site.client.get(&endpoints::PIPELINE, &target).await? {
        RecordLookup::Found { value, .. } => Ok(Some(value)),
        RecordLookup::Unavailable(_) => Ok(None),
    }
}

/// What looking again showed.
#[derive(Default)]
struct Found {
    records: Vec<Box<RawValue>>,
    done: Vec<String>,
    waiting: Vec<PendingRecord>,
    steps: Vec<PendingRecord>,
}

impl Found {
    fn take(
        &mut self,
        queued: PendingRecord,
        record: Option<Box<RawValue>>,
        site: &Site<'_>,
        all_steps: bool,
    ) {
        self.done.push(queued.id.clone());
        let Some(record) = record else { return };
        let value: Value = serde_json::from_str(record.get()).unwrap_or(Value::Null);
        let now = unfinished(&value, &queued.id);
        if now.seen != queued.seen {
            if all_steps {
                self.steps.push(PendingRecord::parent(&queued.id));
            }
            self.records.push(record);
        }
        if !has_ended(&value) && is_young(now.created_on, site.context.options.now) {
            self.waiting.push(now);
        }
    }

    async fn save(
        &mut self,
        site: &Site<'_>,
        checkpoints: &mut CheckpointStore<'_>,
        report: &mut EntityReport,
    ) -> Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        let mut sink = Sink::open(site, &ENTITY, checkpoints.sequence(ENTITY.table))?;
        let records = std::mem::take(&mut self.records);
        sink.take(&records, Some(&Parent::None), report, |_| {})?;
        let segment = sink.finish(Replaces::Nothing).await?;
        checkpoints.add(ENTITY.table, segment);
        let done = std::mem::take(&mut self.done);
        let entity = checkpoints.entity(ENTITY.table);
        entity.queue.retain(|queued| !done.contains(&queued.id));
        entity.enqueue(std::mem::take(&mut self.waiting));
        let steps = std::mem::take(&mut self.steps);
        checkpoints.follow(&mut FollowUps::from([(STEPS, steps)]));
        checkpoints.put().await
    }
}

fn created_on(record: &Value) -> Option<DateTime<Utc>> {
    time(record, "/created_on")
}

fn has_ended(record: &Value) -> bool {
    text(record, "/state/name").as_deref() == Some("COMPLETED")
}

fn is_young(created_on: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    created_on.is_some_and(|time| now - time < GIVEN_UP_AFTER)
}

fn unfinished(record: &Value, uuid: &str) -> PendingRecord {
    PendingRecord {
        created_on: created_on(record),
        seen: Some(content_key(&fingerprint(record))),
        ..PendingRecord::parent(uuid)
    }
}

/// What changes when a pipeline goes on; a list and a single record differ in other things.
fn fingerprint(record: &Value) -> String {
    let parts = [
        "state",
        "completed_on",
        "run_number",
        "duration_in_seconds",
        "build_seconds_used",
    ];
    let parts = parts.map(|name| record.get(name).map(Value::to_string).unwrap_or_default());
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pipeline_that_went_on_has_another_fingerprint() {
        let at = |stage: &str| {
            let state = json!({"name": "IN_PROGRESS", "stage": {"name": stage}});
            fingerprint(&json!({"state": state, "links": stage}))
        };
        assert_ne!(at("PAUSED"), at("RUNNING"));
        let other = json!({"state": {"name": "IN_PROGRESS", "stage": {"name": "PAUSED"}}});
        assert_eq!(at("PAUSED"), fingerprint(&other), "links do not count");
    }
}
