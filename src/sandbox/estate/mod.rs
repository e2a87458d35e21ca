//! An estate as large as one likes, whose records are made when a page shows them: to count what a walk of a hundred
//! repositories costs, without a gigabyte of fixtures.
//!
//! Every repository has the same past and, unless it is idle, lives the same days; only names and ids differ. Caps,
//! paging, filters and hidden fields are those of the sandbox's other lists.
//!
//! ```text
//! Estate ─▶ History: numbers and times ── page ──▶ Repo: JSON of the records it shows
//!              ▲ Day: what happened since
//! ```

mod history;
mod records;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::errors::{self, Reply};
use super::page;
use super::routes::Call;
use super::{commits, core, pipelines, pull_requests};
use history::{History, Kind};
use records::Repo;

/// What each repository of the workspace `acme` has, and when it was measured.
#[derive(Debug, Clone)]
pub struct Estate {
    /// `acme/repo-000` and so on.
    pub repositories: usize,
    /// So many of these, the last ones, that [`Day`]s pass by.
    pub idle: usize,
    /// Six entries of activity each; three of five have three comments.
    pub pull_requests: usize,
    /// Every tenth made a deployment.
    pub pipelines: usize,
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
pub struct Sizes {
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

impl Default for Estate {
    fn default() -> Self {
        Self {
            repositories: 100,
            idle: 0,
            pull_requests: 1_000,
            pipelines: 5_000,
            branches: 60,
            tags: 40,
            past: TimeDelta::days(180),
            now: Utc::now(),
        }
    }
}

impl Estate {
    fn start(&self) -> DateTime<Utc> {
        self.now - self.past
    }
}

/// An estate being served.
pub(super) struct Served {
    estate: Estate,
    past: RwLock<Arc<Past>>,
}

#[derive(Clone)]
struct Past {
    now: DateTime<Utc>,
    busy: History,
    idle: History,
}

impl Served {
    pub fn new(estate: Estate) -> Self {
        let busy = History::new(&estate);
        let past = Past {
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
    pub fn live(&self, day: &Day) -> DateTime<Utc> {
        let mut past = self.past.write().unwrap_or_else(PoisonError::into_inner);
        let past = Arc::make_mut(&mut past);
        past.busy.live(day, past.now);
        past.now += TimeDelta::days(1);
        past.now
    }

    /// Of a repository that is not idle.
    pub fn sizes(&self) -> Sizes {
        let past = self.past();
        let history = &past.busy;
        let of = |fate| {
            history
                .pull_requests
                .iter()
                .filter(|one| one.fate == fate)
                .count()
        };
        Sizes {
            branches: history.branches.len() + 1,
            tags: history.tags.len(),
            commits: history
                .reachable(history.heads())
                .into_iter()
                .filter(|is| *is)
                .count(),
            pull_requests: history.pull_requests.len(),
            squashed: of(history::Fate::Squashed),
            open: of(history::Fate::Open),
            declined: of(history::Fate::Declined),
            commented: history
                .pull_requests
                .iter()
                .filter(|one| one.comments > 0)
                .count(),
            activity: history.entries.len(),
            pipelines: history.pipelines.len(),
            deployments: history.deployments(),
            environments: history::ENVIRONMENTS,
        }
    }

    fn past(&self) -> Arc<Past> {
        Arc::clone(&self.past.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn answer(&self, call: &Call) -> Result<Value, Reply> {
        let past = self.past();
        let repo = |number| Repo {
            number,
            history: match number + self.estate.idle < self.estate.repositories {
                true => &past.busy,
                false => &past.idle,
            },
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

impl Repo<'_> {
    fn answer(&self, call: &Call, what: &str) -> Result<Value, Reply> {
        match what {
            "" => Ok(call.record(&self.record())),
            "/refs" => core::ref_list(call, self.branches().iter().chain(&self.tags()).collect()),
            "/refs/branches" => core::ref_list(call, self.branches().iter().collect()),
            "/refs/tags" => core::ref_list(call, self.tags().iter().collect()),
            "/commits" | "/commits/{revision}" => self.commit_list(call),
            "/commit/{commit}" => {
                let hash = call.parameter(2);
                let found = self
                    .commit_named(hash)
                    .ok_or_else(|| errors::no_commits(&[hash.to_owned()]))?;
                Ok(call.record(&self.commit(found)))
            }
            "/pullrequests" => self.pull_request_list(call),
            "/pullrequests/activity" => {
                let total = self.history.entries.len();
                page::made(call, &pull_requests::ACTIVITY, total, |n| {
                    self.activity(total - 1 - n)
                })
            }
            "/pullrequests/{pull_request_id}" => {
                Ok(call.record(&self.pull_request(self.pull_request_named(call)?)))
            }
            "/pullrequests/{pull_request_id}/comments" => {
                let of = &self.history.pull_requests[self.pull_request_named(call)?];
                let entries = of
                    .entries
                    .iter()
                    .filter(|at| self.history.entries[**at].kind == Kind::Comment);
                let comments: Vec<Value> = entries.map(|at| self.comment(*at)).collect();
                pull_requests::comment_list(call, comments.iter().collect())
            }
            "/pullrequests/{pull_request_id}/commits" => {
                let of = &self.history.pull_requests[self.pull_request_named(call)?];
                let commits = self.history.commits_of(of);
                page::made(call, &commits::LISTING, commits.len(), |n| {
                    self.commit(commits[n])
                })
            }
            "/pullrequests/{pull_request_id}/activity" => {
                let entries = &self.history.pull_requests[self.pull_request_named(call)?].entries;
                let total = entries.len();
                page::made(call, &pull_requests::ACTIVITY, total, |n| {
                    self.activity(entries[total - 1 - n])
                })
            }
            "/pipelines/" => self.pipeline_list(call),
            "/pipelines/{pipeline_uuid}" => {
                Ok(call.record(&self.pipeline(self.pipeline_of(call)?)))
            }
            "/pipelines/{pipeline_uuid}/steps/" => {
                let steps = self.steps(self.pipeline_of(call)?);
                page::answer(call, &pipelines::PLAIN, &steps.iter().collect::<Vec<_>>())
            }
            "/deployments/" => self.deployment_list(call),
            "/deployments/{deployment_uuid}" => {
                let found = (0..self.history.deployments())
                    .find(|n| self.deployment_uuid(*n) == call.parameter(2));
                Ok(call.record(&self.deployment(found.ok_or_else(|| call.not_found())?)))
            }
            "/environments/" => page::made(call, &pipelines::PLAIN, history::ENVIRONMENTS, |n| {
                self.environment(n)
            }),
            _ if what.starts_with("/issues") => Err(errors::no_issue_tracker()),
            _ => Err(call.not_found()),
        }
    }

    fn commit_list(&self, call: &Call) -> Result<Value, Reply> {
        let (include, exclude) = commits::range(call);
        let mut unknown = Vec::new();
        let mut known = |revisions: &[String]| -> Vec<usize> {
            let find = |revision: &String| {
                let found = self
                    .commit_named(revision)
                    .or_else(|| (revision == "main").then_some(self.history.trunk));
                if found.is_none() {
                    unknown.push(revision.clone());
                }
                found
            };
            revisions.iter().filter_map(find).collect()
        };
        let (included, excluded) = (known(&include), known(&exclude));
        if !unknown.is_empty() {
            return Err(errors::no_commits(&unknown));
        }
        let wanted = match included.is_empty() {
            true => self.history.reachable(self.history.heads()),
            false => self.history.reachable(included),
        };
        let left_out = self.history.reachable(excluded);
        let commits: Vec<usize> = (0..wanted.len())
            .rev()
            .filter(|n| wanted[*n] && !left_out[*n])
            .collect();
        page::made(call, &commits::LISTING, commits.len(), |n| {
            self.commit(commits[n])
        })
    }

    fn pull_request_list(&self, call: &Call) -> Result<Value, Reply> {
        let outlines: Vec<Value> = (0..self.history.pull_requests.len())
            .map(|n| self.outline(n))
            .collect();
        let chosen = pull_requests::chosen(call, outlines.iter())?;
        let id = |n: usize| chosen[n]["id"].as_u64().unwrap_or(1) as usize;
        page::made(call, &pull_requests::LISTING, chosen.len(), |n| {
            self.pull_request(id(n) - 1)
        })
    }

    fn pull_request_named(&self, call: &Call) -> Result<usize, Reply> {
        let id = call
            .parameter(2)
            .parse::<usize>()
            .ok()
            .and_then(|id| id.checked_sub(1));
        id.filter(|n| *n < self.history.pull_requests.len())
            .ok_or_else(|| call.not_found())
    }

    fn pipeline_of(&self, call: &Call) -> Result<usize, Reply> {
        self.pipeline_named(call.parameter(2))
            .ok_or_else(|| call.not_found())
    }

    fn pipeline_list(&self, call: &Call) -> Result<Value, Reply> {
        let newest_first = match pipelines::sorting(call, &["created_on", "run_creation_date"])? {
            Some(sort) => sort.starts_with('-'),
            None => false,
        };
        let total = self.history.pipelines.len();
        page::made(call, &pipelines::LISTING, total, |n| match newest_first {
            true => self.pipeline(total - 1 - n),
            false => self.pipeline(n),
        })
    }

    /// By the time they were done, where asked to: those that were not done come first in falling order.
    fn deployment_list(&self, call: &Call) -> Result<Value, Reply> {
        let sort = pipelines::sorting(call, &["state.completed_on", "state.started_on"])?;
        let wanted = |n: &usize| match call.first("state.name") {
            Some("COMPLETED") => self.deployed(*n).is_some(),
            Some("UNDEPLOYED") => self.deployed(*n).is_none(),
            Some(_) => false,
            None => true,
        };
        let mut chosen: Vec<usize> = (0..self.history.deployments()).filter(wanted).collect();
        let missing_last = |n: &usize| (self.deployed(*n).is_none(), self.deployed(*n), *n);
        match sort {
            Some(sort) if sort.starts_with('-') => {
                chosen.sort_by_key(|n| std::cmp::Reverse(missing_last(n)))
            }
            Some(_) => chosen.sort_by_key(missing_last),
            // In no order at all.
            None => chosen.sort_by_key(|n| (n % 7, *n)),
        }
        page::made(call, &pipelines::DEPLOYMENTS, chosen.len(), |n| {
            self.deployment(chosen[n])
        })
    }
}
