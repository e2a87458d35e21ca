//! Parts of the sandbox that only tests and benchmarks use; the feature `testing` compiles them.
//!
//! ```text
//! faults      replace, delay, alter or interrupt single replies
//! meter       enforce an hourly budget, as Bitbucket does
//! git         serve repositories by git over HTTP
//! synthetic   make the records of a large workspace as they are requested
//! ```
//!
//! [`respond`] wraps the handling of an API request with all of them.

mod connection;
mod faults;
mod git;
mod huge;
mod meter;
mod respond;
mod synthetic;

use std::path::PathBuf;
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use crate::server::lock;
use crate::{Builder, Sandbox};

pub(crate) use connection::{BreakableListener, ConnectionHandle};
pub use faults::{Fault, Interruption, RandomFaults};
pub(crate) use git::target as git_target;
pub(crate) use respond::respond;
pub use synthetic::{Day, ListSizes, SyntheticWorkspace};

use faults::Faults;
use meter::Meter;
use synthetic::SyntheticServer;

/// What the server does besides answering from fixtures.
#[derive(Default)]
pub(crate) struct TestingState {
    faults: Mutex<Faults>,
    meter: Meter,
    /// Serve these records instead of the fixtures.
    pub synthetic: Option<SyntheticServer>,
    /// The folder of `<workspace>/<repository>.git` to serve by git.
    git: Option<PathBuf>,
}

impl TestingState {
    /// Take the settings of a builder; its faults precede those of the fixtures.
    pub(crate) fn new(settings: TestingSettings, fixture_faults: Vec<Fault>) -> Self {
        let mut faults = settings.faults;
        faults.extend(fixture_faults);
        Self {
            faults: Mutex::new(Faults::new(faults)),
            meter: Meter::default(),
            synthetic: settings.synthetic.map(SyntheticServer::new),
            git: settings.git,
        }
    }
}

/// What a [`Builder`] was asked for.
#[derive(Default)]
pub(crate) struct TestingSettings {
    faults: Vec<Fault>,
    pub synthetic: Option<SyntheticWorkspace>,
    git: Option<PathBuf>,
}

impl Builder {
    /// Serve a synthetic workspace, whose records are made as they are requested. The server's clock is the workspace's.
    #[must_use]
    pub fn synthetic(mut self, workspace: SyntheticWorkspace) -> Self {
        self.date = Some(workspace.now);
        self.testing.synthetic = Some(workspace);
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
        let now = self.state.testing.synthetic.as_ref()?.advance(day);
        self.state.set_date(now);
        Some(now)
    }

    /// Return the sizes of a synthetic repository's lists, by the repository's number; `None` when fixtures are served.
    pub fn sizes(&self, number: usize) -> Option<ListSizes> {
        Some(self.state.testing.synthetic.as_ref()?.sizes(number))
    }

    /// Answer 429 from now on to every request of an identity above this many in any hour. Refused requests count as well.
    pub fn enforce(&self, requests_per_hour: u64) {
        self.state.testing.meter.limit(requests_per_hour);
    }

    /// Return how many requests [`Sandbox::enforce`] has refused.
    pub fn refused(&self) -> u64 {
        self.state.testing.meter.refused()
    }

    /// Add a fault after those in force.
    pub fn inject(&self, fault: Fault) {
        lock(&self.state.testing.faults).push(fault);
    }

    /// Remove every fault, including those of `faults.json`.
    pub fn clear_faults(&self) {
        *lock(&self.state.testing.faults) = Faults::default();
    }
}
