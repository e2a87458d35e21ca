//! The driver of a collection: discovery, then round after round over the selected repositories.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};

use super::budget::open_budgets;
use super::clients::open_clients_with_budgets;
use super::context::{CollectEvent, CollectOptions, RunContext};
use super::discovery::discover;
use super::lost::LostLists;
use super::plan::{RunEstimate, total};
use super::report::{CollectReport, RepositoryReport};
use super::repository::RepositoryCollector;
use super::rounds::Round;
use super::saved_states::SavedStates;
use super::selection::{CONCURRENT_REPOSITORIES, RunSelection};
use super::vanished::mark_vanished;
use super::visit::{RepositoryVisit, defer_visits};
use crate::bitbucket::git::Git;
use crate::bitbucket::{Client, Limits};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::lake::Lake;

/// Collect the repositories that the configuration selects into segments and state. The caller holds the lake's lock.
/// [`CollectOptions::stop`] ends the collection early, and so does an exhausted quota: the report then says why, and the
/// state keeps the records received so far.
///
/// # Errors
/// Configuration mistakes that only Bitbucket can show, refused credentials, a lake that cannot be written; with
/// `skip_failed = false` the first list that fails. The state keeps the records received until then.
pub async fn collect(
    config: &Config,
    env: &BTreeMap<String, String>,
    lake: &Lake,
    options: &CollectOptions<'_>,
) -> Result<CollectReport> {
    let limits = Limits {
        deadline: options.stop.deadline(),
        ..options.limits.clone()
    };
    let budgets = open_budgets(lake, options.shard);
    let clients = open_clients_with_budgets(config, env, &limits, &budgets)?;
    let collected = collect_with(&clients, config, lake, options).await;
    let closed = budgets.close().await;
    let report = collected?;
    closed?;
    Ok(report)
}

async fn collect_with(
    clients: &BTreeMap<String, Client>,
    config: &Config,
    lake: &Lake,
    options: &CollectOptions<'_>,
) -> Result<CollectReport> {
    let git = config.sync.git.as_ref();
    let git = git.map(|git| Git::find(git, &options.limits)).transpose()?;
    let states = SavedStates::read(lake).await?;
    let lost = LostLists::find(lake, states.states()).await?;
    let discovery = discover(config, clients, states.states()).await?;
    let selection = RunSelection::new(config, clients, &discovery)?.in_shard(options.shard);
    (options.listener)(CollectEvent::Discovered {
        repositories: discovery.found.len(),
    });
    let context = RunContext {
        config,
        lake,
        options,
        started: Instant::now(),
        git: git.as_ref(),
        states: &states,
        lost: &lost,
    };
    let mut report = CollectReport {
        repositories: mark_vanished(&context, &selection.vanished).await?,
        ..CollectReport::default()
    };
    let workspaces = collect_workspaces(&context, &selection).await?;
    report.repositories.extend(workspaces);
    let visits = RepositoryVisit::open_all(&context, &selection)?;
    let (mut visits, deferred) = defer_visits(visits, clients, options.now);
    report.repositories.extend(deferred);
    let estimate = RunEstimate::new(&context, &visits, &report, clients).await?;
    (options.listener)(CollectEvent::Planned {
        repositories: visits.len(),
        requests: total(&estimate.requests),
    });
    // Known repositories come first: an update takes a few requests, while first loads use the rest of the budget.
    visits.sort_by_key(|visit| visit.repository.is_new());
    let visits = collect_rounds(&context, visits).await?;
    let is_unfinished = visits.iter().any(|visit| visit.repository.is_unfinished());
    if is_unfinished || options.stop.reason().is_some() {
        report.requests_left = estimate.next_run(&context, &visits);
    }
    for mut visit in visits {
        visit.repository.end_visit().await?;
        report.repositories.push(visit.repository.into_report());
    }
    estimate.add_to(&mut report);
    report.stopped = options.stop.reason();
    report.git_operations = git.as_ref().map_or(0, Git::operations);
    report.finish(clients.values());
    Ok(report)
}

/// Collect the members of the selected workspaces.
async fn collect_workspaces(
    context: &RunContext<'_>,
    selection: &RunSelection<'_>,
) -> Result<Vec<RepositoryReport>> {
    let mut reports = Vec::new();
    for workspace in &selection.workspaces {
        let (client, discovered) = (workspace.client, workspace.discovered);
        reports.push(RepositoryCollector::collect_workspace(context, client, discovered).await?);
        (context.options.listener)(CollectEvent::Finished {
            repository: &discovered.workspace,
            is_last_round: false,
        });
    }
    Ok(reports)
}

/// Collect round after round, until every repository is read down to its oldest wanted record or the run is stopped.
async fn collect_rounds<'a>(
    context: &'a RunContext<'a>,
    mut visits: Vec<RepositoryVisit<'a>>,
) -> Result<Vec<RepositoryVisit<'a>>> {
    let mut round = Round::first(context.options.now);
    loop {
        visits = collect_round(context, visits, round).await?;
        let is_unfinished = visits.iter().any(|one| one.repository.is_unfinished());
        let oldest = visits.iter().map(|one| one.repository.since()).min();
        let is_last = oldest.is_none_or(|oldest| round.floor <= oldest);
        if !is_unfinished || is_last || context.options.stop.reason().is_some() {
            return Ok(visits);
        }
        round = round.next();
    }
}

/// Collect every repository down to the round's floor. Later rounds only visit unfinished repositories.
async fn collect_round<'a>(
    context: &'a RunContext<'a>,
    visits: Vec<RepositoryVisit<'a>>,
    round: Round,
) -> Result<Vec<RepositoryVisit<'a>>> {
    let visits = visits.into_iter().enumerate();
    let mut visited: Vec<(usize, RepositoryVisit<'a>)> = stream::iter(visits)
        .map(|(position, mut visit)| async move {
            if round.is_first || visit.repository.is_unfinished() {
                let (rules, discovered) = (visit.rules, visit.discovered);
                visit.repository.collect(rules, discovered, round).await?;
                (context.options.listener)(CollectEvent::Finished {
                    repository: &discovered.found.full_name,
                    is_last_round: !visit.repository.is_unfinished()
                        || round.floor <= visit.repository.since(),
                });
            }
            Ok::<_, Error>((position, visit))
        })
        .buffer_unordered(CONCURRENT_REPOSITORIES)
        .try_collect()
        .await?;
    visited.sort_by_key(|(position, _)| *position);
    Ok(visited.into_iter().map(|(_, visit)| visit).collect())
}
