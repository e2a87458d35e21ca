//! A night's requests, from how fast each list grows. Both what was probed and what is known come down to this.

use super::Requests;
use crate::bitbucket::{Endpoint, endpoints};
use crate::config::{EntityGroup, Rules, Steps};

/// Of one repository: new records a day, and what else its lists cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Rates {
    /// Whether anything was pushed, commented or merged since it was read.
    pub moved: bool,
    /// Of the list of branches and tags.
    pub refs: f64,
    pub commits: f64,
    /// Pull requests that are asked for every night, changed or not.
    pub open: f64,
    pub pull_requests: f64,
    pub activity: f64,
    /// Pull requests whose commits the graph does not tell.
    pub lists: f64,
    pub pipelines: f64,
    pub deployments: f64,
    /// Issues, where there is a tracker.
    pub issues: Option<f64>,
    /// How likely the environments are asked for.
    pub environments: f64,
}

/// The pages of a walk that ends at the page with what was read before.
fn pages(records: f64, list: &Endpoint) -> f64 {
    1.0 + (records / f64::from(list.pagelen)).floor()
}

impl Rates {
    /// After so many days.
    pub fn night(&self, days: f64, rules: &Rules) -> Requests {
        let mut all = Requests::new();
        let mut put = |table: &str, n: f64| {
            if n > 0.0 {
                all.insert(table.to_owned(), n);
            }
        };
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        if wants(EntityGroup::Code) && self.moved {
            put("branches", self.refs);
            put("commits", pages(self.commits * days, &endpoints::COMMITS));
        }
        if wants(EntityGroup::Review) {
            let changed = self.pull_requests * days;
            put(
                "pull_requests",
                pages(self.open + changed, &endpoints::PULL_REQUESTS),
            );
            if self.moved {
                // The feed, or each pull request that changed.
                let feed = pages(self.activity * days, &endpoints::REPOSITORY_ACTIVITY);
                put("pull_request_activity", feed.min(changed.ceil().max(1.0)));
                put("pull_request_commits", self.lists * days);
            }
        }
        if wants(EntityGroup::Issues)
            && let Some(issues) = self.issues
        {
            put("issues", pages(issues * days, &endpoints::ISSUES));
            put("issue_comments", issues * days);
            put("issue_changes", issues * days);
        }
        if wants(EntityGroup::Cicd) && self.pipelines >= 0.0 {
            put(
                "pipelines",
                pages(self.pipelines * days, &endpoints::PIPELINES),
            );
            put(
                "deployments",
                pages(self.deployments * days, &endpoints::DEPLOYMENTS),
            );
            if rules.steps_read() == Steps::All {
                put("pipeline_steps", self.pipelines * days);
            }
            put("environments", self.environments);
        }
        all
    }
}
