//! A night's requests, from how fast each list grows. Both what was probed and what is known come down to this.

use super::Requests;
use crate::bitbucket::{Endpoint, endpoints};
use crate::config::{EntityGroup, RuleSet, StepsRule};

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
    /// Pipelines, where there are any at all.
    pub pipelines: Option<f64>,
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
    pub fn night(&self, days: f64, rules: &RuleSet) -> Requests {
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
        if wants(EntityGroup::Cicd)
            && let Some(pipelines) = self.pipelines
        {
            put("pipelines", pages(pipelines * days, &endpoints::PIPELINES));
            put(
                "deployments",
                pages(self.deployments * days, &endpoints::DEPLOYMENTS),
            );
            if rules.effective_steps() == StepsRule::All {
                put("pipeline_steps", pipelines * days);
            }
            put("environments", self.environments);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rates() -> Rates {
        Rates {
            moved: true,
            refs: 2.0,
            commits: 12.0,
            open: 16.0,
            pull_requests: 20.0,
            activity: 46.0,
            lists: 0.2,
            pipelines: Some(38.0),
            deployments: 4.0,
            issues: None,
            environments: 1.0 / 7.0,
        }
    }

    fn night(rates: &Rates, days: f64) -> Vec<(String, f64)> {
        let text = "[lake]\nurl = \"lake\"";
        let config =
            Config::parse(text, "bitlake.toml".as_ref(), &Default::default(), &[]).unwrap();
        rates
            .night(days, &config.rules["default"])
            .into_iter()
            .collect()
    }

    #[test]
    fn a_usual_day_is_a_page_of_each_list() {
        let night = night(&rates(), 1.0);
        let of = |table: &str| {
            night
                .iter()
                .find(|(name, _)| name == table)
                .map(|(_, n)| *n)
        };
        for table in [
            "commits",
            "pull_requests",
            "pull_request_activity",
            "pipelines",
            "deployments",
        ] {
            assert_eq!(of(table), Some(1.0), "{table}");
        }
        assert_eq!(of("branches"), Some(2.0));
        assert_eq!(of("pull_request_commits"), Some(0.2));
        assert_eq!(of("issues"), None);
    }

    #[test]
    fn where_nothing_moved_only_what_moves_unseen_is_asked_for() {
        let still = Rates {
            moved: false,
            environments: 0.0,
            ..rates()
        };
        let tables: Vec<_> = night(&still, 1.0)
            .into_iter()
            .map(|(table, _)| table)
            .collect();
        assert_eq!(tables, ["deployments", "pipelines", "pull_requests"]);
    }

    #[test]
    fn after_a_week_the_lists_have_more_pages_and_the_feed_is_read_instead_of_each_pull_request() {
        let week = night(&rates(), 7.0);
        let of = |table: &str| week.iter().find(|(name, _)| name == table).unwrap().1;
        assert_eq!(of("pipelines"), 3.0);
        assert_eq!(of("pull_requests"), 4.0);
        assert_eq!(of("pull_request_activity"), 7.0);
        let few = Rates {
            pull_requests: 0.5,
            ..rates()
        };
        let week = night(&few, 7.0);
        let activity = week
            .iter()
            .find(|(name, _)| name == "pull_request_activity")
            .unwrap();
        assert_eq!(activity.1, 4.0);
    }
}
