//! Pull requests of every state, changed since `since`, with reviewers, participants and closing time embedded.
//!
//! An approval changes what is embedded and not the time of the last change, so open ones are asked for every time.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::entity::{Entity, id, text, updated_on};
use super::ledger::FollowUps;
use super::newest_first::{Aim, List, newest_first, quoted};
use super::order::Stop;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::Outcome;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::lake::Queued;

static LIST: List = List {
    entity: &Entity {
        time: Some(updated_on),
        ..Entity::new("pull_requests", id)
    },
    endpoint: &endpoints::PULL_REQUESTS,
    stop: Stop::OlderStrictly,
    filter,
    reconciles: true,
};

fn filter(aim: Aim, target: DateTime<Utc>, border: Option<DateTime<Utc>>) -> Option<String> {
    let changed = format!("updated_on >= {}", quoted(target));
    Some(match (aim, border) {
        (Aim::Refresh, _) => format!("{changed} OR state = \"OPEN\""),
        (_, Some(border)) => format!("{changed} AND updated_on <= {}", quoted(border)),
        (_, None) => changed,
    })
}

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<Outcome> {
    newest_first(repo, &LIST, report, follow).await
}

/// Which lists of the pull request are to be read.
fn follow(record: &Value, aim: Aim, target: DateTime<Utc>, more: &mut FollowUps) {
    let Some(id) = id(record) else { return };
    let mut queue = |table| more.entry(table).or_default().push(Queued::parent(&id));
    let changed = updated_on(record).is_none_or(|time| time >= target);
    if aim == Aim::Refresh && !changed {
        return;
    }
    if has_comments(record) {
        queue("pull_request_comments");
    }
    // Of one that is closed, the commits are what they were.
    if aim != Aim::Reconcile || text(record, "/state").as_deref() == Some("OPEN") {
        queue("pull_request_commits");
        queue("pull_request_activity");
    }
}

/// Unless it says that there is none.
fn has_comments(record: &Value) -> bool {
    record.get("comment_count").and_then(Value::as_i64) != Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_pull_request_that_says_zero_comments_is_not_asked_for_them() {
        assert!(!has_comments(&json!({"id": 1, "comment_count": 0})));
        assert!(has_comments(&json!({"id": 1, "comment_count": 2})));
        assert!(has_comments(&json!({"id": 1})));
    }

    #[test]
    fn an_open_one_that_did_not_change_has_no_lists_to_read() {
        let target = "2026-11-01T00:00:00Z".parse().unwrap();
        let queued = |time: &str| {
            let mut more = FollowUps::new();
            let record = json!({"id": 1, "state": "OPEN", "updated_on": time});
            follow(&record, Aim::Refresh, target, &mut more);
            more.len()
        };
        assert_eq!(queued("2026-10-31T23:59:59Z"), 0);
        assert_eq!(queued("2026-11-01T00:00:00Z"), 3);
    }
}
