//! `bitlake check`: finds the problems that would make a run fail, and names the fix of each.
//!
//! ```text
//! files of the configuration, report ─▶ lake ─▶ each connection: each token ─▶ repositories ─▶ lists of a sample of each
//! workspace ─▶ remaining requests
//! ```
//!
//! A failed check does not stop the others, so that one call reports all problems. The command sends one request for
//! each token, the requests of a run's discovery, and about thirty requests for the lists of each workspace.

mod access;
mod credentials;
mod finding;
mod trouble;

use std::collections::BTreeSet;
use std::path::Path;

use super::args::CheckArgs;
use super::context::{CliContext, CommandOutcome};
use crate::bitbucket::{Budgets, HeadRoom};
use crate::collect::open_budgets;
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::lake::{Inventory, InventoryDepth, Lake, LakeLock, RepositoryState, credential_source};
use crate::plural::counted;
use crate::transform::{check_outside, check_unmatched};
use access::Sample;
use credentials::CheckedIdentity;
use finding::{Finding, Topic, conclude};

/// Run all checks and print the findings.
///
/// # Errors
/// If the configuration cannot be loaded; if a check failed, an error of the kind of its failure.
pub(super) async fn run(context: &CliContext, args: &CheckArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    context.progress.start_phase("checking");
    let mut findings = check_files_of_configuration(&config).await;
    let depth = match args.deep {
        true => InventoryDepth::Content,
        false => InventoryDepth::Listing,
    };
    let opened = check_lake(&config, depth, &mut findings).await;
    let (states, budgets, _lock) = match opened {
        Ok((lake, lock, states)) => {
            findings.extend(check_published_rows(&lake, &config).await);
            (states, open_budgets(&lake, None), Some(lock))
        }
        Err(error) => {
            findings.push(Topic("lake", &config.lake.url).error(&error));
            (Vec::new(), Budgets::default(), None)
        }
    };
    for (topic, key, path) in [
        ("report", "[report] path", &config.report),
        ("metrics", "[metrics] textfile", &config.textfile),
    ] {
        let path = path.as_deref();
        findings.extend(path.map(|path| check_output(topic, key, path)));
    }
    let used: BTreeSet<&str> = config
        .repositories
        .iter()
        .map(|selection| selection.connection.as_str())
        .collect();
    if used.is_empty() {
        findings.push(Topic("repositories", "").failed(
            ErrorKind::Configuration,
            "the configuration selects no repositories",
            "add [[repositories]] with `connection` and `include`",
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
            access::find_repositories(&config, connection, first, &states, &mut findings).await;
        complete &= findings.len() == before;
        for identity in &identities {
            let name = connection.name.as_str();
            access::check_scopes(&config, &repositories, name, identity, &mut findings);
        }
        let sample = if args.all { Sample::All } else { Sample::Few };
        access::check_lists(&config, &repositories, first, sample, &mut findings).await;
        for other in others {
            access::check_lists(&config, &repositories, other, Sample::One, &mut findings).await;
        }
        found.extend(repositories.into_iter().map(|it| it.found));
        findings.extend(
            identities
                .iter()
                .map(|it| check_quota(&connection.name, it)),
        );
    }
    // If discovery is incomplete, a pattern of a project may match a repository that was not found.
    if complete && let Err(error) = config.assign(&found) {
        findings.push(Topic("projects", "").error(&error));
    }
    budgets.close().await?;
    context.progress.finish();
    let requests = clients.iter().flat_map(|it| it.requests().into_values());
    conclude(&findings, requests.sum(), context.global.log_format)
}

/// Read every `[[table]]` and every file of `[org]`.
async fn check_files_of_configuration(config: &Config) -> Vec<Finding> {
    let checks = match check_outside(config).await {
        Ok(checks) => checks,
        Err(error) => return vec![Topic("configuration", "").error(&error)],
    };
    let findings = checks.iter().map(|check| {
        let topic = Topic("configuration", &check.key);
        match &check.rows {
            Ok(rows) => topic.ok(format!("{} in {}", counted(*rows, "row"), check.location)),
            Err(error) => topic.error(error),
        }
    });
    findings.collect()
}

/// Check that the lake can be written and that the published files exist, and return it with the states of earlier runs.
async fn check_lake(
    config: &Config,
    depth: InventoryDepth,
    findings: &mut Vec<Finding>,
) -> Result<(Lake, LakeLock, Vec<RepositoryState>)> {
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let lock = lake.lock()?;
    lake.probe().await?;
    let states = lake.states().await?;
    findings.push(Topic("lake", "").ok(format!("{} can be written", lake.url())));
    if let Some(source) = credential_source(&config.lake.url, &config.lake.options)? {
        findings.push(Topic("lake", "credentials").ok(format!("from {source}")));
    }
    match lake.inventory(depth).await {
        Ok(inventory) => findings.extend(check_files(&inventory)),
        Err(error) => findings.push(Topic("lake", "files").error(&error)),
    }
    Ok((lake, lock, states))
}

/// Report ids and names in published tables that match nothing in the table that they refer to.
async fn check_published_rows(lake: &Lake, config: &Config) -> Vec<Finding> {
    let topic = Topic("lake", "published rows");
    let found = match check_unmatched(lake, config.lake.memory_limit).await {
        Ok(found) => found,
        Err(error) => return vec![topic.error(&error)],
    };
    let warned = found.warnings.iter().map(|it| {
        topic.warn(
            format!("{} (n = {})", it.kind, it.n),
            "correct the name, or add the missing row; `bitlake query dora_debug/unmatched` lists all of them",
        )
    });
    let noted = found.notices.iter();
    let noted = noted.map(|it| topic.ok(format!("{} (n = {})", it.kind, it.n)));
    warned.chain(noted).collect()
}

/// Check that a run can write the file that the configuration names in `key`.
fn check_output(topic: &str, key: &str, path: &Path) -> Finding {
    let topic = Topic(topic, "");
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    match tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))) {
        Ok(_) if path.is_dir() => topic.failed(
            ErrorKind::Configuration,
            format!("{} is a folder", path.display()),
            format!("name a file in `{key}`"),
        ),
        Ok(_) => topic.ok(format!("{} can be written", path.display())),
        Err(error) => topic.failed(
            ErrorKind::Configuration,
            format!("{} cannot be written: {error}", path.display()),
            format!("create its folder and allow writing there, or correct `{key}`"),
        ),
    }
}

/// Report each published file that is missing or damaged.
fn check_files(inventory: &Inventory) -> Vec<Finding> {
    let fix = "remove the file if it exists, then run `bitlake run`, which writes it again";
    let topic = Topic("lake", "files");
    let damaged = inventory.damaged.iter();
    let damaged: Vec<_> = damaged
        .map(|(path, damage)| topic.failed(ErrorKind::Lake, format!("{path} {damage}"), fix))
        .collect();
    let published = inventory.manifest.tables.values();
    let files: usize = published.map(|table| table.files.len()).sum();
    match damaged.is_empty() {
        true => vec![topic.ok(format!("all {files} published files exist"))],
        false => damaged,
    }
}

/// Report the remaining requests of this hour.
fn check_quota(connection: &str, identity: &CheckedIdentity) -> Finding {
    let topic = Topic(connection, "quota");
    let HeadRoom { left, limit } = identity.client.head_room();
    let message = format!(
        "{left} of {limit} requests are left this hour ({})",
        identity.origin
    );
    match left < limit / 10 {
        true => topic.warn(
            message,
            "a run pauses until the next hour when they are used up",
        ),
        false => topic.ok(message),
    }
}
