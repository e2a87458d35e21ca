//! The repositories and workspaces that a run collects and a plan estimates, each with its rules and its client.

use std::collections::BTreeMap;

use super::discovered::DiscoveredRepository;
use super::discovery::{Discovery, VanishedRepository};
use super::saved_states::SavedStates;
use super::shard::{Shard, is_in_shard};
use crate::bitbucket::Client;
use crate::config::{AssignedRepository, Config, EntityGroup, RuleSet};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::RepositoryState;

/// Repositories that are read at the same time.
pub(super) const CONCURRENT_REPOSITORIES: usize = 4;

/// The repositories and workspaces of one run.
pub(super) struct RunSelection<'a> {
    /// In the order of discovery.
    pub(super) repositories: Vec<SelectedRepository<'a>>,
    /// Workspaces whose members are collected, by connection and slug. Each is represented by its first repository.
    pub(super) workspaces: Vec<SelectedRepository<'a>>,
    /// Repositories of earlier runs that are not found any more.
    pub(super) vanished: Vec<&'a VanishedRepository>,
}

/// A discovered repository with its rules and its client.
#[derive(Clone, Copy)]
pub(super) struct SelectedRepository<'a> {
    pub(super) discovered: &'a DiscoveredRepository,
    pub(super) rules: &'a RuleSet,
    pub(super) client: &'a Client,
}

impl SelectedRepository<'_> {
    /// The state that the last run left.
    pub(super) fn saved_state<'s>(&self, states: &'s SavedStates) -> Option<&'s RepositoryState> {
        let found = &self.discovered.found;
        states.get(found.connection_id, &found.uuid)
    }
}

impl<'a> RunSelection<'a> {
    /// Assign rules and clients to the discovered repositories.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when rules or projects do not fit the repositories.
    pub(super) fn new(
        config: &'a Config,
        clients: &'a BTreeMap<String, Client>,
        discovery: &'a Discovery,
    ) -> Result<Self> {
        let assigned = assign(config, discovery)?;
        let mut repositories = Vec::new();
        let mut workspaces = BTreeMap::new();
        for discovered in &discovery.found {
            let mut assigned = assigned.iter();
            let Some(assigned) = assigned.find(|one| one.found == discovered.found) else {
                continue;
            };
            let selected = SelectedRepository {
                discovered,
                rules: find_rules(config, assigned)?,
                client: find_client(clients, discovered)?,
            };
            repositories.push(selected);
            if selected.rules.entities.contains(&EntityGroup::Accounts) {
                let key = (discovered.found.connection_id, &discovered.workspace);
                workspaces.entry(key).or_insert(selected);
            }
        }
        Ok(Self {
            repositories,
            workspaces: workspaces.into_values().collect(),
            vanished: discovery.vanished.iter().collect(),
        })
    }

    /// Keep the part of one machine.
    pub(super) fn in_shard(mut self, shard: Option<Shard>) -> Self {
        let contains = |uuid: &str| is_in_shard(shard, uuid);
        self.repositories
            .retain(|one| contains(&one.discovered.found.uuid));
        self.workspaces
            .retain(|one| contains(&one.discovered.workspace_uuid));
        self.vanished.retain(|one| contains(&one.state.uuid));
        self
    }
}

/// Assign rules and projects. Vanished repositories count, so that the pattern of a project matches as long as their rows
/// are on the lake.
fn assign(config: &Config, discovery: &Discovery) -> Result<Vec<AssignedRepository>> {
    let found = discovery.found.iter();
    let found = found.map(|discovered| discovered.found.clone());
    let vanished = discovery.vanished.iter().map(VanishedRepository::found);
    config.assign(&found.chain(vanished).collect::<Vec<_>>())
}

fn find_rules<'a>(config: &'a Config, assigned: &AssignedRepository) -> Result<&'a RuleSet> {
    config.rules.get(&assigned.rules).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a repository has an unknown rule set")
            .with("rules", &assigned.rules)
    })
}

fn find_client<'a>(
    clients: &'a BTreeMap<String, Client>,
    discovered: &DiscoveredRepository,
) -> Result<&'a Client> {
    clients.get(&discovered.connection).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a connection has no client")
            .with("connection", &discovered.connection)
    })
}
