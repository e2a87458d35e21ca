//! Activity of pull requests: state changes, pushes, approvals, change requests, comments.
//!
//! One feed for the whole repository, newest first and without filters, costs a tenth of asking each pull request; it
//! is left at the first page that was read before. Where the feed is missing, each pull request that changed is asked.
//!
//! An entry has no id. Its key is what tells two entries apart: pull request, kind, time, actor, comment.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::children;
use super::entity::{Entity, is_pending, text, time};
use super::newest_first::{List, newest_first, unfiltered};
use super::order::Stop;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::Outcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    time: Some(date),
    parent: Some(|record| record.pointer("/pull_request/id")?.as_i64()),
    draft: |record| record.get("comment").is_some_and(is_pending),
    ..Entity::new("pull_request_activity", key)
};

static LIST: List = List {
    entity: &ENTITY,
    endpoint: &endpoints::REPOSITORY_ACTIVITY,
    stop: Stop::Older,
    filter: unfiltered,
    reconciles: false,
};

const KINDS: [&str; 4] = ["update", "approval", "changes_requested", "comment"];

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<Outcome> {
    let state = repo.ledger.entity(ENTITY.table);
    if !state.by_parent {
        let some = !state.queue.is_empty();
        match newest_first(repo, &LIST, report, |_, _, _, _| {}).await? {
            Outcome::Absent(absence) if absence.status == 404 && some => {
                repo.ledger.entity(ENTITY.table).by_parent = true;
            }
            outcome => {
                // The feed has what the queue would ask for.
                if !matches!(outcome, Outcome::Absent(_)) {
                    repo.ledger.entity(ENTITY.table).queue.clear();
                }
                return Ok(outcome);
            }
        }
    }
    let each = &endpoints::PULL_REQUEST_ACTIVITY;
    children::children(repo, &ENTITY, "pull_requests", each, report).await
}

/// The kind of an entry, and what it holds; some entries hold nothing.
fn content(record: &Value) -> Option<(&'static str, &Value)> {
    KINDS
        .iter()
        .find_map(|kind| Some((*kind, record.get(kind).filter(|it| it.is_object())?)))
}

fn date(record: &Value) -> Option<DateTime<Utc>> {
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
