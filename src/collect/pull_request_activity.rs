//! Activity of pull requests: state changes, pushes, approvals, change requests, comments.
//!
//! One feed for the whole repository, newest first and without filters, costs a tenth of the requests of one list for each pull
//! request. Reading stops at the first page whose last entry is older than the watermark. Where the feed is missing, or has more
//! new pages than pull requests changed, the list of each changed pull request is read instead.
//!
//! An entry has no id. Its key is what distinguishes two entries: pull request, kind, time, actor, comment.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::entity::{EmbeddedTable, Entity, is_pending, text, time};
use super::list_reader::ListOutcome;
use super::newest_first::{NewestFirstList, no_filter, read_newest_first};
use super::order::EarlyStop;
use super::pending_reader::read_child_lists;
use super::pull_request_comments;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::json::JsonValue;
use crate::schema::SourceTable;

static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    time: Some(date),
    parent: Some(|record| record.pointer("/pull_request/id")?.as_i64()),
    is_draft: |record| record.get("comment").is_some_and(is_pending),
    embeds: Some(&COMMENTS),
    ..Entity::new(SourceTable::PullRequestActivity, key)
};

/// Entries embed whole comments, unless the server leaves out their text.
static COMMENTS: EmbeddedTable = EmbeddedTable {
    entity: &pull_request_comments::ENTITY,
    extract: |record| {
        let comment = record.get("comment")?;
        let is_whole =
            comment.pointer("/content/raw").is_some() || comment.get("deleted")?.as_bool()?;
        let parent = record.pointer("/pull_request/id")?.as_i64()?;
        is_whole.then_some((parent, comment))
    },
};

static FEED: NewestFirstList = NewestFirstList {
    entity: &ENTITY,
    endpoint: &endpoints::REPOSITORY_ACTIVITY,
    stop: EarlyStop::Older,
    filter: no_filter,
    incremental_parameter: None,
    has_full_refresh: false,
};

const KINDS: [&str; 4] = ["update", "approval", "changes_requested", "comment"];

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let list = run.checkpoints.list(ENTITY.table);
    let changed = list.pending.len() as u64;
    if list.is_by_parent() {
        return read_each(run, report).await;
    }
    match estimate_new_pages(run) {
        Some(_) if changed == 0 => {
            run.checkpoints.inherit_span(ENTITY.table);
            return Ok(ListOutcome::Complete);
        }
        Some(pages) if changed <= pages => return read_each(run, report).await,
        _ => {}
    }
    match read_feed(run, report).await? {
        ListOutcome::Unavailable(reason)
            if reason.status == StatusCode::NOT_FOUND && changed > 0 =>
        {
            run.checkpoints.list_mut(ENTITY.table).set_by_parent();
            read_each(run, report).await
        }
        ListOutcome::Unavailable(reason) => Ok(ListOutcome::Unavailable(reason)),
        outcome => {
            // The feed has the activity of all pending pull requests.
            run.checkpoints.list_mut(ENTITY.table).pending.clear();
            Ok(outcome)
        }
    }
}

/// Read the repository's feed.
async fn read_feed(run: &mut RepositoryRun<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let mut last_activity = HashMap::new();
    let outcome = read_newest_first(run, &FEED, report, |record, _, _, _| {
        let id = record
            .pointer("/pull_request/id")
            .and_then(JsonValue::as_i64);
        if let (Some(id), Some(time)) = (id, date(record)) {
            let last = last_activity.entry(id).or_insert(time);
            *last = time.max(*last);
        }
    })
    .await?;
    run.last_activity.extend(last_activity);
    Ok(outcome)
}

/// Estimate the number of new pages in the feed by its growth so far; `None` while the feed is not loaded or a read of it is
/// unfinished.
fn estimate_new_pages(run: &RepositoryRun<'_>) -> Option<u64> {
    let (repository, list) = (&run.repository, run.checkpoints.list(ENTITY.table));
    if repository.is_full_refresh() || !run.round.is_first || list.has_cursor() {
        return None;
    }
    let last_complete = list.complete_through?;
    let from = list.complete_from.unwrap_or(repository.since);
    let loaded_minutes = (last_complete - from).num_minutes().max(1) as u64;
    let new_minutes = (repository.now() - last_complete).num_minutes().max(0) as u64;
    let entries = list.sequence.saturating_mul(new_minutes) / loaded_minutes;
    Some(1 + entries / u64::from(endpoints::REPOSITORY_ACTIVITY.pagelen))
}

/// Read the activity of each pending pull request: all of it, so that every change of it is explained.
async fn read_each(run: &mut RepositoryRun<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let pending = run.checkpoints.list(ENTITY.table).pending.iter();
    let ids: Vec<i64> = pending
        .filter_map(|record| record.id.parse().ok())
        .collect();
    let endpoint = &endpoints::PULL_REQUEST_ACTIVITY;
    let outcome = read_child_lists(run, &ENTITY, endpoint, report).await?;
    if matches!(outcome, ListOutcome::Complete) {
        let now = run.repository.now();
        run.last_activity
            .extend(ids.into_iter().map(|id| (id, now)));
    }
    Ok(outcome)
}

/// Return the kind of an entry and its content; some entries have none.
fn content(record: JsonValue<'_>) -> Option<(&'static str, JsonValue<'_>)> {
    KINDS
        .iter()
        .find_map(|kind| Some((*kind, record.get(kind).filter(|it| it.is_object())?)))
}

pub(super) fn date(record: JsonValue<'_>) -> Option<DateTime<Utc>> {
    let (_, entry) = content(record)?;
    time(entry, "/date").or_else(|| time(entry, "/created_on"))
}

fn key(record: JsonValue<'_>) -> Option<String> {
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
    use crate::json::JsonDocument;
    use serde_json::{Value, json};

    #[test]
    fn entries_without_ids_are_keyed_by_kind_time_actor_and_comment() {
        let key = |record: Value| key(JsonDocument::from(&record).root());
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
    fn an_entry_without_content_has_no_key_and_no_time() {
        let record = JsonDocument::from(&json!({"pull_request": {"id": 1}, "update": null}));
        assert_eq!((key(record.root()), date(record.root())), (None, None));
    }

    #[test]
    fn an_entry_with_a_draft_comment_is_a_draft() {
        let is_draft = |record: Value| (ENTITY.is_draft)(JsonDocument::from(&record).root());
        assert!(is_draft(json!({"comment": {"pending": true}})));
        assert!(!is_draft(json!({"comment": {"pending": false}})));
    }
}
