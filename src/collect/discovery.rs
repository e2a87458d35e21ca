//! Finds the repositories that the configuration selects.
//!
//! ```text
//! include = "acme/web"   ─▶ GET /repositories/acme/web     one request, also for a public repository of others
//! include = "acme/api-*" ─▶ GET /repositories/acme         all pages, once per workspace
//! known from an earlier run, found by neither ─▶ GET /repositories/acme/{uuid}: renamed, or gone
//! ```
//!
//! A token that authenticates and sees nothing gets an empty list and not a refusal, so an empty list is an error.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;

use super::repositories::{DiscoveredRepository, read};
use crate::bitbucket::{ApiTarget, Client, NextPage, RecordLookup, endpoints};
use crate::config::{Config, RepositoryIdentity, RepositoryPattern, RepositorySelection};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::RepositoryState;

/// A repository of earlier runs that is not found any more.
#[derive(Debug, Clone)]
pub struct VanishedRepository {
    pub connection: String,
    pub state: RepositoryState,
    pub reason: String,
    /// Bitbucket knows it under no name; one that was renamed out of the configuration is still there.
    pub missing: bool,
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

/// What the configuration selects, ordered by connection and name.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    pub found: Vec<DiscoveredRepository>,
    pub gone: Vec<VanishedRepository>,
}

/// Asks for every included repository. `states`: what earlier runs know.
///
/// # Errors
/// [`ErrorKind::Configuration`] with the line for an include that finds nothing; [`ErrorKind::Credentials`] when the
/// credentials see nothing of a workspace.
pub async fn discover(
    config: &Config,
    clients: &BTreeMap<String, Client>,
    states: &[RepositoryState],
) -> Result<Discovery> {
    let mut search = Search {
        listings: BTreeMap::new(),
        found: BTreeMap::new(),
    };
    let mut sought = BTreeSet::new();
    for selection in &config.repositories {
        let Some(source) = Source::of(config, clients, selection) else {
            continue;
        };
        for pattern in &selection.include {
            if pattern.is_exact() {
                search
                    .exact(&source, selection, pattern, states, &mut sought)
                    .await?;
            } else {
                search.glob(&source, selection, pattern).await?;
            }
        }
    }
    let gone = search.missing(config, clients, states).await?;
    let mut found: Vec<_> = search.found.into_values().collect();
    found.sort_by(|a, b| {
        (a.found.connection_id, &a.found.full_name)
            .cmp(&(b.found.connection_id, &b.found.full_name))
    });
    Ok(Discovery { found, gone })
}

/// A connection to search.
pub(super) struct Source<'a> {
    pub(super) id: i64,
    pub(super) client: &'a Client,
}

impl<'a> Source<'a> {
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

struct Search {
    /// By connection and workspace.
    listings: BTreeMap<(i64, String), Vec<DiscoveredRepository>>,
    /// By connection and uuid.
    found: BTreeMap<(i64, String), DiscoveredRepository>,
}

impl Search {
    fn add(&mut self, discovered: DiscoveredRepository) {
        let key = (
            discovered.found.connection_id,
            discovered.found.uuid.clone(),
        );
        self.found.insert(key, discovered);
    }

    async fn glob(
        &mut self,
        source: &Source<'_>,
        selection: &RepositorySelection,
        pattern: &RepositoryPattern,
    ) -> Result<()> {
        let key = (source.id, pattern.workspace().to_owned());
        if !self.listings.contains_key(&key) {
            let listing = list(source, pattern).await?;
            self.listings.insert(key.clone(), listing);
        }
        let listing = self
            .listings
            .get(&key)
            .map(Vec::as_slice)
            .unwrap_or_default();
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

    async fn exact(
        &mut self,
        source: &Source<'_>,
        selection: &RepositorySelection,
        pattern: &RepositoryPattern,
        states: &[RepositoryState],
        sought: &mut BTreeSet<(i64, String)>,
    ) -> Result<()> {
        let name = pattern.text.to_lowercase();
        if !selection.selects(&name) || !sought.insert((source.id, name.clone())) {
            return Ok(());
        }
        let known = states.iter().any(|state| {
            state.connection_id == source.id && state.full_name.eq_ignore_ascii_case(&name)
        });
        let error = match get(source, &ApiTarget::full_name(&name)).await? {
            Ok(discovered) if selection.selects(&discovered.found.full_name) => {
                self.add(discovered);
                return Ok(());
            }
            // What is known stays, as stale.
            _ if known => return Ok(()),
            Ok(renamed) => pattern
                .place
                .error(format!("`{name}` is called `{}` now", renamed.found.full_name))
                .hint("write its new name"),
            Err(reason) => pattern.place.error(format!("cannot read `{name}`: {reason}")).hint(
                "check the name; a private repository is hidden from credentials that may not read it",
            ),
        };
        Err(error.with("connection", source.client.connection()))
    }

    /// Repositories of earlier runs that are still selected and were not found: asked for by uuid, which survives
    /// renames and does not depend on a listing.
    async fn missing(
        &mut self,
        config: &Config,
        clients: &BTreeMap<String, Client>,
        states: &[RepositoryState],
    ) -> Result<Vec<VanishedRepository>> {
        let mut gone = Vec::new();
        for state in states.iter().filter(|state| !state.is_workspace()) {
            if self
                .found
                .contains_key(&(state.connection_id, state.uuid.clone()))
            {
                continue;
            }
            let selection = selection(config, state.connection_id, &state.full_name);
            let source = selection.and_then(|selection| Source::of(config, clients, selection));
            let Some(source) = source else { continue };
            let mut target = ApiTarget::full_name(&state.full_name);
            target.repository.clone_from(&state.uuid);
            let (missing, reason) = match get(&source, &target).await? {
                Ok(found) => {
                    let name = found.found.full_name.clone();
                    if selection_of(config, &found.found).is_some() {
                        self.add(found);
                        continue;
                    }
                    (
                        false,
                        format!("renamed to {name}, which no include selects"),
                    )
                }
                Err(reason) => (true, format!("cannot be found any more: {reason}")),
            };
            let connection = source.client.connection().to_owned();
            gone.push(VanishedRepository {
                connection,
                state: state.clone(),
                reason,
                missing,
            });
        }
        Ok(gone)
    }
}

fn selection_of<'a>(
    config: &'a Config,
    found: &RepositoryIdentity,
) -> Option<&'a RepositorySelection> {
    selection(config, found.connection_id, &found.full_name)
}

fn selection<'a>(
    config: &'a Config,
    connection_id: i64,
    full_name: &str,
) -> Option<&'a RepositorySelection> {
    let connection = config.connections.iter().find(|c| c.id == connection_id)?;
    let mut selections = config.repositories.iter();
    selections.find(|s| s.connection == connection.name && s.selects(full_name))
}

async fn list(
    source: &Source<'_>,
    pattern: &RepositoryPattern,
) -> Result<Vec<DiscoveredRepository>> {
    let workspace = pattern.workspace();
    let mut pages = source
        .client
        .list(&endpoints::REPOSITORIES, ApiTarget::workspace(workspace));
    let mut listing = Vec::new();
    loop {
        match pages.next().await.map_err(|error| blame(error, pattern))? {
            NextPage::Page(page) => {
                for record in page.values {
                    listing.push(read(source, record, page.date)?);
                }
            }
            NextPage::End => break,
            NextPage::Unavailable(absence) => {
                let what = format!(
                    "cannot list the workspace `{workspace}`: {}",
                    absence.reason
                );
                return Err(pattern.place.error(what));
            }
        }
    }
    if listing.is_empty() {
        let what = format!("the credentials see no repository in the workspace `{workspace}`");
        return Err(pattern
            .place
            .locate(Error::new(ErrorKind::Credentials, what))
            .with("connection", source.client.connection())
            .hint(
                "check that the token is of a member of it and has scope read:repository:bitbucket",
            ));
    }
    Ok(listing)
}

/// A workspace that is not there is a mistake in the configuration.
fn blame(error: Error, pattern: &RepositoryPattern) -> Error {
    let workspace = pattern.workspace();
    let what = match error.status() {
        Some(StatusCode::NOT_FOUND) => {
            format!("there is no workspace `{workspace}` that the credentials can see")
        }
        Some(StatusCode::FORBIDDEN) => {
            format!("the credentials may not list the workspace `{workspace}`")
        }
        _ => return pattern.place.locate(error),
    };
    let kind = match error.status() {
        Some(StatusCode::FORBIDDEN) => ErrorKind::Credentials,
        _ => ErrorKind::Configuration,
    };
    pattern.place.locate(Error::new(kind, what)).source(error)
}

async fn get(
    source: &Source<'_>,
    target: &ApiTarget,
) -> Result<std::result::Result<DiscoveredRepository, String>> {
    match source.client.get(&endpoints::REPOSITORY, target).await? {
        RecordLookup::Found { value, date } => read(source, value, date).map(Ok),
        RecordLookup::Unavailable(absence) => Ok(Err(absence.reason)),
    }
}
