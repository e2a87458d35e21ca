//! `bitlake check`: what a run would stumble over, with the fix, before it costs a night.

use std::collections::{BTreeMap, BTreeSet};

use super::output::print;
use super::{Context, Outcome, rows};
use crate::bitbucket::{Client, Endpoint, Limits, Step, Target, endpoints};
use crate::collect::{clients, discover};
use crate::config::{Config, EntityGroup, Rules};
use crate::error::{ErrorKind, Result};
use crate::lake::Lake;

/// The lists that each group needs; lists of one pull request, issue or pipeline follow their parents' scope.
const LISTS: [(EntityGroup, &[&Endpoint]); 5] = [
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
    (EntityGroup::Accounts, &[&endpoints::WORKSPACE_MEMBERS]),
];

/// # Errors
/// The first thing that would stop every repository: credentials, configuration, the lake.
pub(super) async fn run(context: &Context) -> Result<Outcome> {
    let config = context.config()?;
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let lock = lake.lock()?;
    lake.probe().await?;
    print(&format!("ok      lake {} can be written\n", lake.url()))?;

    let clients = clients(&config, &context.env, &Limits::default())?;
    let states: Vec<_> = lake
        .states()
        .await?
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    drop(lock);
    let discovery = discover(&config, &clients, &states).await?;
    let found: Vec<_> = discovery
        .found
        .iter()
        .map(|one| one.found.clone())
        .collect();
    let assigned = config.assign(&found)?;

    let mut lines = Vec::new();
    // A workspace's list is asked for once, not for each of its repositories.
    let mut asked = BTreeSet::new();
    let mut outcome = Outcome::Complete;
    for (discovered, assigned) in discovery.found.iter().filter_map(|discovered| {
        Some((
            discovered,
            assigned.iter().find(|one| one.found == discovered.found)?,
        ))
    }) {
        let (Some(client), Some(rules)) = (
            clients.get(&discovered.connection),
            config.rules.get(&assigned.rules),
        ) else {
            continue;
        };
        for endpoint in lists(rules) {
            let full_name = match endpoint.path.contains("{repository}") {
                true => &discovered.found.full_name,
                false => &discovered.workspace,
            };
            if !asked.insert((&discovered.connection, full_name, endpoint.name)) {
                continue;
            }
            let (word, reason) = probe(client, endpoint, full_name).await?;
            if word == FAILED {
                outcome = Outcome::Incomplete;
            }
            lines.push(
                [word, full_name, endpoint.name, &reason]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
    }
    print(&rows::aligned(&lines))?;
    print(&head_room(&config, &clients))?;
    Ok(outcome)
}

fn lists(rules: &Rules) -> impl Iterator<Item = &'static Endpoint> {
    let wanted = LISTS
        .iter()
        .filter(|(group, _)| rules.entities.contains(group));
    wanted.flat_map(|(_, endpoints)| endpoints.iter().copied())
}

const FAILED: &str = "failed";

/// One page of a list: `ok`, `absent` or `failed`, and why.
async fn probe(
    client: &Client,
    endpoint: &'static Endpoint,
    full_name: &str,
) -> Result<(&'static str, String)> {
    let step = client
        .walk(endpoint, Target::full_name(full_name))
        .next()
        .await;
    Ok(match step {
        Ok(Step::Page(_) | Step::End) => ("ok", String::new()),
        Ok(Step::Absent(absence)) if absence.status == 403 => {
            let fix = format!(
                "{}: create the token with scope {}",
                absence.reason, endpoint.scope
            );
            (FAILED, fix)
        }
        Ok(Step::Absent(absence)) => ("absent", absence.reason),
        Err(error) if error.kind() == ErrorKind::Credentials => return Err(error),
        Err(error) => (FAILED, error.to_string()),
    })
}

fn head_room(config: &Config, clients: &BTreeMap<String, Client>) -> String {
    let lines = clients.iter().map(|(name, client)| {
        let (left, limit) = client.head_room();
        let auth = config
            .connections
            .iter()
            .find(|connection| connection.name == *name);
        let auth = auth.map_or("", |connection| connection.auth.as_str());
        format!("ok      connection {name} ({auth}): {left} of {limit} requests left this hour\n")
    });
    lines.collect()
}
