//! Makes a plan: discovery, then an estimate per repository, then the deferral that a run would choose.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::super::budget::open_budgets;
use super::super::clients::open_clients_with_budgets;
use super::super::deferral::choose_deferred;
use super::super::discovery::discover;
use super::super::freshness::candidate;
use super::super::saved_states::SavedStates;
use super::super::selection::{CONCURRENT_REPOSITORIES, RunSelection, SelectedRepository};
use super::known::{KnownRepository, is_untouched};
use super::probe::Probe;
use super::{ConnectionBudget, Plan, RepositoryPlan, Requests, VisitKind, hours, total};
use crate::bitbucket::{Client, HeadRoom, Limits};
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::lake::{Lake, layout};

/// Plan the next run, and put the plan on the lake. The caller holds the lake's lock, because planning sends requests of
/// the same budget.
///
/// # Errors
/// As [`collect`](super::super::collect). A repository that cannot be read only gets a reason instead of an estimate.
pub async fn plan(
    config: &Config,
    env: &BTreeMap<String, String>,
    lake: &Lake,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<Plan> {
    let budgets = open_budgets(lake, None);
    let clients = open_clients_with_budgets(config, env, limits, &budgets)?;
    let planned = plan_with(&clients, config, lake, now).await;
    let closed = budgets.close().await;
    let plan = planned?;
    closed?;
    Ok(plan)
}

async fn plan_with(
    clients: &BTreeMap<String, Client>,
    config: &Config,
    lake: &Lake,
    now: DateTime<Utc>,
) -> Result<Plan> {
    let states = SavedStates::read(lake).await?;
    let discovery = discover(config, clients, states.states()).await?;
    let selection = RunSelection::new(config, clients, &discovery)?;
    let overhead = Overhead::new(clients, &selection);
    let former: Option<Plan> = lake.get_json(layout::PLAN).await?;
    let estimator = Estimator {
        config,
        states: &states,
        former: former.as_ref(),
        now,
    };
    let repositories = selection.repositories.iter();
    let mut repositories: Vec<_> =
        stream::iter(repositories.map(|selected| estimator.estimate(selected)))
            .buffered(CONCURRENT_REPOSITORIES)
            .try_collect()
            .await?;
    mark_deferred(
        &mut repositories,
        &selection,
        &states,
        &overhead.head_rooms(clients),
        now,
    );
    let mut plan = Plan {
        made_at: now,
        repositories,
        once: overhead.total(),
        budgets: Vec::new(),
        spent: count_requests(clients),
    };
    plan.budgets = clients
        .values()
        .map(|client| budget(&plan, client))
        .collect();
    lake.put_json(layout::PLAN, &plan).await?;
    Ok(plan)
}

/// Clear the next visit of the repositories that the next run will defer.
fn mark_deferred(
    plans: &mut [RepositoryPlan],
    selection: &RunSelection<'_>,
    states: &SavedStates,
    head_rooms: &BTreeMap<String, HeadRoom>,
    now: DateTime<Utc>,
) {
    let candidates: Vec<_> = selection
        .repositories
        .iter()
        .map(|selected| candidate(selected.saved_state(states), selected.discovered))
        .collect();
    for position in choose_deferred(&candidates, head_rooms, now) {
        if let Some(plan) = plans.get_mut(position) {
            plan.kind = VisitKind::Deferred;
            plan.next.clear();
        }
    }
}

/// The requests that a run sends before it visits repositories, by connection.
struct Overhead {
    /// The lists and lookups of discovery.
    discovery: BTreeMap<String, u64>,
    /// The lists of members.
    members: BTreeMap<String, u64>,
}

impl Overhead {
    /// Count the requests of a discovery that is just over; the next run repeats it.
    fn new(clients: &BTreeMap<String, Client>, selection: &RunSelection<'_>) -> Self {
        let discovery = clients
            .iter()
            .map(|(connection, client)| (connection.clone(), client.requests().values().sum()));
        let mut members = BTreeMap::new();
        for workspace in &selection.workspaces {
            *members
                .entry(workspace.discovered.connection.clone())
                .or_default() += 1;
        }
        Self {
            discovery: discovery.collect(),
            members,
        }
    }

    fn total(&self) -> Requests {
        let sum = |requests: &BTreeMap<String, u64>| requests.values().sum::<u64>() as f64;
        let mut total = Requests::from([("repositories".to_owned(), sum(&self.discovery))]);
        if !self.members.is_empty() {
            total.insert("workspace_members".to_owned(), sum(&self.members));
        }
        total
    }

    /// Return what the next run has left when it chooses the repositories to defer.
    fn head_rooms(&self, clients: &BTreeMap<String, Client>) -> BTreeMap<String, HeadRoom> {
        let head_room = |(connection, client): (&String, &Client)| {
            let requests = |of: &BTreeMap<String, u64>| of.get(connection).copied().unwrap_or(0);
            let before = requests(&self.discovery) + requests(&self.members);
            let before = u32::try_from(before).unwrap_or(u32::MAX);
            let room = client.head_room();
            let left = room.left.saturating_sub(before);
            (connection.clone(), HeadRoom { left, ..room })
        };
        clients.iter().map(head_room).collect()
    }
}

/// Estimates the requests of one repository.
struct Estimator<'a> {
    config: &'a Config,
    states: &'a SavedStates,
    /// The plan before this one.
    former: Option<&'a Plan>,
    now: DateTime<Utc>,
}

impl Estimator<'_> {
    async fn estimate(&self, selected: &SelectedRepository<'_>) -> Result<RepositoryPlan> {
        let state = selected.saved_state(self.states);
        let plan = match state.filter(|state| !is_untouched(state)) {
            Some(state) => KnownRepository {
                state,
                discovered: selected.discovered,
                rules: selected.rules,
                former: self
                    .former
                    .and_then(|plan| plan.find(&selected.discovered.connection, &state.uuid)),
                now: self.now,
                sync: &self.config.sync,
            }
            .plan(),
            None => self.probe(selected).await?,
        };
        Ok(plan.without_git_commits(&self.config.sync))
    }

    /// Estimate a first load by a few requests.
    async fn probe(&self, selected: &SelectedRepository<'_>) -> Result<RepositoryPlan> {
        let SelectedRepository {
            discovered,
            rules,
            client,
        } = *selected;
        let mut plan = RepositoryPlan {
            connection: discovered.connection.clone(),
            repository: discovered.found.full_name.clone(),
            uuid: discovered.found.uuid.clone(),
            ..RepositoryPlan::default()
        };
        let probe = Probe {
            client,
            discovered,
            rules,
            since: self.config.sync.since.resolve(self.now),
            now: self.now,
        };
        match probe.measure().await {
            Ok(sizes) => {
                plan.next = sizes.first_load(rules);
                plan.usual_day = sizes.rates().requests_after(1.0, rules);
            }
            Err(error) if error.kind() == ErrorKind::Api => plan.reason = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(plan)
    }
}

/// Relate a connection's requests to its budget. The requests of no repository count against each connection: they are few.
fn budget(plan: &Plan, client: &Client) -> ConnectionBudget {
    let HeadRoom { left, limit } = client.head_room();
    let own = |one: &&RepositoryPlan| one.connection == client.connection();
    let own = || plan.repositories.iter().filter(own);
    let once = total(&plan.once);
    let next = once + own().map(|one| total(&one.next)).sum::<f64>();
    let usual_day = once + own().map(|one| total(&one.usual_day)).sum::<f64>();
    ConnectionBudget {
        connection: client.connection().to_owned(),
        requests_per_hour: limit,
        left,
        next,
        usual_day,
        hours: hours(next, left, limit),
        usual_day_hours: hours(usual_day, limit, limit),
    }
}

/// Count the requests that the clients sent so far.
pub(super) fn count_requests(clients: &BTreeMap<String, Client>) -> u64 {
    clients
        .values()
        .flat_map(|client| client.requests().into_values())
        .sum()
}
