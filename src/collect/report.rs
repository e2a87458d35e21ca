//! The result of a collection, for the run report, the terminal and the exit code.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stop::StopReason;
use crate::bitbucket::{Client, HeadRoom};
use crate::lake::ListStatus;
use crate::schema::SourceTable;
use crate::schema::times::OddTimes;

/// The result of a collection.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CollectReport {
    /// Repositories and workspaces, by connection and name.
    pub repositories: Vec<RepositoryReport>,
    /// Requests sent, retries and discovery included, by entity.
    pub requests: BTreeMap<String, u64>,
    /// Estimated requests, by entity: of known repositories from their state, of new ones from the last `plan`. Empty when
    /// a new repository has no plan.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub planned: BTreeMap<String, u64>,
    /// Fetches by git, which count against another budget than requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub git_operations: u64,
    /// Estimated requests of the next run, which continues the unfinished lists; 0 when everything is loaded.
    pub requests_left: u64,
    /// The requests that could be sent without a wait at the end, by connection.
    #[serde(skip)]
    pub head_rooms: BTreeMap<String, HeadRoom>,
    /// Why the collection stopped before it was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StopReason>,
}

/// The lists of one repository or workspace.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepositoryReport {
    /// The connection's name.
    pub connection: String,
    /// `workspace/slug`, or the workspace's slug alone.
    pub repository: String,
    /// With braces.
    pub uuid: String,
    /// Whether this run skipped it to save quota. The key is that of version 0.1.
    #[serde(rename = "rests", skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
    /// By table.
    pub entities: BTreeMap<String, EntityReport>,
}

/// One list of one repository.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntityReport {
    /// Its status after the run.
    pub status: Option<ListStatus>,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The HTTP status of the answer, when this run is the first to find the list unavailable.
    #[serde(skip)]
    pub(super) newly_unavailable: Option<u16>,
    /// Requests sent.
    pub requests: u64,
    /// Estimated requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<u64>,
    /// Records kept.
    pub records: u64,
    /// Records that the last run cannot have read, of a list that is newest first.
    #[serde(skip)]
    pub(super) new_records: u64,
    /// Records received, but older than `since`.
    pub older: u64,
    /// Values that did not fit their column, by path. `(repaired)` counts records with an invalid part or a repeated key,
    /// `(unreadable)` records that are not JSON.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, u64>,
    /// The misfits that are times outside the range of all engines, by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub odd_times: BTreeMap<String, OddTimes>,
    /// Secrets that were removed.
    pub redactions: u64,
    /// Private drafts of the token's owner, which were dropped.
    pub drafts: u64,
    /// Records without a parent, which were dropped.
    pub orphans: u64,
    /// Parents whose list answered 404, as the commits of a deleted fork do.
    pub missing_parents: u64,
}

/// Lists of one repository that failed or are stale for the same reason.
#[derive(Debug, PartialEq, Eq)]
pub struct ListFailure<'a> {
    /// `workspace/slug`, or the workspace's slug alone.
    pub repository: &'a str,
    /// Failed or stale.
    pub status: ListStatus,
    /// The reason of the first list.
    pub reason: &'a str,
    /// The list that failed comes first, then those that depend on it.
    pub lists: Vec<&'a str>,
}

/// Lists that this run is the first to find unavailable, for the same reason.
#[derive(Debug, PartialEq, Eq)]
pub struct NewlyUnavailable<'a> {
    /// `workspace/slug`, or the workspace's slug alone.
    pub repositories: Vec<&'a str>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The reason, the same in all these repositories.
    pub reason: &'a str,
    /// The unavailable lists, by table.
    pub lists: Vec<&'a str>,
}

/// Group the lists of a repository by a key and their reason. Lists without a key are left out.
fn group_lists<K: Ord>(
    repository: &RepositoryReport,
    key: impl Fn(&EntityReport) -> Option<K>,
) -> BTreeMap<(K, &str), Vec<&str>> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for (name, entity) in &repository.entities {
        if let Some(key) = key(entity) {
            let reason = entity.reason.as_deref().unwrap_or("unknown reason");
            groups.entry((key, reason)).or_default().push(name);
        }
    }
    for lists in groups.values_mut() {
        lists.sort_by_key(|name| {
            SourceTable::ALL
                .iter()
                .position(|table| table.as_str() == *name)
        });
    }
    groups
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EntityReport {
    /// Add the counts of records that another list embeds.
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
    /// Whether a list failed or is stale: exit code 1.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete().next().is_some()
    }

    /// Iterate over the lists that failed or are stale: repository, table, report.
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

    /// Group the lists that failed or are stale, each with the lists that depend on it.
    pub fn failures(&self) -> Vec<ListFailure<'_>> {
        let mut failures = Vec::new();
        for repository in &self.repositories {
            let is_incomplete = |entity: &EntityReport| {
                let status = entity.status;
                status.filter(|it| matches!(it, ListStatus::Failed | ListStatus::Stale))
            };
            for ((status, reason), lists) in group_lists(repository, is_incomplete) {
                failures.push(ListFailure {
                    repository: &repository.repository,
                    status,
                    reason,
                    lists,
                });
            }
        }
        failures
    }

    /// Group the lists that this run is the first to find unavailable, over all repositories. Lists that no request was sent
    /// for, as those of a disabled issue tracker, are left out.
    pub fn newly_unavailable(&self) -> Vec<NewlyUnavailable<'_>> {
        let mut groups: BTreeMap<_, (Vec<&str>, bool)> = BTreeMap::new();
        for repository in &self.repositories {
            for ((status, reason), lists) in
                group_lists(repository, |entity| entity.newly_unavailable)
            {
                let entities = lists
                    .iter()
                    .filter_map(|list| repository.entities.get(*list));
                let is_requested = entities.map(|entity| entity.requests).sum::<u64>() > 0;
                let group = groups.entry((status, reason, lists)).or_default();
                group.0.push(&repository.repository);
                group.1 |= is_requested;
            }
        }
        let groups = groups
            .into_iter()
            .filter(|(_, (_, is_requested))| *is_requested);
        let unavailable = |((status, reason, lists), (repositories, _))| NewlyUnavailable {
            repositories,
            status,
            reason,
            lists,
        };
        groups.map(unavailable).collect()
    }

    /// Sort the repositories and add the requests and budgets of the clients.
    pub(super) fn finish<'a>(&mut self, clients: impl Iterator<Item = &'a Client>) {
        self.repositories
            .sort_by(|a, b| (&a.connection, &a.repository).cmp(&(&b.connection, &b.repository)));
        for client in clients {
            let connection = client.connection().to_owned();
            self.head_rooms.insert(connection, client.head_room());
            for (entity, requests) in client.requests() {
                *self.requests.entry(entity.to_owned()).or_default() += requests;
            }
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

    fn unavailable(status: u16, reason: &str) -> EntityReport {
        EntityReport {
            requests: 1,
            status: Some(ListStatus::Unavailable),
            reason: Some(reason.to_owned()),
            newly_unavailable: Some(status),
            ..EntityReport::default()
        }
    }

    #[test]
    fn a_failed_list_and_those_that_depend_on_it_are_one_failure() {
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
        let failures = report.failures();
        let shown: Vec<_> = failures
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
    fn lists_that_are_unavailable_for_the_same_reason_are_one_group() {
        let lists = [
            ("deployments", unavailable(403, "x")),
            ("pipelines", unavailable(403, "x")),
        ];
        let known = EntityReport {
            newly_unavailable: None,
            ..unavailable(404, "y")
        };
        let not_requested = EntityReport {
            requests: 0,
            ..unavailable(404, "z")
        };
        let report = CollectReport {
            repositories: vec![
                repository("acme/web", &lists),
                repository("acme/api", &lists),
                repository(
                    "acme/old",
                    &[("issues", known), ("issue_comments", not_requested)],
                ),
            ],
            ..CollectReport::default()
        };
        let groups = report.newly_unavailable();
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert_eq!(groups[0].repositories, ["acme/web", "acme/api"]);
        assert_eq!(groups[0].lists, ["pipelines", "deployments"]);
    }
}
