//! Pull requests of every state, changed since `since`, with reviewers, participants and closing time embedded.
//!
//! An approval changes what is embedded and not the time of the last change, so open ones are asked for every time.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::checkpoint::FollowUps;
use super::entity::{Entity, id, text, time, updated_on};
use super::newest_first::{Aim, List, newest_first, quoted};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::lake::{ExpectedComments, NamedCommits, PendingRecord};

static LIST: List = List {
    entity: &Entity {
        time: Some(updated_on),
        ..Entity::new("pull_requests", id)
    },
    endpoint: &endpoints::PULL_REQUESTS,
    stop: EarlyStop::OlderStrictly,
    filter,
    only: None,
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

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    newest_first(repo, &LIST, report, follow).await
}

/// Which lists of the pull request are to be read, unless what they have is here already.
fn follow(record: &Value, aim: Aim, target: DateTime<Utc>, more: &mut FollowUps) {
    let Some(id) = id(record) else { return };
    let mut queue = |table, queued| more.entry(table).or_default().push(queued);
    if aim == Aim::Refresh && !has_changed(record, target) {
        return;
    }
    if has_comments(record) {
        let talk = match (aim, record.get("comment_count").and_then(Value::as_u64)) {
            // What vanished without a trace is looked for.
            (Aim::Reconcile, _) | (_, None) => None,
            (_, Some(comments)) => Some(ExpectedComments {
                comments,
                changed_on: updated_on(record)
                    .filter(|time| aim == Aim::Refresh && *time >= target),
            }),
        };
        let queued = PendingRecord::parent(&id);
        queue("pull_request_comments", PendingRecord { talk, ..queued });
    }
    let state = text(record, "/state").unwrap_or_default();
    // Of one that is closed, the commits are what they were; of one that was not merged, nobody needs them enough for a
    // request of its own, where the graph does not tell.
    let is_wanted = match state.as_str() {
        "OPEN" => true,
        "DECLINED" | "SUPERSEDED" => false,
        _ => aim != Aim::Reconcile,
    };
    if is_wanted {
        let is_merged = state == "MERGED";
        let merge = text(record, "/merge_commit/hash").filter(|_| is_merged);
        // Merged by nobody knows which commit, it has its list only.
        let ends = (merge.is_some() == is_merged).then(|| NamedCommits {
            source: text(record, "/source/commit/hash"),
            destination: text(record, "/destination/commit/hash"),
            merge,
        });
        let queued = PendingRecord::parent(&id);
        queue("pull_request_commits", PendingRecord { ends, ..queued });
    }
    if aim != Aim::Reconcile || state == "OPEN" {
        queue("pull_request_activity", PendingRecord::parent(&id));
    }
}

/// Since `target`. An approval does not move the time of the last change.
fn has_changed(record: &Value, target: DateTime<Utc>) -> bool {
    let participants = record.get("participants").and_then(Value::as_array);
    let mut participated = participants.into_iter().flatten();
    updated_on(record).is_none_or(|time| time >= target)
        || participated.any(|one| time(one, "/participated_on").is_some_and(|time| time >= target))
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
    fn only_open_and_merged_ones_have_commits_to_read_and_a_merge_must_be_known_to_be_told() {
        let queued = |record: Value| {
            let mut more = FollowUps::new();
            follow(&record, Aim::Load, DateTime::UNIX_EPOCH, &mut more);
            let commits = more.remove("pull_request_commits")?;
            commits.first().map(|queued| queued.ends.clone())
        };
        let source = json!({"commit": {"hash": "abc"}});
        let record = |state: &str, merge: Value| json!({"id": 1, "state": state, "source": source, "merge_commit": merge});
        assert_eq!(queued(record("DECLINED", Value::Null)), None);
        assert_eq!(queued(record("SUPERSEDED", Value::Null)), None);
        assert_eq!(queued(record("MERGED", Value::Null)), Some(None));
        let merged = queued(record("MERGED", json!({"hash": "def"})));
        assert_eq!(merged.flatten().unwrap().merge.as_deref(), Some("def"));
        let open = queued(record("OPEN", Value::Null)).flatten().unwrap();
        assert_eq!((open.source.as_deref(), open.merge), (Some("abc"), None));
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
