//! Finds the repositories that the configuration selects.
//!
//! ```text
//! include = "acme/web"        GET /repositories/acme/web       one request; also finds public repositories of others
//! include = "acme/api-*"      GET /repositories/acme           all pages, once per workspace
//! known, but not found above  GET /repositories/acme/{uuid}    renamed or deleted
//! ```
//!
//! Bitbucket answers a token that sees no repository with an empty list instead of an error, so discovery treats an
//! empty list as an error.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::value::RawValue;

use super::discovered::DiscoveredRepository;
use crate::bitbucket::{ApiTarget, Client, NextPage, RecordLookup, endpoints};
use crate::config::{Config, RepositoryIdentity, RepositoryPattern, RepositorySelection};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::RepositoryState;

/// A repository of earlier runs that discovery does not find any more.
#[derive(Debug, Clone)]
pub struct VanishedRepository {
    /// The connection's name.
    pub connection: String,
    /// The state that the last run left.
    pub state: RepositoryState,
    /// Why it is not found.
    pub reason: String,
    /// Whether Bitbucket has no repository of this uuid. A repository whose new name no include selects still exists.
    pub is_missing: bool,
}

impl VanishedRepository {
    pub(super) fn found(&self) -> RepositoryIdentity {
        RepositoryIdentity {
            connection_id: self.state.connection_id,
            full_name: self.state.full_name.clone(),
            uuid: self.state.uuid.clone(),
            bitbucket_project: self.state.bitbucket_project.clone(),
        }
    }
}

/// The repositories that the configuration selects.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// By connection and name.
    pub found: Vec<DiscoveredRepository>,
    /// Repositories of earlier runs that are still selected and were not found.
    pub vanished: Vec<VanishedRepository>,
}

/// Find the repositories of all includes. `states`: the states of earlier runs.
///
/// # Errors
/// [`ErrorKind::Configuration`] with the line for an include that finds nothing; [`ErrorKind::Credentials`] when the
/// credentials see nothing of a workspace.
pub async fn discover(
    config: &Config,
    clients: &BTreeMap<String, Client>,
    states: &[RepositoryState],
) -> Result<Discovery> {
    let mut search = RepositorySearch::default();
    for selection in &config.repositories {
        let Some(connection) = SearchedConnection::of(config, clients, selection) else {
            continue;
        };
        for pattern in &selection.include {
            if pattern.is_exact() {
                search
                    .find_exact(&connection, selection, pattern, states)
                    .await?;
            } else {
                search
                    .find_matching(&connection, selection, pattern)
                    .await?;
            }
        }
    }
    let vanished = search.find_vanished(config, clients, states).await?;
    let mut found: Vec<_> = search.found.into_values().collect();
    found.sort_by(|a, b| {
        (a.found.connection_id, &a.found.full_name)
            .cmp(&(b.found.connection_id, &b.found.full_name))
    });
    Ok(Discovery { found, vanished })
}

/// A connection and its client.
struct SearchedConnection<'a> {
    id: i64,
    client: &'a Client,
}

impl<'a> SearchedConnection<'a> {
    fn of(
        config: &Config,
        clients: &'a BTreeMap<String, Client>,
        selection: &RepositorySelection,
    ) -> Option<Self> {
        let id = config
            .connections
            .iter()
            .find(|c| c.name == selection.connection)?
            .id;
        Some(Self {
            id,
            client: clients.get(&selection.connection)?,
        })
    }
}

#[derive(Default)]
struct RepositorySearch {
    /// All repositories of a workspace, by connection and workspace.
    listings: BTreeMap<(i64, String), Vec<DiscoveredRepository>>,
    /// Names that were looked up, by connection.
    looked_up: BTreeSet<(i64, String)>,
    /// By connection and uuid.
    found: BTreeMap<(i64, String), DiscoveredRepository>,
}

impl RepositorySearch {
    fn add(&mut self, discovered: DiscoveredRepository) {
        let key = (
            discovered.found.connection_id,
            discovered.found.uuid.clone(),
        );
        self.found.insert(key, discovered);
    }

    /// Add the selected repositories of a workspace that match a pattern with wildcards.
    async fn find_matching(
        &mut self,
        connection: &SearchedConnection<'_>,
        selection: &RepositorySelection,
        pattern: &RepositoryPattern,
    ) -> Result<()> {
        let key = (connection.id, pattern.workspace().to_owned());
        if !self.listings.contains_key(&key) {
            let listing = connection.list_workspace(pattern).await?;
            self.listings.insert(key.clone(), listing);
        }
        let listing = self.listings.get(&key);
        let listing = listing.map(Vec::as_slice).unwrap_or_default();
        let matching: Vec<DiscoveredRepository> = listing
            .iter()
            .filter(|it| pattern.matches(&it.found.full_name))
            .cloned()
            .collect();
        if matching.is_empty() {
            let (text, seen) = (&pattern.text, listing.len());
            return Err(pattern
                .place
                .error(format!(
                    "`{text}` matches none of the {seen} repositories of its workspace"
                ))
                .hint("correct it; `bitlake repos` lists what can be seen"));
        }
        let selected = matching
            .into_iter()
            .filter(|it| selection.selects(&it.found.full_name));
        selected.for_each(|discovered| self.add(discovered));
        Ok(())
    }

    /// Look up the repository that a pattern without wildcards names.
    async fn find_exact(
        &mut self,
        connection: &SearchedConnection<'_>,
        selection: &RepositorySelection,
        pattern: &RepositoryPattern,
        states: &[RepositoryState],
    ) -> Result<()> {
        let name = pattern.text.to_lowercase();
        if !selection.selects(&name) || !self.looked_up.insert((connection.id, name.clone())) {
            return Ok(());
        }
        let is_known = states.iter().any(|state| {
            state.connection_id == connection.id && state.full_name.eq_ignore_ascii_case(&name)
        });
        let error = match connection.look_up(&ApiTarget::full_name(&name)).await? {
            Ok(discovered) if selection.selects(&discovered.found.full_name) => {
                self.add(discovered);
                return Ok(());
            }
            // `find_vanished` looks it up by uuid and keeps its rows as stale.
            _ if is_known => return Ok(()),
            Ok(renamed) => pattern
                .place
                .error(format!("`{name}` is called `{}` now", renamed.found.full_name))
                .hint("write its new name"),
            Err(reason) => pattern.place.error(format!("cannot read `{name}`: {reason}")).hint(
                "check the name; a private repository is hidden from credentials that may not read it",
            ),
        };
        Err(error.with("connection", connection.client.connection()))
    }

    /// Look up the selected repositories of earlier runs that were not found. The request goes by uuid, which survives a
    /// rename and does not depend on a listing. Add the renamed ones and return the others.
    async fn find_vanished(
        &mut self,
        config: &Config,
        clients: &BTreeMap<String, Client>,
        states: &[RepositoryState],
    ) -> Result<Vec<VanishedRepository>> {
        let mut vanished = Vec::new();
        for state in states.iter().filter(|state| !state.is_workspace()) {
            let key = (state.connection_id, state.uuid.clone());
            if self.found.contains_key(&key) {
                continue;
            }
            let selection = find_selection(config, state.connection_id, &state.full_name);
            let Some(connection) =
                selection.and_then(|one| SearchedConnection::of(config, clients, one))
            else {
                continue;
            };
            let mut target = ApiTarget::full_name(&state.full_name);
            target.repository.clone_from(&state.uuid);
            let (is_missing, reason) = match connection.look_up(&target).await? {
                Ok(discovered) => {
                    let name = discovered.found.full_name.clone();
                    if find_selection(config, connection.id, &name).is_some() {
                        self.add(discovered);
                        continue;
                    }
                    let reason = format!("renamed to {name}, which no include selects");
                    (false, reason)
                }
                Err(reason) => (true, format!("cannot be found any more: {reason}")),
            };
            vanished.push(VanishedRepository {
                connection: connection.client.connection().to_owned(),
                state: state.clone(),
                reason,
                is_missing,
            });
        }
        Ok(vanished)
    }
}

fn find_selection<'a>(
    config: &'a Config,
    connection_id: i64,
    full_name: &str,
) -> Option<&'a RepositorySelection> {
    let mut connections = config.connections.iter();
    let connection = connections.find(|connection| connection.id == connection_id)?;
    let mut selections = config.repositories.iter();
    selections.find(|one| one.connection == connection.name && one.selects(full_name))
}

impl SearchedConnection<'_> {
    /// Read the list of all repositories of a pattern's workspace.
    async fn list_workspace(
        &self,
        pattern: &RepositoryPattern,
    ) -> Result<Vec<DiscoveredRepository>> {
        let workspace = pattern.workspace();
        let target = ApiTarget::workspace(workspace);
        let mut pages = self.client.list(&endpoints::REPOSITORIES, target);
        let mut listing = Vec::new();
        loop {
            let page = pages.next().await;
            match page.map_err(|error| locate_error(error, pattern))? {
                NextPage::Page(page) => {
                    for record in page.values {
                        listing.push(self.read(record, page.date)?);
                    }
                }
                NextPage::End => break,
                NextPage::Unavailable(unavailable) => {
                    let reason = unavailable.reason;
                    return Err(pattern
                        .place
                        .error(format!("cannot list the workspace `{workspace}`: {reason}")));
                }
            }
        }
        if listing.is_empty() {
            let message =
                format!("the credentials see no repository in the workspace `{workspace}`");
            let error = Error::new(ErrorKind::Credentials, message);
            return Err(pattern
                .place
                .locate(error)
                .with("connection", self.client.connection())
                .hint(
                    "check that the token is of a member of it and has scope read:repository:bitbucket",
                ));
        }
        Ok(listing)
    }

    /// Look up one repository. Return the reason when Bitbucket does not show it.
    async fn look_up(
        &self,
        target: &ApiTarget,
    ) -> Result<std::result::Result<DiscoveredRepository, String>> {
        match self.client.get(&endpoints::REPOSITORY, target).await? {
            RecordLookup::Found { value, date } => self.read(value, date).map(Ok),
            RecordLookup::Unavailable(unavailable) => Ok(Err(unavailable.reason)),
        }
    }

    fn read(
        &self,
        record: Box<RawValue>,
        date: Option<DateTime<Utc>>,
    ) -> Result<DiscoveredRepository> {
        DiscoveredRepository::read(self.id, self.client, record, date)
    }
}

/// Add the line of the pattern to the error of its workspace's list, and explain the statuses that mean a mistake in the
/// configuration.
fn locate_error(error: Error, pattern: &RepositoryPattern) -> Error {
    let workspace = pattern.workspace();
    let (kind, message) = match error.status() {
        Some(StatusCode::NOT_FOUND) => (
            ErrorKind::Configuration,
            format!("there is no workspace `{workspace}` that the credentials can see"),
        ),
        Some(StatusCode::FORBIDDEN) => (
            ErrorKind::Credentials,
            format!("the credentials may not list the workspace `{workspace}`"),
        ),
        _ => return pattern.place.locate(error),
    };
    pattern
        .place
        .locate(Error::new(kind, message))
        .source(error)
}
