//! The requests of a run by the growth of each list. Probes of new repositories and states of known ones are both turned
//! into these rates.

use super::Requests;
use crate::bitbucket::{Endpoint, endpoints};
use crate::config::{EntityGroup, RuleSet, StepsRule};

/// Environments are read once a week.
pub(super) const ENVIRONMENTS_PER_DAY: f64 = 1.0 / 7.0;

/// The new records of one repository per day, and the other costs of its lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Rates {
    /// Whether anything was pushed, commented or merged since the last run.
    pub(super) is_moved: bool,
    /// Pages of the list of branches and tags.
    pub(super) ref_pages: f64,
    pub(super) commits: f64,
    /// Open pull requests, which every run reads.
    pub(super) open_pull_requests: f64,
    pub(super) pull_requests: f64,
    pub(super) activity: f64,
    /// Pull requests whose list of commits is read, because the commit graph does not have them.
    pub(super) commit_lists: f64,
    /// `None` when the repository has no pipelines.
    pub(super) pipelines: Option<f64>,
    pub(super) deployments: f64,
    /// `None` when the repository has no issue tracker.
    pub(super) issues: Option<f64>,
    /// Requests of environments in the run.
    pub(super) environments: f64,
}

/// Return the pages of an incremental read of so many new records.
fn count_pages(records: f64, list: &Endpoint) -> f64 {
    1.0 + (records / f64::from(list.pagelen)).floor()
}

impl Rates {
    /// Return the requests of a run so many days after the last one.
    pub(super) fn requests_after(&self, days: f64, rules: &RuleSet) -> Requests {
        let mut all = Requests::new();
        let mut put = |table: &str, n: f64| {
            if n > 0.0 {
                all.insert(table.to_owned(), n);
            }
        };
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        if wants(EntityGroup::Code) && self.is_moved {
            put("branches", self.ref_pages);
            put(
                "commits",
                count_pages(self.commits * days, &endpoints::COMMITS),
            );
        }
        if wants(EntityGroup::Review) {
            let changed = self.pull_requests * days;
            put(
                "pull_requests",
                count_pages(self.open_pull_requests + changed, &endpoints::PULL_REQUESTS),
            );
            if self.is_moved {
                // The activity list of the repository, or that of each changed pull request, whichever is shorter.
                let pages = count_pages(self.activity * days, &endpoints::REPOSITORY_ACTIVITY);
                put("pull_request_activity", pages.min(changed.ceil().max(1.0)));
                put("pull_request_commits", self.commit_lists * days);
            }
        }
        if wants(EntityGroup::Issues)
            && let Some(issues) = self.issues
        {
            put("issues", count_pages(issues * days, &endpoints::ISSUES));
            put("issue_comments", issues * days);
            put("issue_changes", issues * days);
        }
        if wants(EntityGroup::Cicd)
            && let Some(pipelines) = self.pipelines
        {
            put(
                "pipelines",
                count_pages(pipelines * days, &endpoints::PIPELINES),
            );
            put(
                "deployments",
                count_pages(self.deployments * days, &endpoints::DEPLOYMENTS),
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
            is_moved: true,
            ref_pages: 2.0,
            commits: 12.0,
            open_pull_requests: 16.0,
            pull_requests: 20.0,
            activity: 46.0,
            commit_lists: 0.2,
            pipelines: Some(38.0),
            deployments: 4.0,
            issues: None,
            environments: ENVIRONMENTS_PER_DAY,
        }
    }

    fn requests(rates: &Rates, days: f64) -> Vec<(String, f64)> {
        let text = "[lake]\nurl = \"lake\"";
        let config =
            Config::parse(text, "bitlake.toml".as_ref(), &Default::default(), &[]).unwrap();
        rates
            .requests_after(days, &config.rules["default"])
            .into_iter()
            .collect()
    }

    #[test]
    fn a_usual_day_reads_one_page_of_each_list() {
        let requests = requests(&rates(), 1.0);
        let of = |table: &str| {
            requests
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
    fn an_unmoved_repository_costs_only_the_lists_that_a_push_does_not_announce() {
        let still = Rates {
            is_moved: false,
            environments: 0.0,
            ..rates()
        };
        let tables: Vec<_> = requests(&still, 1.0)
            .into_iter()
            .map(|(table, _)| table)
            .collect();
        assert_eq!(tables, ["deployments", "pipelines", "pull_requests"]);
    }

    #[test]
    fn a_run_after_a_week_reads_more_pages_and_the_shorter_list_of_activity() {
        let week = requests(&rates(), 7.0);
        let of = |table: &str| week.iter().find(|(name, _)| name == table).unwrap().1;
        assert_eq!(of("pipelines"), 3.0);
        assert_eq!(of("pull_requests"), 4.0);
        assert_eq!(of("pull_request_activity"), 7.0);
        let few = Rates {
            pull_requests: 0.5,
            ..rates()
        };
        let week = requests(&few, 7.0);
        let activity = week
            .iter()
            .find(|(name, _)| name == "pull_request_activity")
            .unwrap();
        assert_eq!(activity.1, 4.0);
    }
}
