//! `bitlake check`: what a run would stumble over, with the fix, before it costs a night.
//!
//! ```text
//! lake ─▶ each connection: each token ─▶ repositories ─▶ lists of a few in each workspace ─▶ requests left
//! ```
//!
//! It goes on after what fails, so that one look shows all there is to mend. It spends a request for each token, what
//! a run spends to find the repositories, and about thirty for the lists of a workspace.

mod access;
mod credentials;
mod finding;
mod trouble;

use std::collections::BTreeSet;

use super::args::CheckArgs;
use super::{CliContext, CommandOutcome};
use crate::bitbucket::{Budgets, HeadRoom};
use crate::collect::open_budgets;
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::lake::{Inventory, InventoryDepth, Lake, LakeLock, RepositoryState};
use crate::transform::check_unmatched;
use access::Sample;
use credentials::CheckedIdentity;
use finding::{About, Finding, conclude};

/// # Errors
/// A configuration that cannot be read; when anything failed, an error of its kind.
pub(super) async fn run(context: &CliContext, args: &CheckArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut findings = Vec::new();
    let depth = match args.deep {
        true => InventoryDepth::Content,
        false => InventoryDepth::Listing,
    };
    let opened = lake(&config, depth, &mut findings).await;
    let (states, budgets, _lock) = match opened {
        Ok((lake, lock, states)) => {
            findings.extend(unmatched(&lake, &config).await);
            (states, open_budgets(&lake, None), Some(lock))
        }
        Err(error) => {
            findings.push(About("lake", &config.lake.url).error(&error));
            (Vec::new(), Budgets::default(), None)
        }
    };
    let used: BTreeSet<&str> = config
        .repositories
        .iter()
        .map(|selection| selection.connection.as_str())
        .collect();
    if used.is_empty() {
        findings.push(About("repositories", "").failed(
            ErrorKind::Configuration,
            "none are selected",
            "add [[repositories]] with connection and include",
        ));
    }
    let mut clients = Vec::new();
    let mut found = Vec::new();
    let mut complete = true;
    for connection in &config.connections {
        if !used.contains(connection.name.as_str()) {
            continue;
        }
        let mut identities =
            credentials::check(connection, &config, &context.env, &budgets, &mut findings).await?;
        clients.extend(identities.iter().map(|identity| identity.client.clone()));
        identities.retain(|identity| identity.works);
        let Some((first, others)) = identities.split_first() else {
            complete = false;
            continue;
        };
        let before = findings.len();
        let repositories =
            access::repositories(&config, connection, first, &states, &mut findings).await;
        complete &= findings.len() == before;
        for identity in &identities {
            let name = connection.name.as_str();
            access::scopes(&config, &repositories, name, identity, &mut findings);
        }
        let sample = if args.all { Sample::All } else { Sample::Few };
        access::lists(&config, &repositories, first, sample, &mut findings).await;
        for other in others {
            access::lists(&config, &repositories, other, Sample::One, &mut findings).await;
        }
        found.extend(repositories.into_iter().map(|it| it.found));
        findings.extend(identities.iter().map(|it| head_room(&connection.name, it)));
    }
    // A project's pattern may match what could not be found.
    if complete && let Err(error) = config.assign(&found) {
        findings.push(About("projects", "").error(&error));
    }
    budgets.close().await?;
    let requests = clients.iter().flat_map(|it| it.requests().into_values());
    conclude(&findings, requests.sum(), context.global.log_format)
}

/// Whether it can be written, what earlier runs know, and whether what they published is there.
async fn lake(
    config: &Config,
    depth: InventoryDepth,
    findings: &mut Vec<Finding>,
) -> Result<(Lake, LakeLock, Vec<RepositoryState>)> {
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let lock = lake.lock()?;
    lake.probe().await?;
    let states = lake.states().await?;
    findings.push(About("lake", "").ok(format!("{} can be written", lake.url())));
    match lake.inventory(depth).await {
        Ok(inventory) => findings.extend(files(&inventory)),
        Err(error) => findings.push(About("lake", "files").error(&error)),
    }
    Ok((lake, lock, states))
}

/// What joins nothing in the tables that the last transform published.
async fn unmatched(lake: &Lake, config: &Config) -> Vec<Finding> {
    let about = About("lake", "published rows");
    let found = match check_unmatched(lake, config.lake.memory_limit).await {
        Ok(found) => found,
        Err(error) => return vec![about.error(&error)],
    };
    let warned = found.warnings.iter().map(|it| {
        about.warn(
            format!("{} (n = {})", it.kind, it.n),
            "correct the name where it is written, or add it where it is missing; `bitlake query dora_debug/unmatched` lists all of them",
        )
    });
    let noted = found.notices.iter();
    let noted = noted.map(|it| about.ok(format!("{} (n = {})", it.kind, it.n)));
    warned.chain(noted).collect()
}

/// What is published and missing or damaged, a finding each.
fn files(inventory: &Inventory) -> Vec<Finding> {
    let fix =
        "remove the file if it is there, then run `bitlake run`: it makes or collects it again";
    let about = About("lake", "files");
    let damaged = inventory.damaged.iter();
    let damaged: Vec<_> = damaged
        .map(|(path, damage)| about.failed(ErrorKind::Lake, format!("{path} {damage}"), fix))
        .collect();
    let published = inventory.manifest.tables.values();
    let files: usize = published.map(|table| table.files.len()).sum();
    match damaged.is_empty() {
        true => vec![about.ok(format!("all {files} published files are there"))],
        false => damaged,
    }
}

fn head_room(connection: &str, identity: &CheckedIdentity) -> Finding {
    let about = About(connection, "quota");
    let HeadRoom { left, limit } = identity.client.head_room();
    let said = format!(
        "{left} of {limit} requests are left this hour ({})",
        identity.origin
    );
    match left < limit / 10 {
        true => about.warn(said, "a run waits for the next hour when they are used up"),
        false => about.ok(said),
    }
}
