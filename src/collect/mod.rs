//! Collects: which pages to ask for, and what of them to keep.
//!
//! ```text
//! discover ─▶ assign rules ─▶ per repository, four side by side:
//!                                repositories ─▶ branches, tags, commits
//!                                             ─▶ pull_requests ─▶ comments, commits; activity
//!                                             ─▶ issues ─▶ comments, changes
//!                                             ─▶ pipelines ─▶ steps; deployments, environments
//!                             per workspace: workspace_members
//! ```
//!
//! Every list becomes one segment, page by page, and then one line in the repository's state. There is a file per
//! table, and each says what its key is and which time `since` cuts it by; `walk.rs` has the walk they share.

mod branches;
mod commits;
mod deployments;
mod discovery;
mod entity;
mod environments;
mod issue_changes;
mod issue_comments;
mod issues;
mod pipeline_steps;
mod pipelines;
mod pull_request_activity;
mod pull_request_comments;
mod pull_request_commits;
mod pull_requests;
mod redact;
mod report;
mod repositories;
mod repository;
mod sink;
mod tags;
mod walk;
mod workspace_members;

pub use discovery::{Discovery, Gone, discover};
pub use report::{CollectReport, EntityReport, RepositoryReport};
pub use repositories::Discovered;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use crate::bitbucket::{Client, ClientOptions, Limits};
use crate::config::{Assigned, Config, EntityGroup, Found, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::Lake;

const SIDE_BY_SIDE: usize = 4;

/// What a collection needs besides the configuration.
pub struct Options<'a> {
    /// Names the segments of this run.
    pub run_id: &'a str,
    pub now: DateTime<Utc>,
    pub limits: Limits,
    pub listener: &'a (dyn Fn(Event<'_>) + Send + Sync),
}

/// What a progress display wants to know.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    Discovered {
        repositories: usize,
    },
    /// `records`: kept of this page.
    Page {
        repository: &'a str,
        entity: &'a str,
        records: u64,
    },
    Finished {
        repository: &'a str,
    },
}

/// Everything a run shares.
pub(crate) struct Context<'a> {
    config: &'a Config,
    lake: &'a Lake,
    options: &'a Options<'a>,
}

/// Collects what the configuration selects into segments and state. The caller holds the lake's lock.
///
/// # Errors
/// Configuration mistakes that only Bitbucket can show, refused credentials, an exhausted quota, a lake that cannot
/// be written; with `skip_failed = false` the first entity that fails. What was collected until then stays in the
/// state.
pub async fn collect(
    config: &Config,
    env: &BTreeMap<String, String>,
    lake: &Lake,
    options: &Options<'_>,
) -> Result<CollectReport> {
    let clients = clients(config, env, &options.limits)?;
    let states: Vec<_> = lake
        .states()
        .await?
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    let discovery = discover(config, &clients, &states).await?;
    let assigned = assign(config, &discovery)?;
    (options.listener)(Event::Discovered {
        repositories: discovery.found.len(),
    });

    let context = Context {
        config,
        lake,
        options,
    };
    let known = states.iter().filter(|state| !state.is_workspace()).count();
    let mut report = CollectReport::default();
    report
        .repositories
        .extend(repositories::mark_gone(&context, &discovery.gone, known).await?);

    let members = members_wanted(config, &discovery, &assigned)?;
    for workspace in workspaces(&discovery, &members) {
        let client = client(&clients, workspace)?;
        report
            .repositories
            .push(repository::collect_workspace(&context, client, workspace).await?);
        (options.listener)(Event::Finished {
            repository: &workspace.workspace,
        });
    }
    let mut work = Vec::new();
    for discovered in &discovery.found {
        let Some(assigned) = find(&assigned, &discovered.found) else {
            continue;
        };
        work.push((
            client(&clients, discovered)?,
            rules(config, assigned)?,
            discovered,
        ));
    }
    let context = &context;
    let mut collected: Vec<RepositoryReport> = stream::iter(work)
        .map(|(client, rules, discovered)| async move {
            let report = repository::collect(context, client, rules, discovered).await?;
            let repository = &discovered.found.full_name;
            (options.listener)(Event::Finished { repository });
            Ok::<_, Error>(report)
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    report.repositories.append(&mut collected);
    report.finish(clients.values());
    Ok(report)
}

/// The clients of all connections that a selection uses, by name; reads their secrets.
pub fn clients(
    config: &Config,
    env: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<BTreeMap<String, Client>> {
    let used: BTreeSet<&str> = config
        .repositories
        .iter()
        .map(|s| s.connection.as_str())
        .collect();
    if used.is_empty() {
        return Err(
            Error::new(ErrorKind::Configuration, "no repositories are selected")
                .with("file", config.path.display())
                .hint("add [[repositories]] with connection and include"),
        );
    }
    let connections = config
        .connections
        .iter()
        .filter(|c| used.contains(c.name.as_str()));
    connections
        .map(|connection| {
            let options = ClientOptions::from_connection(connection, env)?;
            let client = Client::new(ClientOptions {
                limits: limits.clone(),
                ..options
            })?;
            Ok((connection.name.clone(), client))
        })
        .collect()
}

fn assign(config: &Config, discovery: &Discovery) -> Result<Vec<Assigned>> {
    let found = discovery
        .found
        .iter()
        .map(|discovered| discovered.found.clone());
    let gone = discovery.gone.iter().map(Gone::found);
    config.assign(&found.chain(gone).collect::<Vec<_>>())
}

fn find<'a>(assigned: &'a [Assigned], found: &Found) -> Option<&'a Assigned> {
    assigned.iter().find(|assigned| assigned.found == *found)
}

fn rules<'a>(config: &'a Config, assigned: &Assigned) -> Result<&'a Rules> {
    config.rules.get(&assigned.rules).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a rule set vanished").with("rules", &assigned.rules)
    })
}

fn client<'a>(clients: &'a BTreeMap<String, Client>, of: &Discovered) -> Result<&'a Client> {
    clients.get(&of.connection).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a connection has no client")
            .with("connection", &of.connection)
    })
}

/// The workspaces, by connection and slug, with a repository whose rules ask for accounts.
fn members_wanted(
    config: &Config,
    discovery: &Discovery,
    assigned: &[Assigned],
) -> Result<BTreeSet<(i64, String)>> {
    let mut wanted = BTreeSet::new();
    for discovered in &discovery.found {
        if let Some(assigned) = find(assigned, &discovered.found)
            && rules(config, assigned)?
                .entities
                .contains(&EntityGroup::Accounts)
        {
            wanted.insert((discovered.found.connection_id, discovered.workspace.clone()));
        }
    }
    Ok(wanted)
}

/// One repository of each wanted workspace, standing for it, in the workspaces' order.
fn workspaces<'a>(
    discovery: &'a Discovery,
    wanted: &BTreeSet<(i64, String)>,
) -> impl Iterator<Item = &'a Discovered> {
    let mut first = BTreeMap::new();
    for discovered in &discovery.found {
        let key = (discovered.found.connection_id, discovered.workspace.clone());
        if wanted.contains(&key) {
            first.entry(key).or_insert(discovered);
        }
    }
    first.into_values()
}
