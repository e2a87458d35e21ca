//! What the tokens may read: the repositories that the configuration selects, and their lists, one small page of each.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use reqwest::StatusCode;

use super::credentials::CheckedIdentity;
use super::finding::{About, Finding};
use super::trouble::explain;
use crate::bitbucket::{ApiTarget, Endpoint, MissingScope, NextPage, endpoints};
use crate::collect::{DiscoveredRepository, Discovery, discover};
use crate::config::{Config, Connection, EntityGroup, RepositorySelection, RuleSet};
use crate::error::ErrorKind;
use crate::lake::RepositoryState;

/// The lists that each group needs; lists of one pull request, issue or pipeline follow their parents' scope.
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

/// Repositories of a workspace whose lists are asked for: scopes belong to the token, so a few tell of all.
const SAMPLE: usize = 3;
const SIDE_BY_SIDE: usize = 4;

/// What a connection's configuration selects; what it fails to find is among the findings.
pub(super) async fn repositories(
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
        Ok(Discovery { found, vanished }) => {
            findings.extend(vanished.iter().map(|vanished| {
                About(&vanished.state.full_name, "repositories").failed(
                    ErrorKind::Api,
                    format!("{}; a run marks its rows as stale", vanished.reason),
                    "correct `include`, which drops its domain rows, or give the credentials access to it",
                )
            }));
            found
        }
        // The first mistake has ended it: each pattern by itself shows all of them.
        Err(_) => {
            let mut found = BTreeMap::new();
            for selection in &selections {
                for pattern in &selection.include {
                    let alone = RepositorySelection {
                        include: vec![pattern.clone()],
                        ..selection.clone()
                    };
                    match search(vec![alone], &[]).await {
                        Ok(discovery) => found.extend(
                            discovery
                                .found
                                .into_iter()
                                .map(|it| (it.found.full_name.clone(), it)),
                        ),
                        Err(error) => {
                            findings.push(explain(About(&pattern.text, "include"), &error, None));
                        }
                    }
                }
            }
            found.into_values().collect()
        }
    }
}

/// The scopes that a token lacks for the lists of these repositories, as the headers of a reply say: one line each,
/// whatever the number of repositories and lists.
pub(super) fn scopes(
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
        let is_on = |it: &&Endpoint| it.name != endpoints::ISSUES.name || discovered.has_issues;
        lists.extend(wanted(rules).into_iter().filter(is_on));
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
    let about = About(connection, "scopes");
    for (scope, (names, granted)) in missing {
        let said = format!(
            "{} lacks scope {scope}, without which a run cannot read {}",
            identity.origin,
            names.join(", ")
        );
        let fix = add_scope(identity, &scope, &granted);
        findings.push(match names.as_slice() {
            [only] if *only == endpoints::WORKSPACE_MEMBERS.name => about.warn(said, fix),
            _ => about.failed(ErrorKind::Api, said, fix),
        });
    }
}

fn add_scope(identity: &CheckedIdentity, scope: &str, granted: &[String]) -> String {
    let has = match granted {
        [] => String::new(),
        granted => format!(", which has {}", granted.join(" ")),
    };
    format!(
        "create the token ({}{has}) with scope {scope} as well, or leave this out of `entities`",
        identity.origin
    )
}

/// The lists of a sample of each workspace, or of all.
pub(super) async fn lists(
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
        let chosen = sample.of(&repositories);
        let mut asked: Vec<(&str, &'static Endpoint)> = Vec::new();
        for discovered in &chosen {
            let name = discovered.found.full_name.as_str();
            let lists = rules(config, discovered).map(wanted).unwrap_or_default();
            for endpoint in lists {
                if endpoint.name == endpoints::ISSUES.name && !discovered.has_issues {
                    findings.push(About(name, endpoint.name).absent("the tracker is switched off"));
                } else {
                    asked.push((name, endpoint));
                }
            }
        }
        let members = |it: &&DiscoveredRepository| {
            rules(config, it).is_some_and(|it| it.entities.contains(&EntityGroup::Accounts))
        };
        if repositories.iter().any(members) {
            asked.push((workspace, &endpoints::WORKSPACE_MEMBERS));
        }
        let lists = asked.len();
        let probes: Vec<_> = stream::iter(asked)
            .map(|(name, endpoint)| probe(identity, name, endpoint))
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        report(identity, sample, probes, findings);
        if sample == Sample::Few && chosen.len() < repositories.len() {
            let (n, of) = (chosen.len(), repositories.len());
            let all = (lists * of).div_ceil(n.max(1));
            findings.push(About(workspace, "repositories").ok(format!(
                "{of} can be seen; the lists of {n} were asked for (--all: of all, about {all} requests)"
            )));
        }
    }
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    All,
    Few,
    /// With each further token of the connection.
    One,
}

impl Sample {
    /// Spread over the names.
    fn of<'a>(self, repositories: &[&'a DiscoveredRepository]) -> Vec<&'a DiscoveredRepository> {
        let wanted = match self {
            Self::All => return repositories.to_vec(),
            Self::Few => SAMPLE,
            Self::One => 1,
        };
        let n = repositories.len();
        let wanted = n.min(wanted);
        let at = |i: usize| repositories.get(i * n / wanted).copied();
        (0..wanted).filter_map(at).collect()
    }
}

/// The rules under which a run reads it.
fn rules<'a>(config: &'a Config, discovered: &DiscoveredRepository) -> Option<&'a RuleSet> {
    let selects = |selection: &&RepositorySelection| {
        selection.connection == discovered.connection
            && selection.selects(&discovered.found.full_name)
    };
    let selection = config.repositories.iter().find(selects)?;
    config.rules.get(&selection.rules)
}

fn wanted(rules: &RuleSet) -> Vec<&'static Endpoint> {
    let groups = LISTS
        .iter()
        .filter(|(group, _)| rules.entities.contains(group));
    groups
        .flat_map(|(_, lists)| lists.iter().copied())
        .collect()
}

/// One small page; `None` when it came.
async fn probe(
    identity: &CheckedIdentity,
    name: &str,
    endpoint: &'static Endpoint,
) -> (String, &'static str, Option<Finding>) {
    let about = About(name, endpoint.name);
    let mut pages = identity
        .client
        .list(endpoint, ApiTarget::full_name(name))
        .with_page(1, 1);
    let finding = match pages.next().await {
        Ok(NextPage::Page(_) | NextPage::End) => None,
        Ok(NextPage::Unavailable(absence)) if absence.status != StatusCode::FORBIDDEN => {
            Some(about.absent(absence.reason))
        }
        Ok(NextPage::Unavailable(absence)) => {
            let scope = match absence.required_scopes.as_slice() {
                [] => endpoint.scope.to_owned(),
                required => required.join(" and "),
            };
            let said = format!("{}; a run takes it as absent", absence.reason);
            let fix = match absence.required_scopes.as_slice() {
                // A refusal of this repository: the scope may be there.
                [] if identity.client.has_scope(endpoint) => {
                    "have the token's account given access to it, or take it out of `include`"
                        .to_owned()
                }
                _ => add_scope(identity, &scope, &absence.granted_scopes),
            };
            // Accounts come from all other records too, and a repository's token can never list them.
            Some(match endpoint.name == endpoints::WORKSPACE_MEMBERS.name {
                true => about.warn(said, fix),
                false => about.failed(ErrorKind::Api, said, fix),
            })
        }
        Err(error) => Some(explain(about, &error, None)),
    };
    (name.to_owned(), endpoint.name, finding)
}

/// One line for all lists of a repository that came, one for each that did not.
fn report(
    identity: &CheckedIdentity,
    sample: Sample,
    probes: Vec<(String, &'static str, Option<Finding>)>,
    findings: &mut Vec<Finding>,
) {
    let mut came: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, list, finding) in &probes {
        if finding.is_none() {
            came.entry(name).or_default().push(list);
        }
    }
    let mut shown = BTreeSet::new();
    for (name, _, finding) in &probes {
        if shown.insert(name)
            && let Some(lists) = came.get(name.as_str())
        {
            let with = match sample {
                Sample::One => format!(" (with {})", identity.origin),
                _ => String::new(),
            };
            let lists = lists.join(", ");
            findings.push(About(name, "lists").ok(format!("{lists}{with}")));
        }
        findings.extend(finding.clone());
    }
}
