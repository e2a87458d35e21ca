//! The lists of one synthetic repository, page by page.

use serde_json::Value;

use super::builds::ENVIRONMENTS;
use super::history::ActivityKind;
use super::records::SyntheticRepository;
use crate::call::Call;
use crate::errors::{self, SandboxReply};
use crate::{commits, core, page, pipelines, pull_requests};

impl SyntheticRepository<'_> {
    /// Answer a request; `what` is the route's template below the repository.
    pub(super) fn answer(&self, call: &Call, what: &str) -> Result<Value, SandboxReply> {
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
                    .filter(|at| self.history.entries[**at].kind == ActivityKind::Comment);
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
            "/environments/" => page::made(call, &pipelines::PLAIN, ENVIRONMENTS, |n| {
                self.environment(n)
            }),
            _ if what.starts_with("/issues") => Err(errors::no_issue_tracker()),
            _ => Err(call.not_found()),
        }
    }

    fn commit_list(&self, call: &Call) -> Result<Value, SandboxReply> {
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

    fn pull_request_list(&self, call: &Call) -> Result<Value, SandboxReply> {
        let outlines: Vec<Value> = (0..self.history.pull_requests.len())
            .map(|n| self.outline(n))
            .collect();
        let chosen = pull_requests::chosen(call, outlines.iter())?;
        let id = |n: usize| chosen[n]["id"].as_u64().unwrap_or(1) as usize;
        page::made(call, &pull_requests::LISTING, chosen.len(), |n| {
            self.pull_request(id(n) - 1)
        })
    }

    fn pull_request_named(&self, call: &Call) -> Result<usize, SandboxReply> {
        let id = call
            .parameter(2)
            .parse::<usize>()
            .ok()
            .and_then(|id| id.checked_sub(1));
        id.filter(|n| *n < self.history.pull_requests.len())
            .ok_or_else(|| call.not_found())
    }

    fn pipeline_of(&self, call: &Call) -> Result<usize, SandboxReply> {
        self.pipeline_named(call.parameter(2))
            .ok_or_else(|| call.not_found())
    }

    fn pipeline_list(&self, call: &Call) -> Result<Value, SandboxReply> {
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

    /// Sort by completion time if requested; in descending order, incomplete deployments come first.
    fn deployment_list(&self, call: &Call) -> Result<Value, SandboxReply> {
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
            // Without `sort`, the order is arbitrary.
            None => chosen.sort_by_key(|n| (n % 7, *n)),
        }
        page::made(call, &pipelines::DEPLOYMENTS, chosen.len(), |n| {
            self.deployment(chosen[n])
        })
    }
}
