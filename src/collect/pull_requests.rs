//! Pull requests of every state, changed since `since`, with reviewers, participants and closing time embedded.
//!
//! An approval changes what is embedded and not the time of the last change, so open pull requests are read in every run.

use chrono::{DateTime, Utc};

use super::checkpoint::PendingRecords;
use super::entity::{Entity, id, text, time, updated_on};
use super::list_reader::ListOutcome;
use super::newest_first::{NewestFirstList, SyncMode, quoted, read_newest_first};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::{ExpectedComments, NamedCommits, PendingKind, PendingRecord};
use crate::schema::SourceTable;

static LIST: NewestFirstList = NewestFirstList {
    entity: &Entity {
        time: Some(updated_on),
        ..Entity::new(SourceTable::PullRequests, id)
    },
    endpoint: &endpoints::PULL_REQUESTS,
    stop: EarlyStop::OlderStrictly,
    filter,
    incremental_parameter: None,
    has_full_refresh: true,
};

fn filter(
    mode: SyncMode,
    target: DateTime<Utc>,
    watermark: Option<DateTime<Utc>>,
) -> Option<String> {
    let changed = format!("updated_on >= {}", quoted(target));
    Some(match (mode, watermark) {
        (SyncMode::Incremental, _) => format!("{changed} OR state = \"OPEN\""),
        (_, Some(watermark)) => format!("{changed} AND updated_on <= {}", quoted(watermark)),
        (_, None) => changed,
    })
}

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    read_newest_first(run, &LIST, report, find_pending).await
}

/// Make the lists of a changed pull request pending.
fn find_pending(
    record: JsonValue<'_>,
    mode: SyncMode,
    target: DateTime<Utc>,
    pending: &mut PendingRecords,
) {
    let Some(id) = id(record) else { return };
    if mode == SyncMode::Incremental && !has_changed(record, target) {
        return;
    }
    if has_comments(record) {
        let kind = pending_comments(record, mode, target);
        pending.add(
            SourceTable::PullRequestComments,
            PendingRecord::new(&id, kind),
        );
    }
    let state = text(record, "/state").unwrap_or_default();
    // A closed pull request's commits never change. Those of one that was not merged are not worth a request of its own.
    let wants_commits = match state.as_str() {
        "OPEN" => true,
        "DECLINED" | "SUPERSEDED" => false,
        _ => mode != SyncMode::FullRefresh,
    };
    if wants_commits {
        let kind = pending_commits(record, &state);
        pending.add(
            SourceTable::PullRequestCommits,
            PendingRecord::new(&id, kind),
        );
    }
    if mode != SyncMode::FullRefresh || state == "OPEN" {
        pending.add(SourceTable::PullRequestActivity, PendingRecord::fetch(&id));
    }
}

fn pending_comments(record: JsonValue<'_>, mode: SyncMode, target: DateTime<Utc>) -> PendingKind {
    let count = record.get("comment_count").and_then(JsonValue::as_u64);
    match (mode, count) {
        // A full refresh looks for comments that were deleted without a trace.
        (SyncMode::FullRefresh, _) | (_, None) => PendingKind::Fetch,
        (_, Some(count)) => PendingKind::Comments(ExpectedComments {
            count,
            changed_on: updated_on(record)
                .filter(|time| mode == SyncMode::Incremental && *time >= target),
        }),
    }
}

fn pending_commits(record: JsonValue<'_>, state: &str) -> PendingKind {
    let is_merged = state == "MERGED";
    let merge = text(record, "/merge_commit/hash").filter(|_| is_merged);
    // Without its merge commit, the commits of a merged pull request are in its own list only.
    match merge.is_some() == is_merged {
        true => PendingKind::Commits(NamedCommits {
            source: text(record, "/source/commit/hash"),
            destination: text(record, "/destination/commit/hash"),
            merge,
        }),
        false => PendingKind::Fetch,
    }
}

/// Whether a pull request changed or was approved since `target`. An approval does not change `updated_on`.
fn has_changed(record: JsonValue<'_>, target: DateTime<Utc>) -> bool {
    let participants = record.get("participants").into_iter();
    let mut participated = participants.flat_map(JsonValue::items);
    updated_on(record).is_none_or(|time| time >= target)
        || participated.any(|one| time(one, "/participated_on").is_some_and(|time| time >= target))
}

/// Whether a pull request may have comments: it does not say that it has none.
fn has_comments(record: JsonValue<'_>) -> bool {
    record.get("comment_count").and_then(JsonValue::as_i64) != Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonDocument;
    use serde_json::{Value, json};

    #[test]
    fn only_a_comment_count_of_zero_rules_comments_out() {
        let has_comments = |record: Value| has_comments(JsonDocument::from(&record).root());
        assert!(!has_comments(json!({"id": 1, "comment_count": 0})));
        assert!(has_comments(json!({"id": 1, "comment_count": 2})));
        assert!(has_comments(json!({"id": 1})));
    }

    #[test]
    fn commits_are_pending_for_open_and_merged_pull_requests_with_what_they_name() {
        let pending_commits = |record: Value| {
            let mut pending = PendingRecords::default();
            let (mode, record) = (SyncMode::Backfill, JsonDocument::from(&record));
            find_pending(record.root(), mode, DateTime::UNIX_EPOCH, &mut pending);
            let commits = pending.of(SourceTable::PullRequestCommits).first();
            commits.map(|record| record.named_commits().cloned())
        };
        let source = json!({"commit": {"hash": "abc"}});
        let record = |state: &str, merge: Value| json!({"id": 1, "state": state, "source": source, "merge_commit": merge});
        assert_eq!(pending_commits(record("DECLINED", Value::Null)), None);
        assert_eq!(pending_commits(record("SUPERSEDED", Value::Null)), None);
        assert_eq!(pending_commits(record("MERGED", Value::Null)), Some(None));
        let merged = pending_commits(record("MERGED", json!({"hash": "def"})));
        assert_eq!(merged.flatten().unwrap().merge.as_deref(), Some("def"));
        let open = pending_commits(record("OPEN", Value::Null))
            .flatten()
            .unwrap();
        assert_eq!((open.source.as_deref(), open.merge), (Some("abc"), None));
    }

    #[test]
    fn an_unchanged_open_pull_request_makes_no_list_pending() {
        let target = "2026-11-01T00:00:00Z".parse().unwrap();
        let count = |time: &str| {
            let mut pending = PendingRecords::default();
            let record = json!({"id": 1, "state": "OPEN", "updated_on": time});
            let record = JsonDocument::from(&record);
            find_pending(record.root(), SyncMode::Incremental, target, &mut pending);
            SourceTable::ALL
                .map(|table| pending.of(table).len())
                .iter()
                .sum::<usize>()
        };
        assert_eq!(count("2026-10-31T23:59:59Z"), 0);
        assert_eq!(count("2026-11-01T00:00:00Z"), 3);
    }
}
