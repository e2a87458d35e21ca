//! The repository or workspace whose lists are read, with the client and the run's settings.

use chrono::{DateTime, Utc};

use super::context::RunContext;
use crate::bitbucket::{ApiTarget, Client};

/// A repository or workspace as the list readers see it.
pub(super) struct RepositoryContext<'a> {
    pub(super) run: &'a RunContext<'a>,
    pub(super) client: &'a Client,
    pub(super) connection_id: i64,
    /// The workspace's slug.
    pub(super) workspace: String,
    /// `workspace/slug`, or the workspace's slug alone.
    pub(super) full_name: String,
    pub(super) uuid: String,
    /// Records older than this are not kept, where an entity is bounded by time at all.
    pub(super) since: DateTime<Utc>,
}

impl RepositoryContext<'_> {
    pub(super) fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    pub(super) fn target(&self) -> ApiTarget {
        ApiTarget::full_name(&self.full_name)
    }

    /// When the run began.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.run.options.now
    }

    /// Whether records that were read before are read again, to find those that vanished.
    pub(super) fn is_full_refresh(&self) -> bool {
        self.run.options.full
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.run.options.stop.reason().is_some()
    }
}
