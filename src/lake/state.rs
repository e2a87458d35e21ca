//! The durable progress of each repository and workspace: one JSON object that moves from version to version.
//!
//! ```text
//! RepositoryState ─┬─ identity, `since`, last visit
//!                  └─ entities: table ─▶ ListState (list_state.rs) ─▶ PendingRecord (pending.rs)
//! ```
//!
//! The object is keyed by connection and uuid, so that neither a rename nor other credentials change its path.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use chrono::{DateTime, Datelike, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::inventory::Inventory;
use super::layout::{self, FORMAT_VERSION};
use super::list_state::{ListState, Replaces};
use super::objects::json_text;
use super::store::Lake;
use super::version::ObjectVersion;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::{Contracts, SourceTable};

/// The progress of one repository or workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryState {
    /// The version of the object's format.
    pub format_version: u32,
    /// The `id` of the connection.
    pub connection_id: i64,
    /// The uuid of the repository or workspace, with braces.
    pub uuid: String,
    /// `workspace/slug` as last seen, or the workspace's slug alone.
    pub full_name: String,
    /// The name under which its rows are published; differs from `full_name` after a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_as: Option<String>,
    /// The id of the last collecting run. Another run's change of it reveals a concurrent run; a transform keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_by: Option<String>,
    /// The key of the repository's Bitbucket project.
    pub bitbucket_project: Option<String>,
    /// The oldest wanted time. Resolved in the first run, so that the window does not move with every run.
    pub since: DateTime<Utc>,
    /// The configuration's text that `since` was resolved from; only a change of this text moves `since`.
    pub since_setting: String,
    /// The repository's `updated_on` when branches, tags and commits were last read; they are read again once it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs_as_of: Option<DateTime<Utc>>,
    /// The last run that read it without an interruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_visit: Option<Visit>,
    /// Since when neither the workspace's listing nor the uuid finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<DateTime<Utc>>,
    /// Whether it was still missing a day or more after it was first missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Lists by table.
    pub entities: BTreeMap<String, ListState>,
}

/// The last run that read a repository without an interruption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// When the run began.
    pub on: DateTime<Utc>,
    /// The requests that it took.
    pub requests: u64,
    /// Whether the visit found no new records.
    pub quiet: bool,
}

static NOT_COLLECTED: LazyLock<ListState> = LazyLock::new(ListState::default);

impl RepositoryState {
    /// Whether it is the state of a workspace.
    pub fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    /// The progress of a list; that of one that was never collected has no entry.
    pub fn list(&self, table: impl AsRef<str>) -> &ListState {
        self.entities.get(table.as_ref()).unwrap_or(&NOT_COLLECTED)
    }

    /// The progress of a list to change; makes its entry.
    pub fn list_mut(&mut self, table: impl AsRef<str>) -> &mut ListState {
        self.entities.entry(table.as_ref().to_owned()).or_default()
    }

    /// The requests that the pending records of a list need, as far as is known. Reading the activity feed serves all pull
    /// requests that are pending for it.
    pub fn pending_requests(&self, table: &str) -> u64 {
        let list = self.list(table);
        match is_served_by_feed(table, list) {
            true => 0,
            false => list.certain_requests(),
        }
    }

    /// The requests that unfinished reads and pending records need, as far as is known.
    pub fn requests_left(&self) -> u64 {
        let lists = self.entities.iter();
        let lists = lists.filter(|(table, list)| !is_served_by_feed(table, list));
        let left = lists.map(|(_, list)| list.requests_left());
        left.fold(0, u64::saturating_add)
    }

    /// The text of the state object. States that are equal have the same.
    ///
    /// # Errors
    /// None that a state can cause.
    pub fn to_text(&self) -> Result<Bytes> {
        json_text(self)
    }

    /// Read the text of a state.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a text that [`RepositoryState::to_text`] did not write.
    pub fn from_text(text: &Bytes) -> Result<Self> {
        serde_json::from_slice(text).or_error(ErrorKind::Internal, "cannot read a state")
    }

    /// The path of the state object in the lake.
    pub fn path(&self) -> String {
        layout::state_file(self.connection_id, &self.uuid)
    }

    /// Check a state that was read from the object `path`.
    fn checked(mut self, path: &str) -> Result<Self> {
        for list in self.entities.values_mut() {
            list.read_status();
        }
        self.check_names(path)?;
        let contracts = Contracts::bundled()?;
        let newer = self.entities.iter().any(|(table, list)| {
            let version = contracts.get("bitbucket", table).map(|it| it.version);
            let segments = list.segments.iter();
            segments.map(|it| Some(it.schema_version)).max() > Some(version)
        });
        if self.format_version > FORMAT_VERSION || newer {
            return Err(Error::new(
                ErrorKind::Lake,
                "the state was written by a newer version of bitlake",
            )
            .with("file", path)
            .hint("upgrade bitlake"));
        }
        Ok(self)
    }

    /// Anyone who can write to the lake may have changed the state: check that it names its own object, segments in its own
    /// folder, and times within the years 1 to 9999.
    fn check_names(&self, path: &str) -> Result<()> {
        let refused = |what: &str, value: &dyn std::fmt::Display| {
            Err(Error::new(ErrorKind::Lake, what)
                .with("file", path)
                .with("value", value)
                .hint(layout::repair_hint(path)))
        };
        if self.path() != path {
            return refused(
                "the state belongs to another repository than its path names",
                &self.path(),
            );
        }
        let folder = layout::segments_folder(self.connection_id, &self.uuid);
        let segments = self.entities.values().flat_map(|list| &list.segments);
        for segment in segments {
            if !layout::is_below(&segment.path, &folder) {
                return refused(
                    "the state names a segment outside its repository's folder",
                    &segment.path,
                );
            }
        }
        match self.times().find(|time| !(1..=9999).contains(&time.year())) {
            Some(time) => refused(
                "the state contains a time outside the years 1 to 9999",
                &time,
            ),
            None => Ok(()),
        }
    }

    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let visited = self.last_visit.as_ref().map(|visit| visit.on);
        let own = [self.refs_as_of, visited, self.missing_since];
        let lists = self.entities.values().flat_map(ListState::times);
        let own = own.into_iter().flatten().chain([self.since]);
        own.chain(lists)
    }

    /// Whether an interrupted publish may have moved or removed a table's file on purpose.
    pub fn may_have_moved(&self, table: &str, inventory: &Inventory) -> bool {
        let is_renamed = self
            .published_as
            .as_ref()
            .is_some_and(|it| *it != self.full_name);
        let mut segments = self.list(table).segments.iter();
        let is_replaced = segments.any(|segment| segment.replaces == Replaces::Everything);
        inventory.manifest.intent.is_some() && (is_renamed || is_replaced)
    }

    /// The path of a table's published file.
    pub fn source_file(&self, table: &str) -> String {
        let name = self.published_as.as_ref().unwrap_or(&self.full_name);
        layout::source_file(table, self.connection_id, name)
    }
}

/// Whether one feed has the records of all pending parents.
fn is_served_by_feed(table: &str, list: &ListState) -> bool {
    table == SourceTable::PullRequestActivity.as_str() && !list.is_by_parent()
}

/// The number of states that are read at the same time.
const CONCURRENT_READS: usize = 16;

impl Lake {
    /// Read the state of one repository or workspace, with the version that the next put replaces.
    pub async fn state(
        &self,
        connection_id: i64,
        uuid: &str,
    ) -> Result<Option<(RepositoryState, ObjectVersion)>> {
        let path = layout::state_file(connection_id, uuid);
        let Some((state, version)) = self.get_versioned::<RepositoryState>(&path).await? else {
            return Ok(None);
        };
        Ok(Some((state.checked(&path)?, version)))
    }

    /// Read the states of all repositories and workspaces that were ever collected, by connection and name.
    pub async fn states(&self) -> Result<Vec<RepositoryState>> {
        let states = self.versioned_states().await?.into_iter();
        Ok(states.map(|(state, _)| state).collect())
    }

    /// As [`Lake::states`], each with the version that the next put replaces.
    pub async fn versioned_states(&self) -> Result<Vec<(RepositoryState, ObjectVersion)>> {
        let paths = self.list(layout::STATE).await?;
        let found = futures::stream::iter(paths).map(|path| async move {
            match self.get_versioned::<RepositoryState>(&path).await? {
                Some((state, version)) => Ok(Some((state.checked(&path)?, version))),
                None => Ok(None),
            }
        });
        let found = found
            .buffered(CONCURRENT_READS)
            .try_filter_map(async |found| Ok(found));
        let mut states: Vec<(RepositoryState, ObjectVersion)> = found.try_collect().await?;
        states.sort_by(|(a, _), (b, _)| {
            (a.connection_id, &a.full_name, &a.uuid).cmp(&(b.connection_id, &b.full_name, &b.uuid))
        });
        Ok(states)
    }

    /// Put the next version of a state, of which `text` is the [`RepositoryState::to_text`]; `expected`: the version that was
    /// read, `None` for a new state.
    ///
    /// # Errors
    /// As [`Lake::put_versioned`].
    pub async fn put_state_text(
        &self,
        state: &RepositoryState,
        text: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        self.put_versioned_text(&state.path(), text, expected).await
    }

    /// As [`Lake::put_state_text`].
    ///
    /// # Errors
    /// As [`Lake::put_versioned`].
    pub async fn put_state(
        &self,
        state: &RepositoryState,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        self.put_versioned(&state.path(), state, expected).await
    }
}
