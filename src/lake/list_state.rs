//! The progress of one list of a repository: which span of time is collected, which segments wait for the publish, where
//! an unfinished read resumes, and which records are to be fetched by id.
//!
//! The fields of the JSON form that were renamed are read under their former names as well.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::pending::PendingRecord;

/// The progress of one list. Lists are read newest first, so the collected span grows at both ends:
///
/// ```text
///        since           complete_from              complete_through     now
///          |  ◀── backfill ── |  everything is collected  |  ◀── incremental ── |
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState {
    /// The outcome of the last attempt.
    pub status: ListStatus,
    /// Why the list is loading, unavailable, stale or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All records from this time on are collected; `None`: from the beginning.
    pub complete_from: Option<DateTime<Utc>>,
    /// The watermark: Bitbucket's clock at the start of the last complete read.
    pub complete_through: Option<DateTime<Utc>>,
    /// Since when the server refuses a list that it returned before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<DateTime<Utc>>,
    /// Segments that are not published yet, in the order of collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRef>,
    /// The number of records in all segments so far, which is the sequence number of the next record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// A digest of the records of the last segment, by which a read that brings the same ones is recognised: of a whole
    /// list, or of the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_read: Option<String>,
    /// An interrupted read of what changed.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "refresh")]
    pub incremental: Option<Cursor>,
    /// An unfinished read down to the oldest wanted record: a first load, a gap, or a full refresh.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "deep")]
    pub backfill: Option<Cursor>,
    /// The address of the page with the oldest collected records: where to resume when `since` moves back.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "bottom")]
    pub oldest_page: Option<String>,
    /// Bitbucket's clock at the start of the last full refresh.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "reconciled_on"
    )]
    pub full_refresh_on: Option<DateTime<Utc>>,
    /// Records to fetch by id, newest first: parents whose lists are not read yet, and pipelines that had not completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "queue")]
    pub pending: Vec<PendingRecord>,
    /// State that only this kind of list has.
    #[serde(flatten)]
    pub detail: ListDetail,
    /// When the list was first found unavailable, without an available answer since.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "absent_since"
    )]
    pub unavailable_since: Option<DateTime<Utc>>,
    /// When the list was last found unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "absent_on")]
    pub unavailable_on: Option<DateTime<Utc>>,
    /// The published file was missing or damaged, and the list is collected again to replace it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lost: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The position inside an unfinished read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Bitbucket's clock at the first page; later changes belong to the next read.
    pub started: Option<DateTime<Utc>>,
    /// All records newer than this time were read.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "border")]
    pub watermark: Option<DateTime<Utc>>,
    /// The address of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The number of pages left, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_left: Option<u64>,
    /// Whether the read covers records that are collected already.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        alias = "reconcile"
    )]
    pub full_refresh: bool,
    /// Commits: the heads of the revision range.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub heads: BTreeSet<String>,
}

/// State that only one kind of list has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredDetail", into = "StoredDetail")]
pub enum ListDetail {
    /// None.
    #[default]
    None,
    /// Of commits.
    Commits {
        /// Heads whose whole history is collected.
        heads: BTreeSet<String>,
    },
    /// Of environments.
    Environments {
        /// The uuids that were asked for.
        requested: BTreeSet<String>,
    },
    /// Of deployments.
    Deployments {
        /// When the unfinished deployments were last read, where they fill a page or more.
        unfinished_on: DateTime<Utc>,
    },
    /// The list is read for each parent: its repository has no feed of it, or the rules want the steps of every pipeline.
    ByParent,
}

/// The JSON form of [`ListDetail`]: fields beside those of the list.
#[derive(Default, Serialize, Deserialize)]
struct StoredDetail {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_parent: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    heads: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty", alias = "known")]
    environments: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unfinished_on: Option<DateTime<Utc>>,
}

impl From<StoredDetail> for ListDetail {
    fn from(stored: StoredDetail) -> Self {
        match stored {
            StoredDetail {
                by_parent: true, ..
            } => Self::ByParent,
            StoredDetail { heads, .. } if !heads.is_empty() => Self::Commits { heads },
            StoredDetail {
                environments: requested,
                ..
            } if !requested.is_empty() => Self::Environments { requested },
            StoredDetail {
                unfinished_on: Some(unfinished_on),
                ..
            } => Self::Deployments { unfinished_on },
            StoredDetail { .. } => Self::None,
        }
    }
}

impl From<ListDetail> for StoredDetail {
    fn from(detail: ListDetail) -> Self {
        let none = Self::default();
        match detail {
            ListDetail::None => none,
            ListDetail::ByParent => Self {
                by_parent: true,
                ..none
            },
            ListDetail::Commits { heads } => Self { heads, ..none },
            ListDetail::Environments { requested } => Self {
                environments: requested,
                ..none
            },
            ListDetail::Deployments { unfinished_on } => Self {
                unfinished_on: Some(unfinished_on),
                ..none
            },
        }
    }
}

/// The outcome of the last attempt to read a list. The serialized spellings are published in `config.completeness`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListStatus {
    /// Every record of the window is collected.
    Complete,
    /// Older records of the window are not collected yet.
    Loading,
    /// The server refuses the list and never returned it before.
    #[serde(rename = "absent")]
    Unavailable,
    /// The server refuses a list that it returned before; its rows are kept.
    Stale,
    /// The last attempt failed.
    Failed,
    /// No run has attempted the list yet.
    #[default]
    NotCollected,
}

impl ListStatus {
    /// The published spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Loading => "loading",
            Self::Unavailable => "absent",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::NotCollected => "not_collected",
        }
    }
}

/// A segment that a checkpoint has made durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The path in the lake.
    pub path: String,
    /// The number of records.
    pub rows: u64,
    /// The sequence number of the first record.
    #[serde(default)]
    pub first: u64,
    /// The older records that the segment replaces.
    #[serde(default)]
    pub replaces: Replaces,
    /// The version of the table's contract.
    #[serde(default = "first_version")]
    pub schema_version: u32,
}

fn first_version() -> u32 {
    1
}

/// Which older records a segment replaces, beside those with its own keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replaces {
    /// None.
    #[default]
    Nothing,
    /// All: the whole list was read.
    Everything,
    /// The records of these pull requests or issues, whose lists were read whole.
    Parents(Vec<i64>),
}

static NO_TEXTS: BTreeSet<String> = BTreeSet::new();

impl ListState {
    pub(super) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let own = [
            self.complete_from,
            self.complete_through,
            self.stale_since,
            self.full_refresh_on,
            self.unfinished_on(),
            self.unavailable_since,
            self.unavailable_on,
        ];
        let cursors = self.cursors();
        let cursors = cursors.flat_map(|cursor| [cursor.started, cursor.watermark]);
        let pending = self.pending.iter().map(PendingRecord::time);
        own.into_iter().chain(cursors).chain(pending).flatten()
    }

    fn cursors(&self) -> impl Iterator<Item = &Cursor> {
        [&self.incremental, &self.backfill].into_iter().flatten()
    }

    /// Whether a read is unfinished.
    pub fn has_cursor(&self) -> bool {
        self.cursors().next().is_some()
    }

    /// Forget the progress, so that the next run reads the whole list again. Segments and pending records are kept.
    pub fn start_over(&mut self, reason: &str) {
        let detail = match self.detail {
            ListDetail::ByParent => ListDetail::ByParent,
            _ => ListDetail::None,
        };
        *self = Self {
            status: ListStatus::Failed,
            reason: Some(reason.to_owned()),
            segments: std::mem::take(&mut self.segments),
            pending: std::mem::take(&mut self.pending),
            sequence: self.sequence,
            detail,
            is_lost: self.is_lost,
            ..Self::default()
        };
    }

    /// Earlier versions wrote `failed` for a list that no run had attempted; a list that failed has a reason.
    pub(super) fn read_status(&mut self) {
        if self.status == ListStatus::Failed && self.reason.is_none() {
            self.status = ListStatus::NotCollected;
        }
    }

    /// Whether the records collected so far may replace a published file that was lost.
    pub fn replaces_lost(&self) -> bool {
        let is_collected = matches!(self.status, ListStatus::Complete | ListStatus::Loading);
        self.is_lost && is_collected
    }

    /// Whether the server ever returned the list: a list that is refused later is stale, not unavailable.
    pub fn ever_returned(&self) -> bool {
        self.complete_through.is_some()
    }

    /// Add pending records. A record that is pending already is replaced in its place.
    pub fn add_pending(&mut self, more: impl IntoIterator<Item = PendingRecord>) {
        let places = self.pending.iter().enumerate();
        let mut known: BTreeMap<String, usize> =
            places.map(|(n, one)| (one.id.clone(), n)).collect();
        for record in more {
            match known.get(&record.id).and_then(|n| self.pending.get_mut(*n)) {
                Some(known) => *known = record,
                None => {
                    known.insert(record.id.clone(), self.pending.len());
                    self.pending.push(record);
                }
            }
        }
    }

    /// The number of pending records that are certain to take a request.
    pub(super) fn certain_requests(&self) -> u64 {
        let certain = self.pending.iter().filter(|record| record.needs_request());
        certain.count() as u64
    }

    /// The requests that unfinished reads need, as far as is known; at least one while the list is loading.
    pub(super) fn requests_left(&self) -> u64 {
        let pages = self.cursors().map(|cursor| cursor.pages_left.unwrap_or(1));
        let left = pages.fold(self.certain_requests(), u64::saturating_add);
        match self.status {
            ListStatus::Loading => left.max(1),
            _ => left,
        }
    }

    /// Commits: heads whose whole history is collected.
    pub fn heads(&self) -> &BTreeSet<String> {
        match &self.detail {
            ListDetail::Commits { heads } => heads,
            _ => &NO_TEXTS,
        }
    }

    /// Set the heads whose whole history is collected.
    pub fn set_heads(&mut self, heads: BTreeSet<String>) {
        self.detail = match heads.is_empty() {
            true => ListDetail::None,
            false => ListDetail::Commits { heads },
        };
    }

    /// Environments: the uuids that were asked for.
    pub fn requested_environments(&self) -> &BTreeSet<String> {
        match &self.detail {
            ListDetail::Environments { requested } => requested,
            _ => &NO_TEXTS,
        }
    }

    /// Add uuids of environments that were asked for.
    pub fn add_requested_environments(&mut self, more: BTreeSet<String>) {
        let requested = self.requested_environments() | &more;
        if !requested.is_empty() {
            self.detail = ListDetail::Environments { requested };
        }
    }

    /// Deployments: when the unfinished ones were last read.
    pub fn unfinished_on(&self) -> Option<DateTime<Utc>> {
        match self.detail {
            ListDetail::Deployments { unfinished_on } => Some(unfinished_on),
            _ => None,
        }
    }

    /// Set when the unfinished deployments were last read.
    pub fn set_unfinished_on(&mut self, time: Option<DateTime<Utc>>) {
        self.detail = time.map_or(ListDetail::None, |unfinished_on| ListDetail::Deployments {
            unfinished_on,
        });
    }

    /// Whether the list is read for each parent.
    pub fn is_by_parent(&self) -> bool {
        self.detail == ListDetail::ByParent
    }

    /// Read the list for each parent from now on.
    pub fn set_by_parent(&mut self) {
        self.detail = ListDetail::ByParent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::{ExpectedComments, NamedCommits, PendingKind};
    use serde_json::{Value, json};

    /// A list with every field, as version 0.1.0 wrote it.
    fn former() -> Value {
        let cursor = json!({"started": "2026-11-29T00:00:00Z", "border": "2026-10-01T00:00:00Z",
            "next": "https://api.example/commits?page=2", "pages_left": 3, "reconcile": true, "heads": ["abc"]});
        let ends = json!({"source": "abc", "destination": "def", "merge": "012"});
        let talk = json!({"comments": 2, "changed_on": "2026-11-28T00:00:00Z"});
        json!({"status": "loading", "reason": "still loading", "complete_from": "2026-11-01T00:00:00Z",
            "complete_through": "2026-11-29T00:00:00Z", "sequence": 5, "refresh": cursor, "deep": cursor,
            "bottom": "https://api.example/commits?page=9", "reconciled_on": "2026-11-27T00:00:00Z",
            "queue": [{"id": "1"}, {"id": "2", "talk": talk}, {"id": "3", "ends": ends},
                {"id": "{p}", "created_on": "2026-11-26T00:00:00Z", "seen": "sha256:00"}],
            "heads": ["abc"], "absent_since": "2026-11-20T00:00:00Z", "absent_on": "2026-11-21T00:00:00Z"})
    }

    fn time(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_list_in_the_former_spelling_equals_the_new_one() {
        let cursor = Cursor {
            started: time("2026-11-29T00:00:00Z"),
            watermark: time("2026-10-01T00:00:00Z"),
            next: Some("https://api.example/commits?page=2".to_owned()),
            pages_left: Some(3),
            full_refresh: true,
            heads: BTreeSet::from(["abc".to_owned()]),
        };
        let commits = NamedCommits {
            source: Some("abc".to_owned()),
            destination: Some("def".to_owned()),
            merge: Some("012".to_owned()),
        };
        let comments = ExpectedComments {
            count: 2,
            changed_on: time("2026-11-28T00:00:00Z"),
        };
        let update = PendingKind::PipelineUpdate {
            created_on: time("2026-11-26T00:00:00Z"),
            fingerprint: Some("sha256:00".to_owned()),
        };
        let expected = ListState {
            status: ListStatus::Loading,
            reason: Some("still loading".to_owned()),
            complete_from: time("2026-11-01T00:00:00Z"),
            complete_through: time("2026-11-29T00:00:00Z"),
            sequence: 5,
            incremental: Some(cursor.clone()),
            backfill: Some(cursor),
            oldest_page: Some("https://api.example/commits?page=9".to_owned()),
            full_refresh_on: time("2026-11-27T00:00:00Z"),
            pending: vec![
                PendingRecord::fetch("1"),
                PendingRecord::new("2", PendingKind::Comments(comments)),
                PendingRecord::new("3", PendingKind::Commits(commits)),
                PendingRecord::new("{p}", update),
            ],
            detail: ListDetail::Commits {
                heads: BTreeSet::from(["abc".to_owned()]),
            },
            unavailable_since: time("2026-11-20T00:00:00Z"),
            unavailable_on: time("2026-11-21T00:00:00Z"),
            ..ListState::default()
        };
        let read: ListState = serde_json::from_value(former()).unwrap();
        assert_eq!(read, expected);
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written["backfill"]["watermark"], "2026-10-01T00:00:00Z");
        assert_eq!(written["deep"], Value::Null);
        assert_eq!(
            serde_json::from_value::<ListState>(written).unwrap(),
            expected
        );
    }

    #[test]
    fn fields_of_one_kind_of_list_are_read_in_both_spellings() {
        let detail = |fields: Value| {
            let mut list =
                json!({"status": "complete", "complete_from": null, "complete_through": null});
            let fields = fields.as_object().unwrap().clone();
            list.as_object_mut().unwrap().extend(fields);
            serde_json::from_value::<ListState>(list).unwrap().detail
        };
        let requested = BTreeSet::from(["{e}".to_owned()]);
        let environments = ListDetail::Environments { requested };
        assert_eq!(detail(json!({"known": ["{e}"]})), environments);
        assert_eq!(detail(json!({"environments": ["{e}"]})), environments);
        assert_eq!(detail(json!({"by_parent": true})), ListDetail::ByParent);
        let on = "2026-11-27T00:00:00Z";
        let unfinished_on = time(on).unwrap();
        assert_eq!(
            detail(json!({"unfinished_on": on})),
            ListDetail::Deployments { unfinished_on }
        );
        assert_eq!(detail(json!({})), ListDetail::None);
    }

    #[test]
    fn a_former_failure_without_a_reason_is_a_list_that_no_run_attempted() {
        let read = |reason: Option<&str>| {
            let list = json!({"status": "failed", "reason": reason, "complete_from": null, "complete_through": null});
            let mut list: ListState = serde_json::from_value(list).unwrap();
            list.read_status();
            list.status
        };
        assert_eq!(read(None), ListStatus::NotCollected);
        assert_eq!(read(Some("500")), ListStatus::Failed);
        assert_eq!(ListState::default().status, ListStatus::NotCollected);
    }

    #[test]
    fn a_list_that_starts_over_has_failed_and_keeps_segments_and_pending_records() {
        let mut list: ListState = serde_json::from_value(former()).unwrap();
        let pending = list.pending.clone();
        list.start_over("its file is missing");
        assert_eq!(list.status, ListStatus::Failed);
        assert_eq!((list.pending, list.sequence), (pending, 5));
        assert!(list.backfill.is_none() && list.complete_through.is_none());
        assert!(list.detail == ListDetail::None);
    }
}
