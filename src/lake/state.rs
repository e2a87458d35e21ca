//! What is known of one repository (or workspace): how far each entity is collected, and which segments wait.
//!
//! Keyed by connection and uuid, so that neither a rename nor another credential changes it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, Inventory, Lake, ObjectVersion, layout};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contracts;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryState {
    pub format_version: u32,
    pub connection_id: i64,
    /// With braces.
    pub uuid: String,
    /// `workspace/slug` as last seen, or the workspace's slug alone.
    pub full_name: String,
    /// The name under which its rows are published; another than `full_name` after a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_as: Option<String>,
    /// The run that collected last: another run's change of it means a rival, a transform's does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_by: Option<String>,
    /// The key of the Bitbucket project it belongs to.
    pub bitbucket_project: Option<String>,
    /// Resolved at the first run, so that the window does not slide from night to night.
    pub since: DateTime<Utc>,
    /// The configuration's text that `since` was resolved from: only a change of it moves `since`.
    pub since_setting: String,
    /// The repository's `updated_on` when its branches, tags and commits were read last: while it stands still, so do they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs_as_of: Option<DateTime<Utc>>,
    /// When a run last came through with it, and what that cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_visit: Option<Visit>,
    /// Since when neither its listing nor its uuid finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<DateTime<Utc>>,
    /// It was missing still, a day or more after it was missed first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    pub entities: BTreeMap<String, ListState>,
}

/// A run's visit of a repository that nothing cut short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub on: DateTime<Utc>,
    pub requests: u64,
    /// Whether nothing but what was there already came of it.
    pub quiet: bool,
}

/// How far one entity is collected. Every list is read newest first, so what is there is a span of time that grows at
/// both ends:
///
/// ```text
///        since        complete_from            complete_through     now
///          |  ◀── deep ── |  everything is here  |  ◀── refresh ──── |
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState {
    pub status: ListStatus,
    /// Why it is absent, stale, loading or failed.
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
    /// Records in all segments so far: orders those of the next one behind them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// A walk over what is new that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Cursor>,
    /// A walk to the oldest record wanted that is not at its end: the first load, a gap, or a reconcile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep: Option<Cursor>,
    /// The page at which the oldest records were found: where to go on should older ones be wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottom: Option<String>,
    /// Each parent is asked: because its repository has no feed of it, or because the rules want every pipeline's steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_parent: bool,
    /// Bitbucket's clock when the last walk over everything began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled_on: Option<DateTime<Utc>>,
    /// Parents whose lists are still to be read, newest first; of pipelines: those to look at again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<PendingRecord>,
    /// Commits: heads whose whole history is here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub heads: BTreeSet<String>,
    /// Environments: those that were asked for, by uuid.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known: BTreeSet<String>,
    /// Deployments: when those that have not ended were read last, if they fill a page or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished_on: Option<DateTime<Utc>>,
    /// When it answered first that it is not there, and has not been there since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<DateTime<Utc>>,
    /// When it answered so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_on: Option<DateTime<Utc>>,
    /// Its published file was missing or damaged, and it is collected again to take that file's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lost: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where an interrupted walk goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Bitbucket's clock at the first page: what changes later is the next walk's.
    pub started: Option<DateTime<Utc>>,
    /// All records down to this time were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub border: Option<DateTime<Utc>>,
    /// The address of the page to ask for next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Pages still to come, as far as can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_left: Option<u64>,
    /// Reads again what is here already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reconcile: bool,
    /// Commits: the heads that are walked from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub heads: BTreeSet<String>,
}

/// Something to ask for that no list of what is new would show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord {
    /// A pull request's or issue's number, a pipeline's uuid.
    pub id: String,
    /// Of a pipeline to look at again: when it was created, after which it is given up one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_on: Option<DateTime<Utc>>,
    /// Of a pipeline to look at again: what it was like, so that one that stands still costs one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Of a pull request whose comments are wanted: how to tell that they are here already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talk: Option<ExpectedComments>,
    /// Of a pull request whose commits are wanted: how to tell that the commit graph knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<NamedCommits>,
}

/// What a pull request says of its comments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedComments {
    pub comments: u64,
    /// Its last change, where the feed has to explain it; else it was never read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_on: Option<DateTime<Utc>>,
}

/// The commits that a pull request names, as short as Bitbucket gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCommits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The commit that merged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<String>,
}

impl PendingRecord {
    pub fn parent(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            created_on: None,
            seen: None,
            talk: None,
            ends: None,
        }
    }

    /// Whether what it waits for may be here without a request.
    fn may_be_told(&self) -> bool {
        self.talk.is_some() || self.ends.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListStatus {
    /// All there is, within its window.
    Complete,
    /// Older records of its window are still to come.
    Loading,
    /// The repository does not have it, and never had.
    #[serde(rename = "absent")]
    Unavailable,
    /// It was there, and can no longer be read: its rows stay.
    Stale,
    /// The last walk did not come through.
    Failed,
}

impl ListStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Loading => "loading",
            Self::Unavailable => "absent",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    pub path: String,
    pub rows: u64,
    /// The sequence number of its first record.
    #[serde(default)]
    pub first: u64,
    #[serde(default)]
    pub replaces: Replaces,
    /// The version of its table's contract.
    #[serde(default = "first_version")]
    pub schema_version: u32,
}

fn first_version() -> u32 {
    1
}

/// Which older records a segment takes the place of, beside those with its own keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replaces {
    #[default]
    Nothing,
    /// All: the walk saw every record there is.
    Everything,
    /// Those of these pull requests or issues, whose lists are in here whole.
    Parents(Vec<i64>),
}

impl Default for ListState {
    fn default() -> Self {
        Self {
            status: ListStatus::Failed,
            reason: None,
            complete_from: None,
            complete_through: None,
            stale_since: None,
            segments: Vec::new(),
            sequence: 0,
            refresh: None,
            deep: None,
            bottom: None,
            by_parent: false,
            reconciled_on: None,
            queue: Vec::new(),
            heads: BTreeSet::new(),
            known: BTreeSet::new(),
            unfinished_on: None,
            absent_since: None,
            absent_on: None,
            is_lost: false,
        }
    }
}

impl ListState {
    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let own = [
            self.complete_from,
            self.complete_through,
            self.stale_since,
            self.reconciled_on,
            self.unfinished_on,
            self.absent_since,
            self.absent_on,
        ];
        let walks = [&self.refresh, &self.deep].into_iter().flatten();
        let walks = walks.flat_map(|walk| [walk.started, walk.border]);
        let talks = self.queue.iter().filter_map(|queued| queued.talk.as_ref());
        let queued = self.queue.iter().map(|queued| queued.created_on);
        let queued = queued.chain(talks.map(|talk| talk.changed_on));
        own.into_iter().chain(walks).chain(queued).flatten()
    }

    /// Forgets how far it is collected, so that the next walk reads all of it again. What waits for the publish stays.
    pub fn start_over(&mut self, reason: &str) {
        let (segments, queue) = (
            std::mem::take(&mut self.segments),
            std::mem::take(&mut self.queue),
        );
        *self = Self {
            reason: Some(reason.to_owned()),
            segments,
            queue,
            sequence: self.sequence,
            by_parent: self.by_parent,
            is_lost: self.is_lost,
            ..Self::default()
        };
    }

    /// Whether what is collected again so far may take the place of a published file that was lost.
    pub fn replaces_lost(&self) -> bool {
        let under_way = matches!(self.status, ListStatus::Complete | ListStatus::Loading);
        self.is_lost && under_way
    }

    /// Whether any walk ever came through: only then can the entity be stale instead of absent.
    pub fn ever_returned(&self) -> bool {
        self.complete_through.is_some()
    }

    /// Queues what is not queued yet, and remembers how what is queued was seen last.
    pub fn enqueue(&mut self, more: impl IntoIterator<Item = PendingRecord>) {
        let places = self.queue.iter().enumerate();
        let mut known: BTreeMap<String, usize> =
            places.map(|(n, one)| (one.id.clone(), n)).collect();
        for one in more {
            match known.get(&one.id).and_then(|n| self.queue.get_mut(*n)) {
                Some(queued) => *queued = one,
                None => {
                    known.insert(one.id.clone(), self.queue.len());
                    self.queue.push(one);
                }
            }
        }
    }

    /// What is queued and takes a request each.
    pub fn waiting(&self) -> u64 {
        let asked = self.queue.iter().filter(|queued| !queued.may_be_told());
        asked.count() as u64
    }

    fn requests_left(&self) -> u64 {
        let walks = [&self.refresh, &self.deep].into_iter().flatten();
        let pages = walks.map(|walk| walk.pages_left.unwrap_or(1));
        let known = pages.fold(self.waiting(), u64::saturating_add);
        match self.status {
            ListStatus::Loading => known.max(1),
            _ => known,
        }
    }
}

impl RepositoryState {
    pub fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    /// Requests that its unfinished walks and queues still need, as far as can be told.
    pub fn requests_left(&self) -> u64 {
        let entities = self.entities.iter();
        // Pull requests wait there only until the feed has told of them.
        let fed = |table: &str| table == "pull_request_activity";
        let entities = entities.filter(|(table, entity)| !fed(table) || entity.by_parent);
        let left = entities.map(|(_, entity)| entity.requests_left());
        left.fold(0, u64::saturating_add)
    }

    pub fn path(&self) -> String {
        layout::state_file(self.connection_id, &self.uuid)
    }

    /// `read_from`: the object that it was read from.
    fn checked(self, read_from: &str) -> Result<Self> {
        self.check_names(read_from)?;
        let contracts = Contracts::bundled()?;
        let newer = self.entities.iter().any(|(entity, known)| {
            let version = contracts.get("bitbucket", entity).map(|it| it.version);
            let segments = known.segments.iter();
            segments.map(|it| Some(it.schema_version)).max() > Some(version)
        });
        if self.format_version > FORMAT_VERSION || newer {
            return Err(Error::new(
                ErrorKind::Lake,
                "the state was written by a newer version of bitlake",
            )
            .with("file", read_from)
            .hint("upgrade bitlake"));
        }
        Ok(self)
    }

    /// A state may be damaged or not ours: it names its own object, segments of its own folder, and times that can be
    /// reckoned with.
    fn check_names(&self, read_from: &str) -> Result<()> {
        let refused = |what: &str, value: &dyn std::fmt::Display| {
            Err(Error::new(ErrorKind::Lake, what)
                .with("file", read_from)
                .with("value", value)
                .hint(layout::repair_hint(read_from)))
        };
        if self.path() != read_from {
            let what = "the state is that of another repository than its name says";
            return refused(what, &self.path());
        }
        let folder = layout::segments_folder(self.connection_id, &self.uuid);
        let segments = self.entities.values().flat_map(|known| &known.segments);
        for segment in segments {
            if !layout::is_below(&segment.path, &folder) {
                let what = "the state names a segment outside its repository's folder";
                return refused(what, &segment.path);
            }
        }
        match self.times().find(|time| !(1..=9999).contains(&time.year())) {
            Some(time) => refused("the state holds a time that cannot be", &time),
            None => Ok(()),
        }
    }

    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let visited = self.last_visit.as_ref().map(|visit| visit.on);
        let own = [self.refs_as_of, visited, self.missing_since];
        let entities = self.entities.values().flat_map(ListState::times);
        let own = own.into_iter().flatten().chain([self.since]);
        own.chain(entities)
    }

    /// Whether a run that died while it published may have moved or removed the file of an entity on purpose.
    pub fn may_have_moved(&self, entity: &str, inventory: &Inventory) -> bool {
        let is_renamed = self
            .published_as
            .as_ref()
            .is_some_and(|it| *it != self.full_name);
        let known = self.entities.get(entity);
        let mut segments = known.iter().flat_map(|known| &known.segments);
        let is_replaced = segments.any(|segment| segment.replaces == Replaces::Everything);
        inventory.manifest.intent.is_some() && (is_renamed || is_replaced)
    }

    /// Where the rows of an entity are published.
    pub fn source_file(&self, entity: &str) -> String {
        let name = self.published_as.as_ref().unwrap_or(&self.full_name);
        layout::source_file(entity, self.connection_id, name)
    }
}

/// So many states are asked for at once: in a bucket each answer takes its time.
const AT_ONCE: usize = 16;

impl Lake {
    /// What is known of one repository or workspace, with the version that the next put replaces.
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

    /// Every repository and workspace that was ever collected, in a stable order.
    pub async fn states(&self) -> Result<Vec<(RepositoryState, ObjectVersion)>> {
        let paths = self.list(layout::STATE).await?;
        let found = futures::stream::iter(paths).map(|path| async move {
            match self.get_versioned::<RepositoryState>(&path).await? {
                Some((state, version)) => Ok(Some((state.checked(&path)?, version))),
                None => Ok(None),
            }
        });
        let found = found
            .buffered(AT_ONCE)
            .try_filter_map(async |found| Ok(found));
        let mut states: Vec<(RepositoryState, ObjectVersion)> = found.try_collect().await?;
        states.sort_by(|(a, _), (b, _)| {
            (a.connection_id, &a.full_name, &a.uuid).cmp(&(b.connection_id, &b.full_name, &b.uuid))
        });
        Ok(states)
    }

    /// Moves a state to its next version; `expected`: the one it was read as, `None` for a new one.
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
