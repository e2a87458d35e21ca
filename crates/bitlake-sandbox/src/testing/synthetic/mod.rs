//! An estate as large as one likes, whose records are made when a page shows them: to count what a walk of a hundred
//! repositories costs, without a gigabyte of fixtures.
//!
//! Every repository has much the same past and, unless it is idle, lives the same days; names and ids differ. Caps,
//! paging, filters and hidden fields are those of the sandbox's other lists.
//!
//! ```text
//! SyntheticWorkspace ─▶ RepositoryHistory: numbers and times ── page ──▶ SyntheticRepository: JSON of the records it shows
//!              ▲ Day: what happened since
//! ```

mod answer;
mod builds;
mod history;
mod records;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::core;
use crate::errors::{self, SandboxReply};
use crate::routes::Call;
use builds::ENVIRONMENTS;
use history::{PullRequestFate, RepositoryHistory, VARIANTS};
use records::SyntheticRepository;

/// What each repository of the workspace `acme` has, and when it was measured.
#[derive(Debug, Clone)]
pub struct SyntheticWorkspace {
    /// `acme/repo-000` and so on.
    pub repositories: usize,
    /// So many of these, the last ones, that [`Day`]s pass by.
    pub idle: usize,
    /// Four entries of activity each; three of five have a comment.
    pub pull_requests: usize,
    /// Every tenth made a deployment.
    pub pipelines: usize,
    /// A merged pull request in so many is squashed.
    pub squashed: usize,
    /// At most so many, `main` among them.
    pub branches: usize,
    pub tags: usize,
    /// How long ago all this began.
    pub past: TimeDelta,
    pub now: DateTime<Utc>,
}

/// What a day brings to each repository that is not idle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Day {
    /// Pull requests.
    pub opened: usize,
    /// Pull requests, merged but for one of seven.
    pub closed: usize,
    /// Pull requests with any activity, those opened and closed among them.
    pub touched: usize,
    /// Of the activity.
    pub entries: usize,
    pub pipelines: usize,
}

/// How many records the lists of one repository have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListSizes {
    pub branches: usize,
    pub tags: usize,
    /// That branches and tags hold.
    pub commits: usize,
    pub pull_requests: usize,
    /// Pull requests merged by a commit that does not hold theirs.
    pub squashed: usize,
    pub open: usize,
    pub declined: usize,
    pub commented: usize,
    pub activity: usize,
    pub pipelines: usize,
    pub deployments: usize,
    pub environments: usize,
}

impl Default for SyntheticWorkspace {
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
        }
    }
}

impl SyntheticWorkspace {
    fn start(&self) -> DateTime<Utc> {
        self.now - self.past
    }
}

/// An estate being served.
pub(crate) struct SyntheticServer {
    estate: SyntheticWorkspace,
    past: RwLock<Arc<Timeline>>,
}

#[derive(Clone)]
struct Timeline {
    now: DateTime<Utc>,
    /// Of each variant.
    busy: Vec<RepositoryHistory>,
    idle: Vec<RepositoryHistory>,
}

impl SyntheticServer {
    pub fn new(estate: SyntheticWorkspace) -> Self {
        let variants = 0..VARIANTS;
        let busy: Vec<_> = variants
            .map(|n| RepositoryHistory::new(&estate, n))
            .collect();
        let past = Timeline {
            now: estate.now,
            idle: busy.clone(),
            busy,
        };
        Self {
            past: RwLock::new(Arc::new(past)),
            estate,
        }
    }

    /// Lets a day pass; the time it is then.
    pub fn advance(&self, day: &Day) -> DateTime<Utc> {
        let mut past = self.past.write().unwrap_or_else(PoisonError::into_inner);
        let past = Arc::make_mut(&mut past);
        for history in &mut past.busy {
            history.advance(day, past.now);
        }
        past.now += TimeDelta::days(1);
        past.now
    }

    pub fn sizes(&self, number: usize) -> ListSizes {
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
        match number + self.estate.idle < self.estate.repositories {
            true => &past.busy[number % VARIANTS],
            false => &past.idle[number % VARIANTS],
        }
    }

    fn past(&self) -> Arc<Timeline> {
        Arc::clone(&self.past.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn answer(&self, call: &Call) -> Result<Value, SandboxReply> {
        let past = self.past();
        let repo = |number| SyntheticRepository {
            number,
            history: self.history(&past, number),
        };
        let template = call.route.template;
        let Some(of_repository) = template.strip_prefix("/repositories/{workspace}/{repo_slug}")
        else {
            if template.contains("{workspace}") && !records::is_workspace(call.parameter(0)) {
                return Err(errors::no_workspace(call.parameter(0)));
            }
            return match template {
                "/user" => Ok(call.record(&records::members()[0]["user"])),
                "/user/workspaces" => core::workspace_list(
                    call,
                    [(records::workspace_uuid().as_str(), records::WORKSPACE)].into_iter(),
                ),
                "/workspaces/{workspace}" => Ok(call.record(&records::workspace())),
                "/workspaces/{workspace}/members" => core::member_list(call, &records::members()),
                "/repositories/{workspace}" => {
                    let all: Vec<Value> = (0..self.estate.repositories)
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
            *n < self.estate.repositories && (workspace == "{}" || records::is_workspace(workspace))
        });
        repo(number.ok_or_else(errors::no_repository)?).answer(call, of_repository)
    }
}
