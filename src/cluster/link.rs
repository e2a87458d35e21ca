//! The coordinator's record of a worker during a run.

use serde::{Deserialize, Serialize};
use url::Url;

use super::status::WorkerStatus;

/// The work of one worker for a run, as in the run report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The URL of the worker.
    pub url: String,
    /// The number of parts of plans that it received.
    pub tasks: u64,
    /// The number of rows that these parts returned.
    pub rows: u64,
    /// The processor time of its process during the run, also for other runs; `None` if the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milliseconds: Option<u64>,
    /// Why the run continued without the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// A worker during a run.
#[derive(Debug)]
pub(super) struct WorkerLink {
    pub(super) url: Url,
    /// The status at the start; `None` if the worker did not answer.
    pub(super) first: Option<WorkerStatus>,
    /// The last status that was received.
    pub(super) last: Option<WorkerStatus>,
    /// Why the run continues without the worker.
    pub(super) lost: Option<String>,
}

impl WorkerLink {
    /// Return whether a status is from the same process as at the start.
    pub(super) fn is_same(&self, status: &WorkerStatus) -> bool {
        let first = self.first.as_ref();
        first.is_some_and(|first| first.instance == status.instance && first.build == status.build)
    }

    /// Return the known work of the worker since the start.
    pub(super) fn report(&self) -> WorkerReport {
        let since = |count: fn(&WorkerStatus) -> Option<u64>| {
            let first = self.first.as_ref().and_then(count)?;
            let last = self.last.as_ref().and_then(count)?;
            Some(last.saturating_sub(first))
        };
        WorkerReport {
            url: self.url.to_string(),
            tasks: since(|status| Some(status.tasks)).unwrap_or_default(),
            rows: since(|status| Some(status.rows)).unwrap_or_default(),
            cpu_milliseconds: since(|status| status.cpu_milliseconds),
            lost: self.lost.clone(),
        }
    }
}
