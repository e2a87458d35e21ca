//! Activity of pull requests: state changes, pushes, approvals, change requests, comments.
//!
//! One feed for the whole repository, newest first and without filters, costs a tenth of asking each pull request; it
//! is left at the first page that ends in what was read before. Where the feed is missing, or has more new pages than pull
//! requests changed, each of those is asked; where none changed, nobody.
//!
//! An entry has no id. Its key is what tells two entries apart: pull request, kind, time, actor, comment.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::Value;

use super::children;
use super::entity::{Entity, Holds, is_pending, text, time};
use super::newest_first::{List, newest_first, unfiltered};
use super::order::EarlyStop;
use super::pull_request_comments;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    time: Some(date),
    parent: Some(|record| record.pointer("/pull_request/id")?.as_i64()),
    draft: |record| record.get("comment").is_some_and(is_pending),
    holds: Some(&COMMENTS),
    ..Entity::new("pull_request_activity", key)
};

/// Comments come whole, unless a server leaves their text out.
static COMMENTS: Holds = Holds {
    entity: &pull_request_comments::ENTITY,
    inner: |record| {
        let comment = record.get("comment")?;
        let is_whole =
            comment.pointer("/content/raw").is_some() || comment.get("deleted")?.as_bool()?;
        let parent = record.pointer("/pull_request/id")?.as_i64()?;
        is_whole.then(|| (parent, comment.clone()))
    },
};

static LIST: List = List {
    entity: &ENTITY,
    endpoint: &endpoints::REPOSITORY_ACTIVITY,
    stop: EarlyStop::Older,
    filter: unfiltered,
    only: None,
    reconciles: false,
};

const KINDS: [&str; 4] = ["update", "approval", "changes_requested", "comment"];

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let changed = repo.checkpoints.entity(ENTITY.table).queue.len() as u64;
    if !repo.checkpoints.entity(ENTITY.table).by_parent {
        match new_pages(repo) {
            Some(_) if changed == 0 => {
                repo.checkpoints.inherit(ENTITY.table, "pull_requests");
                return Ok(ListOutcome::Complete);
            }
            Some(pages) if changed <= pages => return each(repo, report).await,
            _ => {}
        }
        let mut told = HashMap::new();
        let outcome = newest_first(repo, &LIST, report, |record, _, _, _| {
            let id = record.pointer("/pull_request/id").and_then(Value::as_i64);
            if let (Some(id), Some(time)) = (id, date(record)) {
                let last = told.entry(id).or_insert(time);
                *last = time.max(*last);
            }
        })
        .await?;
        repo.told.extend(told);
        match outcome {
            ListOutcome::Unavailable(absence)
                if absence.status == StatusCode::NOT_FOUND && changed > 0 =>
            {
                repo.checkpoints.entity(ENTITY.table).by_parent = true;
            }
            outcome => {
                // The feed has what the queue would ask for.
                if !matches!(outcome, ListOutcome::Unavailable(_)) {
                    repo.checkpoints.entity(ENTITY.table).queue.clear();
                }
                return Ok(outcome);
            }
        }
    }
    each(repo, report).await
}

/// How many pages the feed probably has that were not read yet, by how fast it has grown so far. Nothing while it is not
/// loaded, or a walk over it is under way.
fn new_pages(repo: &mut Repo<'_>) -> Option<u64> {
    let options = repo.site.context.options;
    let since = repo.site.since;
    let state = repo.checkpoints.entity(ENTITY.table);
    if options.full || !repo.round.refreshes || state.refresh.is_some() || state.deep.is_some() {
        return None;
    }
    let through = state.complete_through?;
    let loaded = (through - state.complete_from.unwrap_or(since))
        .num_minutes()
        .max(1) as u64;
    let new = (options.now - through).num_minutes().max(0) as u64;
    let entries = state.sequence.saturating_mul(new) / loaded;
    Some(1 + entries / u64::from(endpoints::REPOSITORY_ACTIVITY.pagelen))
}

/// Asks each pull request that waits for it: everything that happened to it, so nothing is left to explain.
async fn each(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let queue = &repo.checkpoints.entity(ENTITY.table).queue;
    let ids: Vec<i64> = queue
        .iter()
        .filter_map(|queued| queued.id.parse().ok())
        .collect();
    let lists = &endpoints::PULL_REQUEST_ACTIVITY;
    let outcome = children::children(repo, &ENTITY, "pull_requests", lists, report).await?;
    if matches!(outcome, ListOutcome::Complete) {
        let now = repo.site.context.options.now;
        repo.told.extend(ids.into_iter().map(|id| (id, now)));
    }
    Ok(outcome)
}

/// The kind of an entry, and what it holds; some entries hold nothing.
fn content(record: &Value) -> Option<(&'static str, &Value)> {
    KINDS
        .iter()
        .find_map(|kind| Some((*kind, record.get(kind).filter(|it| it.is_object())?)))
}

pub(super) fn date(record: &Value) -> Option<DateTime<Utc>> {
    let (_, entry) = content(record)?;
    time(entry, "/date").or_else(|| time(entry, "/created_on"))
}

fn key(record: &Value) -> Option<String> {
    let (kind, entry) = content(record)?;
    let date = text(entry, "/date")
        .or_else(|| text(entry, "/created_on"))
        .unwrap_or_default();
    let actor = if kind == "update" { "/author" } else { "/user" };
    let actor = text(entry, &format!("{actor}/uuid"))
        .or_else(|| text(entry, &format!("{actor}/account_id")))
        .unwrap_or_default();
    let comment = match kind {
        "comment" => format!(":{}", text(entry, "/id").unwrap_or_default()),
        _ => String::new(),
    };
    Some(format!("{kind}:{date}:{actor}{comment}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_without_ids_are_keyed_by_kind_time_actor_and_comment() {
        let key = |record: Value| key(&record);
        assert_eq!(
            key(json!({"update": {"date": "D", "author": {"uuid": "{a}"}}})).as_deref(),
            Some("update:D:{a}")
        );
        assert_eq!(
            key(json!({"approval": {"date": "D", "user": {"account_id": "7"}}})).as_deref(),
            Some("approval:D:7")
        );
        assert_eq!(
            key(json!({"comment": {"id": 9, "created_on": "D", "user": null}})).as_deref(),
            Some("comment:D::9")
        );
    }

    #[test]
    fn an_entry_that_holds_only_its_pull_request_has_no_key_and_no_time() {
        let record = json!({"pull_request": {"id": 1}, "update": null});
        assert_eq!((key(&record), date(&record)), (None, None));
    }

    #[test]
    fn a_draft_inside_an_entry_is_a_draft() {
        assert!((ENTITY.draft)(&json!({"comment": {"pending": true}})));
        assert!(!(ENTITY.draft)(&json!({"comment": {"pending": false}})));
    }
}
