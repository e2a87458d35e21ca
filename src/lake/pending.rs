//! Records to fetch by id, because incremental listing cannot return them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A record to fetch by id: a pull request, issue or pipeline whose list is not read yet, or a pipeline to read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPending", into = "StoredPending")]
pub struct PendingRecord {
    /// A pull request's or issue's number, or a pipeline's uuid.
    pub id: String,
    /// Why the record is pending.
    pub kind: PendingKind,
}

/// Why a record is pending, with what may make the request unnecessary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingKind {
    /// The record must be fetched.
    Fetch,
    /// A pipeline that had not completed.
    PipelineUpdate {
        /// A pipeline is given up some time after its creation.
        created_on: Option<DateTime<Utc>>,
        /// A digest of the fields that change when a pipeline makes progress.
        fingerprint: Option<String>,
    },
    /// The comments of a pull request, unless they are collected already.
    Comments(ExpectedComments),
    /// The commits of a pull request, unless the commit graph has them.
    Commits(NamedCommits),
}

/// What a pull request says about its comments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedComments {
    /// The number of comments.
    #[serde(alias = "comments")]
    pub count: u64,
    /// The pull request's last change, which the activity feed has to explain; `None` in a first load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_on: Option<DateTime<Utc>>,
}

/// The commits that a pull request names, abbreviated as Bitbucket gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCommits {
    /// The last commit of the source branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The last commit of the destination branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The merge commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<String>,
}

impl PendingRecord {
    /// A record that must be fetched.
    pub fn fetch(id: impl Into<String>) -> Self {
        Self::new(id, PendingKind::Fetch)
    }

    /// A record that is pending for the reason `kind`.
    pub fn new(id: impl Into<String>, kind: PendingKind) -> Self {
        Self {
            id: id.into(),
            kind,
        }
    }

    /// What the pull request says about its comments, where they may be collected already.
    pub fn expected_comments(&self) -> Option<&ExpectedComments> {
        match &self.kind {
            PendingKind::Comments(expected) => Some(expected),
            _ => None,
        }
    }

    /// The commits that the pull request names, where the commit graph may have them.
    pub fn named_commits(&self) -> Option<&NamedCommits> {
        match &self.kind {
            PendingKind::Commits(named) => Some(named),
            _ => None,
        }
    }

    /// The digest of a pipeline that had not completed.
    pub fn fingerprint(&self) -> Option<&str> {
        match &self.kind {
            PendingKind::PipelineUpdate { fingerprint, .. } => fingerprint.as_deref(),
            _ => None,
        }
    }

    /// Whether the record takes a request in any case.
    pub(super) fn needs_request(&self) -> bool {
        match self.kind {
            PendingKind::Fetch | PendingKind::PipelineUpdate { .. } => true,
            PendingKind::Comments(_) | PendingKind::Commits(_) => false,
        }
    }

    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        match &self.kind {
            PendingKind::PipelineUpdate { created_on, .. } => *created_on,
            PendingKind::Comments(expected) => expected.changed_on,
            PendingKind::Fetch | PendingKind::Commits(_) => None,
        }
    }
}

/// The JSON form of [`PendingRecord`].
#[derive(Serialize, Deserialize)]
struct StoredPending {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_on: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "seen")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "talk")]
    comments: Option<ExpectedComments>,
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "ends")]
    commits: Option<NamedCommits>,
}

impl From<StoredPending> for PendingRecord {
    fn from(stored: StoredPending) -> Self {
        let StoredPending {
            id,
            created_on,
            fingerprint,
            comments,
            commits,
        } = stored;
        let kind = match (comments, commits) {
            (Some(expected), _) => PendingKind::Comments(expected),
            (None, Some(named)) => PendingKind::Commits(named),
            (None, None) if created_on.is_some() || fingerprint.is_some() => {
                PendingKind::PipelineUpdate {
                    created_on,
                    fingerprint,
                }
            }
            (None, None) => PendingKind::Fetch,
        };
        Self { id, kind }
    }
}

impl From<PendingRecord> for StoredPending {
    fn from(record: PendingRecord) -> Self {
        let mut stored = Self {
            id: record.id,
            created_on: None,
            fingerprint: None,
            comments: None,
            commits: None,
        };
        match record.kind {
            PendingKind::Fetch => {}
            PendingKind::PipelineUpdate {
                created_on,
                fingerprint,
            } => {
                stored.created_on = created_on;
                stored.fingerprint = fingerprint;
            }
            PendingKind::Comments(expected) => stored.comments = Some(expected),
            PendingKind::Commits(named) => stored.commits = Some(named),
        }
        stored
    }
}
