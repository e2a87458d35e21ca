//! The methods of [`Builder`] and [`Sandbox`] for tests.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::faults::{Fault, Faults};
use super::synthetic::{Day, ListSizes, SyntheticWorkspace};
use crate::lock::lock;
use crate::{Builder, Sandbox};

impl Builder {
    /// Serve a synthetic workspace, whose records are made as they are requested. The server's clock is the workspace's.
    #[must_use]
    pub fn synthetic(mut self, workspace: SyntheticWorkspace) -> Self {
        self.date = Some(workspace.now);
        self.testing.synthetic = Some(workspace);
        self
    }

    /// Send the reply to a GET request again when it is repeated, so that its records are made once. Changes of the records
    /// other than [`Sandbox::advance`] are not seen.
    #[must_use]
    pub fn remember_replies(mut self) -> Self {
        self.testing.remember_replies = true;
        self
    }

    /// Add faults, which precede those of the folder's `faults.json`.
    #[must_use]
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.testing.faults.extend(faults);
        self
    }

    /// Serve `<path>/<workspace>/<repository>.git` by git, at the workspace's address without `2.0/repositories`. Requires
    /// the git program.
    #[must_use]
    pub fn git_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.testing.git = Some(path.into());
        self
    }
}

impl Sandbox {
    /// Add the events of one day to a synthetic workspace and return its new time; `None` when fixtures are served.
    pub fn advance(&self, day: &Day) -> Option<DateTime<Utc>> {
        let now = self.server.testing.synthetic.as_ref()?.advance(day);
        self.server.state.set_date(now);
        self.server.testing.known_replies.clear();
        Some(now)
    }

    /// Return the sizes of a synthetic repository's lists, by the repository's number; `None` when fixtures are served.
    pub fn sizes(&self, number: usize) -> Option<ListSizes> {
        Some(self.server.testing.synthetic.as_ref()?.sizes(number))
    }

    /// Answer 429 from now on to every request of an identity above this many in any hour. Refused requests count as well.
    pub fn enforce(&self, requests_per_hour: u64) {
        self.server.testing.meter.limit(requests_per_hour);
    }

    /// Return how many requests [`Sandbox::enforce`] has refused.
    pub fn refused(&self) -> u64 {
        self.server.testing.meter.refused()
    }

    /// Add a fault after those in force.
    pub fn inject(&self, fault: Fault) {
        lock(&self.server.testing.faults).push(fault);
    }

    /// Remove every fault, including those of `faults.json`.
    pub fn clear_faults(&self) {
        *lock(&self.server.testing.faults) = Faults::default();
    }
}
