//! The inputs of a collection, and the data that its collectors share.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::lost::LostLists;
use super::saved_states::SavedStates;
use super::shard::Shard;
use super::stop::StopSignal;
use crate::bitbucket::git::Git;
use crate::bitbucket::{Client, Limits};
use crate::config::Config;
use crate::lake::Lake;

/// The inputs of a collection besides the configuration.
pub struct CollectOptions<'a> {
    /// The identifier of the run, which names its segments.
    pub run_id: &'a str,
    /// The start of the run.
    pub now: DateTime<Utc>,
    /// Timeouts, retries and sizes of the HTTP clients.
    pub limits: Limits,
    /// Ends the collection early, between two pages.
    pub stop: &'a StopSignal,
    /// Read every list whole again, to find records that were deleted.
    pub full: bool,
    /// The part of the repositories that this machine collects; all of them without a shard.
    pub shard: Option<Shard>,
    /// Receives the progress.
    pub listener: &'a (dyn Fn(CollectEvent<'_>) + Send + Sync),
}

/// A step of a collection, for a progress display.
#[derive(Clone, Copy)]
pub enum CollectEvent<'a> {
    /// The repositories to collect are known.
    Discovered {
        /// The number of repositories that the configuration selects.
        repositories: usize,
    },
    /// The cost of the run is estimated.
    Planned {
        /// The number of repositories that this run visits.
        repositories: usize,
        /// Requests of the whole run; 0 when they cannot be estimated.
        requests: f64,
    },
    /// A page was received.
    Page {
        /// `workspace/slug`, or the workspace's slug alone.
        repository: &'a str,
        /// The table of the records.
        entity: &'a str,
        /// Records of the page that were kept.
        records: u64,
        /// The client that fetched the page.
        client: &'a Client,
    },
    /// One round over a repository, or the visit of a workspace, is over.
    Finished {
        /// `workspace/slug`, or the workspace's slug alone.
        repository: &'a str,
        /// Whether no later round visits the repository. False for a workspace.
        is_last_round: bool,
    },
}

/// The data that all collectors of a run share.
pub(crate) struct RunContext<'a> {
    pub(super) config: &'a Config,
    pub(super) lake: &'a Lake,
    pub(super) options: &'a CollectOptions<'a>,
    /// The start of the run by the monotonic clock.
    pub(super) started: Instant,
    /// Reads commits from clones instead of the API.
    pub(super) git: Option<&'a Git>,
    /// The states as they were at the start of the run.
    pub(super) states: &'a SavedStates,
    /// Lists whose collected files are missing or damaged.
    pub(super) lost: &'a LostLists,
}

impl RunContext<'_> {
    /// Return a time of Bitbucket's clock, or the local time if that is earlier: a watermark in the future would skip
    /// records, one in the past only reads some again.
    pub(super) fn clamp_to_now(&self, date: DateTime<Utc>) -> DateTime<Utc> {
        date.min(self.options.now + self.started.elapsed())
    }
}
