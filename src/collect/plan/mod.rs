//! The estimated requests of the next run and of a usual day.
//!
//! ```text
//! known repository   its state: the growth of each list, unfinished lists, pending records           no request
//! new repository     the sizes of its lists, or the density of their newest records   a request or two for each list
//! ```
//!
//! The plan is kept on the lake. The next run reports its requests next to it.

mod estimate;
mod known;
mod probe;
mod rates;
mod run_estimate;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::SyncSettings;
pub use estimate::plan;
pub(super) use run_estimate::RunEstimate;

/// Requests by table. A fraction is the share of days on which a request is sent.
pub type Requests = BTreeMap<String, f64>;

/// The estimated requests of the next run, and of a usual day after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// When the plan was made.
    pub made_at: DateTime<Utc>,
    /// By connection and name.
    pub repositories: Vec<RepositoryPlan>,
    /// Requests that belong to no repository: the lists of repositories and of members.
    pub once: Requests,
    /// By connection.
    pub budgets: Vec<ConnectionBudget>,
    /// Requests that planning took.
    pub spent: u64,
}

/// The estimated requests of one repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepositoryPlan {
    /// The connection's name.
    pub connection: String,
    /// `workspace/slug`.
    pub repository: String,
    /// With braces.
    pub uuid: String,
    /// The kind of its next visit.
    pub kind: VisitKind,
    /// Requests of the next run.
    pub next: Requests,
    /// Requests of a run a day later, at the same rate of new records.
    pub usual_day: Requests,
    /// Why there is no estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the next run does with a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitKind {
    /// No list was read yet.
    #[default]
    FirstLoad,
    /// Continues a first load that was interrupted.
    Unfinished,
    /// Reads the records that are new since the last run.
    Update,
    /// Skips the repository to save quota.
    #[serde(rename = "rest")]
    Deferred,
}

/// The budget of a connection's identities, and how long the plan takes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionBudget {
    /// The connection's name.
    pub connection: String,
    /// Requests of all identities in an hour.
    pub requests_per_hour: u32,
    /// Requests of this hour that are left after planning.
    pub left: u32,
    /// Requests of the next run.
    pub next: f64,
    /// Requests of a usual day.
    pub usual_day: f64,
    /// Hours by which the budget delays the next run; 0 when it fits into what is left of this hour.
    pub hours: f64,
    /// Hours by which the budget delays the run of a usual day; 0 when it fits into an hour.
    pub usual_day_hours: f64,
}

impl Plan {
    /// Sum the requests of the next run by table.
    pub fn next(&self) -> Requests {
        let repositories = self.repositories.iter();
        sum([&self.once]
            .into_iter()
            .chain(repositories.map(|one| &one.next)))
    }

    /// Sum the requests of a usual day by table.
    pub fn usual_day(&self) -> Requests {
        let repositories = self.repositories.iter();
        sum([&self.once]
            .into_iter()
            .chain(repositories.map(|one| &one.usual_day)))
    }

    /// The plan of one repository.
    fn find(&self, connection: &str, uuid: &str) -> Option<&RepositoryPlan> {
        let mut all = self.repositories.iter();
        all.find(|one| one.connection == connection && one.uuid == uuid)
    }
}

impl RepositoryPlan {
    /// Leave out commits when git reads them: they count against another budget than requests.
    fn without_git_commits(mut self, sync: &SyncSettings) -> Self {
        if sync.git.is_some() {
            self.next.remove("commits");
            self.usual_day.remove("commits");
        }
        self
    }
}

/// Sum requests over all tables.
pub fn total(requests: &Requests) -> f64 {
    requests.values().sum()
}

fn sum<'a>(all: impl Iterator<Item = &'a Requests>) -> Requests {
    let mut sum = Requests::new();
    for (table, n) in all.flatten() {
        *sum.entry(table.clone()).or_default() += n;
    }
    sum
}

/// Return the hours until so many requests are sent, of which `left` can be sent without waiting.
pub fn hours(requests: f64, left: u32, requests_per_hour: u32) -> f64 {
    (requests - f64::from(left)).max(0.0) / f64::from(requests_per_hour.max(1))
}

/// The days between two times.
fn days_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_minutes() as f64 / (24.0 * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn requests_within_the_remaining_budget_wait_for_nothing() {
        assert_eq!(hours(900.0, 950, 1_000), 0.0);
        assert_eq!(hours(2_950.0, 950, 1_000), 2.0);
    }

    #[test]
    fn commits_read_by_git_are_not_requests() {
        let left = |commits: &str| {
            let text = format!("[lake]\nurl = \"lake\"\n[sync]\ncommits = \"{commits}\"");
            let config = Config::parse(&text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]);
            let next = Requests::from([("branches".into(), 1.0), ("commits".into(), 21.0)]);
            let plan = RepositoryPlan {
                usual_day: next.clone(),
                next,
                ..RepositoryPlan::default()
            };
            let plan = plan.without_git_commits(&config.unwrap().sync);
            (total(&plan.next), total(&plan.usual_day))
        };
        assert_eq!(left("api"), (22.0, 22.0));
        assert_eq!(left("git"), (1.0, 1.0));
    }
}
