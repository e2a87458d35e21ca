//! What a collection did, for the run report, the terminal and the exit code.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bitbucket::Client;
use crate::lake::EntityStatus;
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
    pub status: Option<EntityStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// Values that did not fit their column, by path.
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

    pub(super) fn add_misfits(&mut self, more: BTreeMap<String, u64>) {
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
                    matches!(
                        entity.status,
                        Some(EntityStatus::Failed | EntityStatus::Stale)
                    )
                })
                .map(|(name, entity)| (repository.repository.as_str(), name.as_str(), entity))
        })
    }

    pub(super) fn finish<'a>(&mut self, clients: impl Iterator<Item = &'a Client>) {
        self.repositories
            .sort_by(|a, b| (&a.connection, &a.repository).cmp(&(&b.connection, &b.repository)));
        for (entity, requests) in clients.flat_map(|client| client.requests()) {
            *self.requests.entry(entity.to_owned()).or_default() += requests;
        }
    }
}
