//! Activity of pull requests: state changes, pushes, approvals, change requests, comments.
//!
//! One feed for the whole repository, newest first and without filters, costs a tenth of asking each pull request; it
//! is left at the first page that lies before `since`. Where the feed is missing, each pull request is asked.
//!
//! An entry has no id. Its key is what tells two entries apart: pull request, kind, time, actor, comment.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::entity::{Entity, is_pending, text, time};
use super::pull_requests::PullRequest;
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    time: Some(date),
    parent: Some(|record| record.pointer("/pull_request/id")?.as_i64()),
    draft: |record| record.get("comment").is_some_and(is_pending),
    ..Entity::new("pull_request_activity", key)
};

const KINDS: [&str; 4] = ["update", "approval", "changes_requested", "comment"];

pub(super) async fn collect(
    site: &Site<'_>,
    pull_requests: &[PullRequest],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let feed = &endpoints::REPOSITORY_ACTIVITY;
    match walk::list(site, &ENTITY, feed, Stop::Older, report, |_| {}).await? {
        Outcome::Absent(absence) if absence.status == 404 && !pull_requests.is_empty() => {
            let requests = std::mem::take(&mut report.requests);
            let parents: Vec<Parent> = pull_requests.iter().map(PullRequest::parent).collect();
            let each = &endpoints::PULL_REQUEST_ACTIVITY;
            let outcome = walk::children(site, &ENTITY, each, &parents, through, report).await;
            report.requests += requests;
            outcome
        }
        outcome => Ok(outcome),
    }
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
