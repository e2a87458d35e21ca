//! Comments of pull requests. The activity feed embeds them, fifty entries a page, so the list of a pull request is read only
//! where the feed cannot have returned all of them: the pull request counts other comments than are collected, or its last change
//! is none that the feed shows, as an edited or deleted comment is not.
//!
//! Deleted comments arrive as tombstones or not at all, so a list replaces the collected comments of its pull request. Unpublished
//! review drafts of the token's owner arrive too, and are dropped.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;

use super::entity::{Entity, id, is_pending};
use super::list_reader::ListOutcome;
use super::pending_reader::{drop_collected, read_child_lists_except};
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{ExpectedComments, PendingRecord, Replaces, ScanItem};
use crate::schema::SourceTable;

pub(super) static ENTITY: Entity = Entity {
    is_draft: is_pending,
    deletes_missing: true,
    ..Entity::new(SourceTable::PullRequestComments, id)
};

/// The longest time between a change and the `updated_on` that a pull request has for it.
const SAME_CHANGE: TimeDelta = TimeDelta::seconds(2);

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let postponed = drop_embedded(run).await?;
    let endpoint = &endpoints::PULL_REQUEST_COMMENTS;
    read_child_lists_except(run, &ENTITY, endpoint, &postponed, report).await
}

/// Remove the pending pull requests whose comments the feed returned. Return those that it may still return.
async fn drop_embedded(run: &mut RepositoryRun<'_>) -> Result<HashSet<String>> {
    let pending = &run.checkpoints.list(ENTITY.table).pending;
    if !pending.iter().any(is_conditional) {
        return Ok(HashSet::new());
    }
    let ids = pending.iter().filter_map(|record| record.id.parse().ok());
    let mut counts: HashMap<i64, CommentCount> =
        ids.map(|id| (id, CommentCount::default())).collect();
    let columns = ["_pull_request_id", "id", "deleted"];
    let (lake, state) = (run.repository.run.lake, &run.checkpoints.state);
    let table = ENTITY.table.as_str();
    lake.scan(state, table, &columns, |known| match known {
        ScanItem::Replaced(Replaces::Parents(parents)) => {
            for parent in parents {
                counts.entry(*parent).and_modify(CommentCount::clear);
            }
            Ok(())
        }
        ScanItem::Replaced(_) => Ok(()),
        ScanItem::Batch(batch) => count(&batch, &mut counts),
    })
    .await?;
    let is_collected = |record: &PendingRecord| {
        let id = record.id.parse::<i64>().ok();
        let expected = id.zip(record.expected_comments());
        expected.is_some_and(|(id, expected)| {
            let last_activity = run.last_activity.get(&id);
            is_explained(expected, last_activity)
                && counts.get(&id).is_some_and(|count| count.matches(expected))
        })
    };
    Ok(drop_collected(
        &mut run.checkpoints,
        ENTITY.table,
        SourceTable::PullRequestActivity,
        is_conditional,
        is_collected,
    ))
}

fn is_conditional(record: &PendingRecord) -> bool {
    record.expected_comments().is_some()
}

/// Whether the activity feed shows the last change of a pull request.
fn is_explained(expected: &ExpectedComments, last_activity: Option<&DateTime<Utc>>) -> bool {
    expected.changed_on.is_none_or(|changed_on| {
        last_activity.is_some_and(|last| changed_on - *last <= SAME_CHANGE)
    })
}

/// The collected comments of a pull request.
#[derive(Debug, Default)]
struct CommentCount {
    seen: HashMap<i64, bool>,
    live: u64,
    deleted: u64,
}

impl CommentCount {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the pull request counts the same comments. Bitbucket does not document whether it counts deleted ones.
    fn matches(&self, expected: &ExpectedComments) -> bool {
        expected.count == self.live || expected.count == self.live + self.deleted
    }

    /// A later version of a comment replaces an earlier one.
    fn add(&mut self, comment: i64, deleted: bool) {
        match self.seen.insert(comment, deleted) {
            Some(true) => self.deleted -= 1,
            Some(false) => self.live -= 1,
            None => {}
        }
        match deleted {
            true => self.deleted += 1,
            false => self.live += 1,
        }
    }
}

fn count(batch: &RecordBatch, counts: &mut HashMap<i64, CommentCount>) -> Result<()> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or(name.to_owned())
            .or_error(ErrorKind::Internal, "a comment lacks a column")
    };
    let parents = column("_pull_request_id")?.as_primitive::<Int64Type>();
    let comments = column("id")?.as_primitive::<Int64Type>();
    let deleted = column("deleted")?.as_boolean();
    for row in 0..batch.num_rows() {
        if let Some(count) = counts.get_mut(&parents.value(row)) {
            let is_deleted = deleted.is_valid(row) && deleted.value(row);
            count.add(comments.value(row), is_deleted);
        }
    }
    Ok(())
}
