//! A synthetic workspace of any size, whose records are made when a page contains them: to measure what the collection of a
//! hundred repositories costs without a gigabyte of fixtures.
//!
//! All repositories have a similar history and, unless idle, the same events a day; names and ids differ. Caps, paging,
//! filters and hidden fields are those of the sandbox's other lists.
//!
//! ```text
//! SyntheticWorkspace ─▶ RepositoryHistory: numbers, times ── page ──▶ SyntheticRepository: JSON of the page's records
//!                         ▲ Day: later events
//! ```

// Every index is one that the history made.
#![allow(clippy::indexing_slicing)]

mod answer;
mod builds;
mod history;
mod records;
mod variety;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::call::Call;
use crate::core;
use crate::errors::{self, SandboxReply};
use builds::ENVIRONMENTS;
use history::{PullRequestFate, RepositoryHistory, VARIANTS};
use records::SyntheticRepository;
pub use variety::Variety;

/// The size of the workspace `acme` and of each of its repositories, and its clock.
#[derive(Debug, Clone)]
pub struct SyntheticWorkspace {
    /// The number of repositories: `acme/repo-000` and so on.
    pub repositories: usize,
    /// How many of them, counted from the last, are idle: a [`Day`] does not change them.
    pub idle: usize,
    /// Pull requests of each repository, with four entries of activity each; three of five have a comment.
    pub pull_requests: usize,
    /// Pipelines of each repository; every tenth deploys.
    pub pipelines: usize,
    /// One of this many merged pull requests is squashed.
    pub squashed: usize,
    /// The largest number of branches, including `main`.
    pub branches: usize,
    /// Tags of each repository.
    pub tags: usize,
    /// The span of the history.
    pub past: TimeDelta,
    /// The end of the history, which is the server's clock.
    pub now: DateTime<Utc>,
    /// How much records differ from one another.
    pub variety: Variety,
}

/// The events of one day in each repository that is not idle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Day {
    /// Opened pull requests.
    pub opened: usize,
    /// Closed pull requests; one of seven is declined, the rest merged.
    pub closed: usize,
    /// Pull requests with any activity, including the opened and the closed.
    pub touched: usize,
    /// Entries of activity.
    pub entries: usize,
    /// New pipelines.
    pub pipelines: usize,
}

/// The number of records in each list of one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListSizes {
    /// Branches.
    pub branches: usize,
    /// Tags.
    pub tags: usize,
    /// Commits reachable from branches and tags.
    pub commits: usize,
    /// Pull requests in all states.
    pub pull_requests: usize,
    /// Pull requests merged by a commit from which their own commits are not reachable.
    pub squashed: usize,
    /// Open pull requests.
    pub open: usize,
    /// Declined pull requests.
    pub declined: usize,
    /// Pull requests with a comment.
    pub commented: usize,
    /// Entries of activity.
    pub activity: usize,
    /// Pipelines.
    pub pipelines: usize,
    /// Deployments.
    pub deployments: usize,
    /// Environments.
    pub environments: usize,
}

impl Default for SyntheticWorkspace {
    #[allow(
        clippy::disallowed_methods,
        reason = "the records end at the present time"
    )]
    fn default() -> Self {
        Self {
            repositories: 100,
            idle: 0,
            pull_requests: 1_000,
            pipelines: 5_000,
            squashed: 100,
            branches: 60,
            tags: 40,
            past: TimeDelta::days(180),
            now: Utc::now(),
            variety: Variety::default(),
        }
    }
}

impl SyntheticWorkspace {
    fn start(&self) -> DateTime<Utc> {
        self.now - self.past
    }
}

/// A synthetic workspace that is being served.
pub(crate) struct SyntheticServer {
    workspace: SyntheticWorkspace,
    past: RwLock<Arc<Timeline>>,
}

#[derive(Clone)]
struct Timeline {
    now: DateTime<Utc>,
    /// The history of each variant.
    busy: Vec<RepositoryHistory>,
    idle: Vec<RepositoryHistory>,
}

impl SyntheticServer {
    pub(crate) fn new(workspace: SyntheticWorkspace) -> Self {
        let variants = 0..VARIANTS;
        let busy: Vec<_> = variants
            .map(|n| RepositoryHistory::new(&workspace, n))
            .collect();
        let past = Timeline {
            now: workspace.now,
            idle: busy.clone(),
            busy,
        };
        Self {
            past: RwLock::new(Arc::new(past)),
            workspace,
        }
    }

    /// Add the events of one day and return the new time.
    pub(crate) fn advance(&self, day: &Day) -> DateTime<Utc> {
        let mut past = self.past.write().unwrap_or_else(PoisonError::into_inner);
        let past = Arc::make_mut(&mut past);
        for history in &mut past.busy {
            history.advance(day, past.now);
        }
        past.now += TimeDelta::days(1);
        past.now
    }

    pub(crate) fn sizes(&self, number: usize) -> ListSizes {
        let past = self.past();
        let history = self.history(&past, number);
        let of = |fate| {
            history
                .pull_requests
                .iter()
                .filter(|one| one.fate == fate)
                .count()
        };
        ListSizes {
            branches: history.branches.len() + 1,
            tags: history.tags.len(),
            commits: history
                .reachable(history.heads())
                .into_iter()
                .filter(|is| *is)
                .count(),
            pull_requests: history.pull_requests.len(),
            squashed: of(PullRequestFate::Squashed),
            open: of(PullRequestFate::Open),
            declined: of(PullRequestFate::Declined),
            commented: history
                .pull_requests
                .iter()
                .filter(|one| one.comments > 0)
                .count(),
            activity: history.entries.len(),
            pipelines: history.pipelines.len(),
            deployments: history.deployments(),
            environments: ENVIRONMENTS,
        }
    }

    fn history<'a>(&self, past: &'a Timeline, number: usize) -> &'a RepositoryHistory {
        match number + self.workspace.idle < self.workspace.repositories {
            true => &past.busy[number % VARIANTS],
            false => &past.idle[number % VARIANTS],
        }
    }

    fn past(&self) -> Arc<Timeline> {
        Arc::clone(&self.past.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn answer(&self, call: &Call) -> Result<Value, SandboxReply> {
        let past = self.past();
        let repo = |number| SyntheticRepository {
            number,
            history: self.history(&past, number),
            variety: &self.workspace.variety,
        };
        let template = call.route.template;
        let Some(of_repository) = template.strip_prefix("/repositories/{workspace}/{repo_slug}")
        else {
            if template.contains("{workspace}") && !records::is_workspace(call.parameter(0)) {
                return Err(errors::no_workspace(call.parameter(0)));
            }
            return match template {
                "/user" => Ok(call.record(&records::account(0))),
                "/user/workspaces" => core::workspace_list(
                    call,
                    [(records::workspace_uuid().as_str(), records::WORKSPACE)].into_iter(),
                ),
                "/workspaces/{workspace}" => Ok(call.record(&records::workspace())),
                "/workspaces/{workspace}/members" => {
                    let people = self.workspace.variety.people(self.workspace.repositories);
                    core::member_list(call, &records::members(people))
                }
                "/repositories/{workspace}" => {
                    let all: Vec<Value> = (0..self.workspace.repositories)
                        .map(|n| repo(n).record())
                        .collect();
                    core::repository_list(call, all.iter().collect())
                }
                _ => core::removed(call),
            };
        };
        let workspace = call.parameter(0);
        let number = records::number(call.parameter(1));
        let number = number.filter(|n| {
            *n < self.workspace.repositories
                && (workspace == "{}" || records::is_workspace(workspace))
        });
        repo(number.ok_or_else(errors::no_repository)?).answer(call, of_repository)
    }
}
