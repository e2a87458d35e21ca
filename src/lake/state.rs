//! What is known of one repository (or workspace): how far each entity is collected, and which segments wait.
//!
//! Keyed by connection and uuid, so that neither a rename nor another credential changes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, Lake, Version, layout};
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub format_version: u32,
    pub connection_id: i64,
    /// With braces.
    pub uuid: String,
    /// `workspace/slug` as last seen, or the workspace's slug alone.
    pub full_name: String,
    /// The name under which its rows are published; another than `full_name` after a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_as: Option<String>,
    /// The key of the Bitbucket project it belongs to.
    pub bitbucket_project: Option<String>,
    /// Resolved at the first run, so that the window does not slide from night to night.
    pub since: DateTime<Utc>,
    /// The configuration's text that `since` was resolved from: only a change of it moves `since`.
    pub since_setting: String,
    /// Since when neither its listing nor its uuid finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<DateTime<Utc>>,
    /// It was missing still, a day or more after it was missed first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    pub entities: BTreeMap<String, EntityState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityState {
    pub status: EntityStatus,
    /// Why it is absent, stale or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Records from this time on are all there; absent: from the beginning.
    pub complete_from: Option<DateTime<Utc>>,
    /// Bitbucket's clock when the last complete walk began.
    pub complete_through: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<DateTime<Utc>>,
    /// Collected, not yet published; in the order of collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityStatus {
    /// All there is, within its window.
    Complete,
    /// The repository does not have it, and never had.
    Absent,
    /// It was there, and can no longer be read: its rows stay.
    Stale,
    /// The last walk did not come through.
    Failed,
}

impl EntityStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    pub path: String,
    pub rows: u64,
    /// Older records that are not in here are gone.
    pub replaces: bool,
}

impl EntityState {
    /// Whether any walk ever came through: only then can the entity be stale instead of absent.
    pub fn ever_returned(&self) -> bool {
        self.complete_through.is_some()
    }
}

impl State {
    pub fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    pub fn path(&self) -> String {
        layout::state_file(self.connection_id, &self.uuid)
    }

    fn checked(self) -> Result<Self> {
        if self.format_version > FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::Lake,
                "the state was written by a newer version of bitlake",
            )
            .with("file", self.path())
            .hint("upgrade bitlake"));
        }
        Ok(self)
    }
}

/// So many states are asked for at once: in a bucket each answer takes its time.
const AT_ONCE: usize = 16;

impl Lake {
    /// What is known of one repository or workspace, with the version that the next put replaces.
    pub async fn state(&self, connection_id: i64, uuid: &str) -> Result<Option<(State, Version)>> {
        let path = layout::state_file(connection_id, uuid);
        let Some((state, version)) = self.get_versioned::<State>(&path).await? else {
            return Ok(None);
        };
        Ok(Some((state.checked()?, version)))
    }

    /// Every repository and workspace that was ever collected, in a stable order.
    pub async fn states(&self) -> Result<Vec<(State, Version)>> {
        let paths = self.list(layout::STATE).await?;
        let found = futures::stream::iter(paths).map(|path| async move {
            match self.get_versioned::<State>(&path).await? {
                Some((state, version)) => Ok(Some((state.checked()?, version))),
                None => Ok(None),
            }
        });
        let found = found
            .buffered(AT_ONCE)
            .try_filter_map(async |found| Ok(found));
        let mut states: Vec<(State, Version)> = found.try_collect().await?;
        states.sort_by(|(a, _), (b, _)| {
            (a.connection_id, &a.full_name, &a.uuid).cmp(&(b.connection_id, &b.full_name, &b.uuid))
        });
        Ok(states)
    }

    /// Moves a state to its next version; `expected`: the one it was read as, `None` for a new one.
    ///
    /// # Errors
    /// As [`Lake::put_versioned`].
    pub async fn put_state(&self, state: &State, expected: Option<&Version>) -> Result<Version> {
        self.put_versioned(&state.path(), state, expected).await
    }
}
