//! Comments of pull requests. The activity feed holds them whole, fifty entries a page, so a list of its own is asked for
//! only where the feed cannot have told all: the pull request counts other comments than are here, or its last change was
//! none that the feed shows, as an edited or deleted comment is.
//!
//! Deleted comments come as tombstones, or not at all, so a list takes the place of what was known of its pull request;
//! unpublished review drafts of the token's owner come too, and are dropped.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;

use super::children::children_but;
use super::entity::{Entity, id, is_pending};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{PendingRecord, Replaces, ScanItem};

pub(super) static ENTITY: Entity = Entity {
    draft: is_pending,
    absence_deletes: true,
    ..Entity::new("pull_request_comments", id)
};

/// Between a change and the time that its pull request bears for it.
const AT_ONCE: TimeDelta = TimeDelta::seconds(2);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let wait = tell(repo).await?;
    let lists = &endpoints::PULL_REQUEST_COMMENTS;
    children_but(repo, &ENTITY, "pull_requests", lists, &wait, report).await
}

/// Takes those out of the queue whose comments are here; returns those that the feed may still tell of.
async fn tell(repo: &mut Repo<'_>) -> Result<HashSet<String>> {
    let state = repo.checkpoints.entity(ENTITY.table);
    if !state.queue.iter().any(|queued| queued.talk.is_some()) {
        return Ok(HashSet::new());
    }
    let asked = state
        .queue
        .iter()
        .filter_map(|queued| queued.id.parse().ok());
    let mut counts: HashMap<i64, Count> = asked.map(|id| (id, Count::default())).collect();
    let columns = ["_pull_request_id", "id", "deleted"];
    let lake = repo.site.context.lake;
    lake.scan(
        &repo.checkpoints.state,
        ENTITY.table,
        &columns,
        |known| match known {
            ScanItem::Replaced(Replaces::Parents(parents)) => {
                for parent in parents {
                    counts
                        .entry(*parent)
                        .and_modify(|count| *count = Count::default());
                }
                Ok(())
            }
            ScanItem::Replaced(_) => Ok(()),
            ScanItem::Batch(batch) => count(&batch, &mut counts),
        },
    )
    .await?;
    let is_here = |queued: &PendingRecord, told: &HashMap<i64, DateTime<Utc>>| {
        let (Some(talk), Ok(id)) = (&queued.talk, queued.id.parse()) else {
            return false;
        };
        let explained = talk.changed_on.is_none_or(|changed_on| {
            let last = told.get(&id);
            last.is_some_and(|last| changed_on - *last <= AT_ONCE)
        });
        // Whether those that were deleted count is not said anywhere.
        let count = counts
            .get(&id)
            .map(|count| (count.live, count.live + count.deleted));
        explained && count.is_some_and(|(live, all)| talk.comments == live || talk.comments == all)
    };
    let told = &repo.told;
    let state = repo.checkpoints.entity(ENTITY.table);
    state.queue.retain(|queued| !is_here(queued, told));
    if !repo.checkpoints.may_come("pull_request_activity") {
        return Ok(HashSet::new());
    }
    let state = repo.checkpoints.entity(ENTITY.table);
    let waits = state.queue.iter().filter(|queued| queued.talk.is_some());
    Ok(waits.map(|queued| queued.id.clone()).collect())
}

/// The comments of a pull request that are here.
#[derive(Debug, Default)]
struct Count {
    seen: HashMap<i64, bool>,
    live: u64,
    deleted: u64,
}

impl Count {
    /// A later version of a comment takes the place of an earlier one.
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

fn count(batch: &RecordBatch, counts: &mut HashMap<i64, Count>) -> Result<()> {
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
