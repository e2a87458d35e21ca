//! Checks what the tokens can read: the selected repositories, and one small page of each of their lists.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use reqwest::StatusCode;

use super::credentials::CheckedIdentity;
use super::finding::{Finding, Topic};
use super::trouble::explain;
use crate::bitbucket::{ApiTarget, Endpoint, MissingScope, NextPage, endpoints};
use crate::collect::{DiscoveredRepository, Discovery, discover};
use crate::config::{Config, Connection, EntityGroup, RepositorySelection, RuleSet};
use crate::error::ErrorKind;
use crate::lake::RepositoryState;

/// The lists of each entity group. Lists of a pull request, issue or pipeline need the scope of their parents' list.
const LISTS: [(EntityGroup, &[&Endpoint]); 4] = [
    (
        EntityGroup::Code,
        &[&endpoints::BRANCHES, &endpoints::TAGS, &endpoints::COMMITS],
    ),
    (
        EntityGroup::Review,
        &[&endpoints::PULL_REQUESTS, &endpoints::REPOSITORY_ACTIVITY],
    ),
    (EntityGroup::Issues, &[&endpoints::ISSUES]),
    (
        EntityGroup::Cicd,
        &[
            &endpoints::PIPELINES,
            &endpoints::DEPLOYMENTS,
            &endpoints::ENVIRONMENTS,
        ],
    ),
];

/// The number of repositories of a workspace whose lists are requested. Scopes belong to the token, so that a few
/// repositories are enough.
const SAMPLE_SIZE: usize = 3;
/// The number of concurrent requests.
const CONCURRENCY: usize = 4;

/// Return the repositories that the connection selects, and add a finding for each that cannot be found.
pub(super) async fn find_repositories(
    config: &Config,
    connection: &Connection,
    identity: &CheckedIdentity,
    states: &[RepositoryState],
    findings: &mut Vec<Finding>,
) -> Vec<DiscoveredRepository> {
    let own = |selection: &&RepositorySelection| selection.connection == connection.name;
    let selections: Vec<RepositorySelection> =
        config.repositories.iter().filter(own).cloned().collect();
    let clients = BTreeMap::from([(connection.name.clone(), identity.client.clone())]);
    let states: Vec<RepositoryState> = states
        .iter()
        .filter(|state| state.connection_id == connection.id)
        .cloned()
        .collect();
    let search = async |repositories: Vec<RepositorySelection>, states: &[RepositoryState]| {
        let part = Config {
            repositories,
            ..config.clone()
        };
        discover(&part, &clients, states).await
    };
    match search(selections.clone(), &states).await {
        Ok(Discovery {
            found,
            vanished: gone,
        }) => {
            findings.extend(gone.iter().map(|gone| {
                Topic(&gone.state.full_name, "repositories").failed(
                    ErrorKind::Api,
                    format!("{}; a run marks its rows as stale", gone.reason),
                    "correct `include`, which removes its rows from the domain layer, or give the credentials access",
                )
            }));
            found
        }
        // Discovery stops at the first error: discover each pattern by itself to report all errors.
        Err(_) => {
            let mut found = BTreeMap::new();
            for selection in &selections {
                for pattern in &selection.include {
                    let single = RepositorySelection {
                        include: vec![pattern.clone()],
                        ..selection.clone()
                    };
                    match search(vec![single], &[]).await {
                        Ok(discovery) => found.extend(
                            discovery
                                .found
                                .into_iter()
                                .map(|it| (it.found.full_name.clone(), it)),
                        ),
                        Err(error) => {
                            findings.push(explain(Topic(&pattern.text, "include"), &error, None));
                        }
                    }
                }
            }
            found.into_values().collect()
        }
    }
}

/// Add a finding for each scope that the token lacks for the lists of these repositories. The headers of an earlier
/// response name the scopes of the token.
pub(super) fn check_scopes(
    config: &Config,
    found: &[DiscoveredRepository],
    connection: &str,
    identity: &CheckedIdentity,
    findings: &mut Vec<Finding>,
) {
    let mut lists: Vec<&'static Endpoint> = Vec::new();
    for discovered in found {
        let Some(rules) = rules(config, discovered) else {
            continue;
        };
        let is_enabled =
            |it: &&Endpoint| it.name != endpoints::ISSUES.name || discovered.has_issues;
        lists.extend(lists_of(rules).into_iter().filter(is_enabled));
        if rules.entities.contains(&EntityGroup::Accounts) {
            lists.push(&endpoints::WORKSPACE_MEMBERS);
        }
    }
    let mut missing: BTreeMap<String, (Vec<&str>, Vec<String>)> = BTreeMap::new();
    for list in lists {
        if let Some(MissingScope { scope, granted }) = identity.client.missing_scope(list) {
            let (names, _) = missing.entry(scope).or_insert((Vec::new(), granted));
            if !names.contains(&list.name) {
                names.push(list.name);
            }
        }
    }
    let topic = Topic(connection, "scopes");
    for (scope, (names, granted)) in missing {
        let message = format!(
            "{} lacks scope {scope}, without which a run cannot read {}",
            identity.origin,
            names.join(", ")
        );
        let fix = add_scope(identity, &scope, &granted);
        findings.push(match names.as_slice() {
            [only] if *only == endpoints::WORKSPACE_MEMBERS.name => topic.warn(message, fix),
            _ => topic.failed(ErrorKind::Api, message, fix),
        });
    }
}

/// Return the fix for a missing scope.
fn add_scope(identity: &CheckedIdentity, scope: &str, granted: &[String]) -> String {
    let has = match granted {
        [] => String::new(),
        granted => format!(", which has {}", granted.join(" ")),
    };
    format!(
        "create the token ({}{has}) with the additional scope {scope}, or remove the entity group from `entities`",
        identity.origin
    )
}

/// Request one page of each list of a sample of each workspace, and add the findings.
pub(super) async fn check_lists(
    config: &Config,
    found: &[DiscoveredRepository],
    identity: &CheckedIdentity,
    sample: Sample,
    findings: &mut Vec<Finding>,
) {
    let mut workspaces: BTreeMap<&str, Vec<&DiscoveredRepository>> = BTreeMap::new();
    for discovered in found {
        let workspace = workspaces.entry(&discovered.workspace).or_default();
        workspace.push(discovered);
    }
    for (workspace, repositories) in workspaces {
        let chosen = sample.choose(&repositories);
        let mut requested: Vec<(&str, &'static Endpoint)> = Vec::new();
        for discovered in &chosen {
            let name = discovered.found.full_name.as_str();
            let lists = rules(config, discovered).map(lists_of).unwrap_or_default();
            for endpoint in lists {
                if endpoint.name == endpoints::ISSUES.name && !discovered.has_issues {
                    findings.push(
                        Topic(name, endpoint.name).unavailable("the issue tracker is disabled"),
                    );
                } else {
                    requested.push((name, endpoint));
                }
            }
        }
        let has_members = |it: &&DiscoveredRepository| {
            rules(config, it).is_some_and(|it| it.entities.contains(&EntityGroup::Accounts))
        };
        if repositories.iter().any(has_members) {
            requested.push((workspace, &endpoints::WORKSPACE_MEMBERS));
        }
        let lists = requested.len();
        let probes: Vec<_> = stream::iter(requested)
            .map(|(name, endpoint)| probe(identity, name, endpoint))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        add_findings(identity, sample, probes, findings);
        if sample == Sample::Few && chosen.len() < repositories.len() {
            let (n, of) = (chosen.len(), repositories.len());
            let all = (lists * of).div_ceil(n.max(1));
            findings.push(Topic(workspace, "repositories").ok(format!(
                "{of} can be read; the lists of {n} were requested (--all requests all of them, about {all} requests)"
            )));
        }
    }
}

/// The repositories whose lists are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// Every repository.
    All,
    /// A few repositories of each workspace.
    Few,
    /// One repository of each workspace, for each further token of the connection.
    One,
}

impl Sample {
    /// Return the sample of `repositories`, spread evenly over the list.
    fn choose<'a>(
        self,
        repositories: &[&'a DiscoveredRepository],
    ) -> Vec<&'a DiscoveredRepository> {
        let size = match self {
            Self::All => return repositories.to_vec(),
            Self::Few => SAMPLE_SIZE,
            Self::One => 1,
        };
        let n = repositories.len();
        let size = n.min(size);
        let at = |i: usize| repositories.get(i * n / size).copied();
        (0..size).filter_map(at).collect()
    }
}

/// Return the rule set that a run applies to a repository.
fn rules<'a>(config: &'a Config, discovered: &DiscoveredRepository) -> Option<&'a RuleSet> {
    let selects = |selection: &&RepositorySelection| {
        selection.connection == discovered.connection
            && selection.selects(&discovered.found.full_name)
    };
    let selection = config.repositories.iter().find(selects)?;
    config.rules.get(&selection.rules)
}

/// Return the lists of the entity groups of `rules`.
fn lists_of(rules: &RuleSet) -> Vec<&'static Endpoint> {
    let groups = LISTS
        .iter()
        .filter(|(group, _)| rules.entities.contains(group));
    groups
        .flat_map(|(_, lists)| lists.iter().copied())
        .collect()
}

/// Request one small page of a list, and return a finding if the list cannot be read.
async fn probe(
    identity: &CheckedIdentity,
    name: &str,
    endpoint: &'static Endpoint,
) -> (String, &'static str, Option<Finding>) {
    let topic = Topic(name, endpoint.name);
    let mut pages = identity
        .client
        .list(endpoint, ApiTarget::full_name(name))
        .with_page(1, 1);
    let finding = match pages.next().await {
        Ok(NextPage::Page(_) | NextPage::End) => None,
        Ok(NextPage::Unavailable(refusal)) if refusal.status != StatusCode::FORBIDDEN => {
            Some(topic.unavailable(refusal.reason))
        }
        Ok(NextPage::Unavailable(refusal)) => {
            let scope = match refusal.required_scopes.as_slice() {
                [] => endpoint.scope.to_owned(),
                required => required.join(" and "),
            };
            let message = format!("{}; a run records it as unavailable", refusal.reason);
            let fix = match refusal.required_scopes.as_slice() {
                // The token has the scope, so that the refusal concerns this repository.
                [] if identity.client.has_scope(endpoint) => {
                    "give the token's account access to the repository, or remove the repository from `include`"
                        .to_owned()
                }
                _ => add_scope(identity, &scope, &refusal.granted_scopes),
            };
            // Accounts also come from all other records, and a repository's access token cannot list members.
            Some(match endpoint.name == endpoints::WORKSPACE_MEMBERS.name {
                true => topic.warn(message, fix),
                false => topic.failed(ErrorKind::Api, message, fix),
            })
        }
        Err(error) => Some(explain(topic, &error, None)),
    };
    (name.to_owned(), endpoint.name, finding)
}

/// Add one finding for all lists of a repository that can be read, and one for each list that cannot.
fn add_findings(
    identity: &CheckedIdentity,
    sample: Sample,
    probes: Vec<(String, &'static str, Option<Finding>)>,
    findings: &mut Vec<Finding>,
) {
    let mut readable: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, list, finding) in &probes {
        if finding.is_none() {
            readable.entry(name).or_default().push(list);
        }
    }
    let mut shown = BTreeSet::new();
    for (name, _, finding) in &probes {
        if shown.insert(name)
            && let Some(lists) = readable.get(name.as_str())
        {
            let with = match sample {
                Sample::One => format!(" (with {})", identity.origin),
                _ => String::new(),
            };
            let lists = lists.join(", ");
            findings.push(Topic(name, "lists").ok(format!("{lists}{with}")));
        }
        findings.extend(finding.clone());
    }
}
