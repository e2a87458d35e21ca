//! What a collection did, for the run report, the terminal and the exit code.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bitbucket::Client;
use crate::lake::ListStatus;
use crate::schema::times::OddTimes;

#[derive(Debug, Clone, Default, Serialize)]
pub struct CollectReport {
    /// Repositories and workspaces, by connection and name.
    pub repositories: Vec<RepositoryReport>,
    /// Requests sent, retries and discovery included, by entity.
    pub requests: BTreeMap<String, u64>,
    /// What was planned, by entity: for known repositories from their state, for new ones by `plan`, if it was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub planned: BTreeMap<String, u64>,
    /// Fetches by git, which spend another budget than requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub git_operations: u64,
    /// Requests that unfinished walks still need, as far as can be told; 0 when everything is loaded.
    pub requests_left: u64,
    /// Why the collection ended before its work did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct RepositoryReport {
    pub connection: String,
    /// `workspace/slug`, or the workspace's slug alone.
    pub repository: String,
    pub uuid: String,
    /// Not asked this time: nothing had happened for a while, and the hour had no room for all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rests: bool,
    pub entities: BTreeMap<String, EntityReport>,
}

/// One list of one repository.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntityReport {
    pub status: Option<ListStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The HTTP status that says so, when this run is the first to find the list absent.
    #[serde(skip)]
    pub(super) newly_absent: Option<u16>,
    pub requests: u64,
    /// What was planned of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<u64>,
    /// Kept.
    pub records: u64,
    /// Of a list that is newest first: those that the last run cannot have seen.
    #[serde(skip)]
    pub(super) news: u64,
    /// Received, but older than `since`.
    pub older: u64,
    /// Values that did not fit their column, by path. `(repaired)` counts records with a part that is no JSON or a key that
    /// repeats, `(unreadable)` those that are no JSON at all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, u64>,
    /// Those of them that are times which no engine can hold, by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub odd_times: BTreeMap<String, OddTimes>,
    /// Secrets removed.
    pub redactions: u64,
    /// Private drafts of the token's owner, dropped.
    pub drafts: u64,
    /// Records that name no parent, dropped.
    pub orphans: u64,
    /// Parents whose list answered 404, as the commits of a deleted fork do.
    pub missing_parents: u64,
}

/// Lists of one repository that failed or are stale, for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble<'a> {
    pub repository: &'a str,
    pub status: ListStatus,
    pub reason: &'a str,
    /// The one that was refused comes first.
    pub lists: Vec<&'a str>,
}

/// Lists that no run could read yet, for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct NewAbsence<'a> {
    /// `workspace/slug`, or the workspace's slug alone.
    pub repositories: Vec<&'a str>,
    /// The HTTP status that said so.
    pub status: u16,
    pub reason: &'a str,
    pub lists: Vec<&'a str>,
}

/// The order in which the lists of a repository are asked for: one that is refused comes before those that depend on it.
const ORDER: [&str; 16] = [
    "workspace_members",
    "repositories",
    "branches",
    "tags",
    "commits",
    "pull_requests",
    "pull_request_activity",
    "pull_request_comments",
    "pull_request_commits",
    "issues",
    "issue_comments",
    "issue_changes",
    "pipelines",
    "deployments",
    "pipeline_steps",
    "environments",
];

/// The lists for which `what` says the same for the same reason.
fn together<K: Ord>(
    repository: &RepositoryReport,
    what: impl Fn(&EntityReport) -> Option<K>,
) -> BTreeMap<(K, &str), Vec<&str>> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for (name, entity) in &repository.entities {
        if let Some(what) = what(entity) {
            let reason = entity.reason.as_deref().unwrap_or("unknown reason");
            groups.entry((what, reason)).or_default().push(name);
        }
    }
    for lists in groups.values_mut() {
        lists.sort_by_key(|name| ORDER.iter().position(|known| known == name));
    }
    groups
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EntityReport {
    /// Adds what another list brought of the same table.
    pub(super) fn add(&mut self, more: Self) {
        self.records += more.records;
        self.redactions += more.redactions;
        self.drafts += more.drafts;
        self.add_misfits(more.misfits);
        self.add_odd_times(more.odd_times);
    }

    pub(super) fn add_odd_times(&mut self, more: BTreeMap<String, OddTimes>) {
        for (path, times) in more {
            self.odd_times.entry(path).or_default().merge(times);
        }
    }

    pub(super) fn add_misfits(&mut self, more: impl IntoIterator<Item = (String, u64)>) {
        for (path, n) in more {
            *self.misfits.entry(path).or_default() += n;
        }
    }
}

impl CollectReport {
    /// Whether something was skipped or is stale: exit code 1.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete().next().is_some()
    }

    /// What failed or is stale: repository, entity, report.
    pub fn incomplete(&self) -> impl Iterator<Item = (&str, &str, &EntityReport)> {
        self.repositories.iter().flat_map(|repository| {
            repository
                .entities
                .iter()
                .filter(|(_, entity)| {
                    matches!(entity.status, Some(ListStatus::Failed | ListStatus::Stale))
                })
                .map(|(name, entity)| (repository.repository.as_str(), name.as_str(), entity))
        })
    }

    /// What failed or is stale, once for each list that was refused, with the lists that share its fate.
    pub fn troubles(&self) -> Vec<Trouble<'_>> {
        let mut troubles = Vec::new();
        for repository in &self.repositories {
            let is_incomplete = |entity: &EntityReport| {
                let status = entity.status;
                status.filter(|it| matches!(it, ListStatus::Failed | ListStatus::Stale))
            };
            for ((status, reason), lists) in together(repository, is_incomplete) {
                troubles.push(Trouble {
                    repository: &repository.repository,
                    status,
                    reason,
                    lists,
                });
            }
        }
        troubles
    }

    /// What this run is the first to find absent, once for all repositories in which it is the same. What nobody asked
    /// for, as a tracker that is switched off, is no surprise and left out.
    pub fn new_absences(&self) -> Vec<NewAbsence<'_>> {
        let mut absences: BTreeMap<_, (Vec<&str>, bool)> = BTreeMap::new();
        for repository in &self.repositories {
            for ((status, reason), lists) in together(repository, |entity| entity.newly_absent) {
                let entities = lists
                    .iter()
                    .filter_map(|list| repository.entities.get(*list));
                let asked = entities.map(|entity| entity.requests).sum::<u64>() > 0;
                let same = absences.entry((status, reason, lists)).or_default();
                same.0.push(&repository.repository);
                same.1 |= asked;
            }
        }
        let absences = absences.into_iter().filter(|(_, (_, asked))| *asked);
        let absence = |((status, reason, lists), (repositories, _))| NewAbsence {
            repositories,
            status,
            reason,
            lists,
        };
        absences.map(absence).collect()
    }

    pub(super) fn finish<'a>(&mut self, clients: impl Iterator<Item = &'a Client>) {
        self.repositories
            .sort_by(|a, b| (&a.connection, &a.repository).cmp(&(&b.connection, &b.repository)));
        for (entity, requests) in clients.flat_map(|client| client.requests()) {
            *self.requests.entry(entity.to_owned()).or_default() += requests;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str, entities: &[(&str, EntityReport)]) -> RepositoryReport {
        let entities = entities.iter().cloned();
        RepositoryReport {
            repository: name.to_owned(),
            entities: entities.map(|(list, it)| (list.to_owned(), it)).collect(),
            ..RepositoryReport::default()
        }
    }

    fn failed(reason: &str) -> EntityReport {
        EntityReport {
            status: Some(ListStatus::Failed),
            reason: Some(reason.to_owned()),
            ..EntityReport::default()
        }
    }

    fn absent(status: u16, reason: &str) -> EntityReport {
        EntityReport {
            requests: 1,
            status: Some(ListStatus::Unavailable),
            reason: Some(reason.to_owned()),
            newly_absent: Some(status),
            ..EntityReport::default()
        }
    }

    #[test]
    fn a_failed_list_and_those_that_depend_on_it_are_one_trouble() {
        let lists = [
            ("issues", failed("b")),
            ("pull_request_activity", failed("a")),
            ("pull_request_comments", failed("a")),
            ("pull_requests", failed("a")),
        ];
        let report = CollectReport {
            repositories: vec![
                repository("acme/web", &lists),
                repository("acme/api", &lists),
            ],
            ..CollectReport::default()
        };
        let troubles = report.troubles();
        let shown: Vec<_> = troubles
            .iter()
            .map(|it| (it.repository, it.lists.join(" ")))
            .collect();
        let all = "pull_requests pull_request_activity pull_request_comments".to_owned();
        assert_eq!(
            shown,
            [
                ("acme/web", all.clone()),
                ("acme/web", "issues".to_owned()),
                ("acme/api", all),
                ("acme/api", "issues".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_absent_alike_in_many_repositories_is_one_absence() {
        let lists = [
            ("deployments", absent(403, "x")),
            ("pipelines", absent(403, "x")),
        ];
        let known = EntityReport {
            newly_absent: None,
            ..absent(404, "y")
        };
        let not_asked = EntityReport {
            requests: 0,
            ..absent(404, "z")
        };
        let report = CollectReport {
            repositories: vec![
                repository("acme/web", &lists),
                repository("acme/api", &lists),
                repository(
                    "acme/old",
                    &[("issues", known), ("issue_comments", not_asked)],
                ),
            ],
            ..CollectReport::default()
        };
        let absences = report.new_absences();
        assert_eq!(absences.len(), 1, "{absences:?}");
        assert_eq!(absences[0].repositories, ["acme/web", "acme/api"]);
        assert_eq!(absences[0].lists, ["pipelines", "deployments"]);
    }
}
