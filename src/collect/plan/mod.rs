//! What a collection will ask for, told before it asks.
//!
//! ```text
//! known repository   its state: how fast each list grew, what waits     no request
//! new repository     the sizes of its lists; where a list has none, how close its newest records are
//! ```
//!
//! A plan is kept on the lake, and the next run sets what it spends beside it.

mod known;
mod night;
mod planned;
mod probe;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::freshness::candidate;
use super::repositories::DiscoveredRepository;
use super::rotation::{self, Candidate};
use super::{
    SIDE_BY_SIDE, assign, budgets, clients_on, discover, find, members_wanted, rules, workspaces,
};
use crate::bitbucket::{Client, HeadRoom, Limits};
use crate::config::{Config, RuleSet, SyncSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, RepositoryState, layout};
use known::Known;
pub(super) use planned::Planned;
use probe::Probe;

/// Requests by table. Parts of one are what happens on some nights only.
pub type Requests = BTreeMap<String, f64>;

/// What the next run asks for, and what a usual day costs after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub made_at: DateTime<Utc>,
    /// By connection and name.
    pub repositories: Vec<RepositoryPlan>,
    /// What is asked once for all: the lists of repositories and of members.
    pub once: Requests,
    pub budgets: Vec<Budget>,
    /// Requests that planning took.
    pub spent: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepositoryPlan {
    pub connection: String,
    /// `workspace/slug`.
    pub repository: String,
    pub uuid: String,
    pub kind: Kind,
    /// Of the next run.
    pub next: Requests,
    /// Of a run a day later, if all goes on as it did.
    pub usual_day: Requests,
    /// Why nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the next run does with a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    FirstLoad,
    /// A first load that was interrupted.
    Unfinished,
    Update,
    /// Nothing: it is not its turn.
    Rest,
}

/// The requests of a connection's identities, and what the plan makes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    pub connection: String,
    pub requests_per_hour: u32,
    /// Of these, what was left after planning.
    pub left: u32,
    pub next: f64,
    pub usual_day: f64,
    /// Hours that the next run and a usual day wait for the budget; less than an hour's budget waits for nothing.
    pub hours: f64,
    pub usual_day_hours: f64,
}

impl Plan {
    /// What the next run asks for, by table.
    pub fn next(&self) -> Requests {
        sum([&self.once]
            .into_iter()
            .chain(self.repositories.iter().map(|one| &one.next)))
    }

    /// What a usual day costs, by table.
    pub fn usual_day(&self) -> Requests {
        sum([&self.once]
            .into_iter()
            .chain(self.repositories.iter().map(|one| &one.usual_day)))
    }

    pub(super) fn of(&self, connection: &str, uuid: &str) -> Option<&RepositoryPlan> {
        let mut all = self.repositories.iter();
        all.find(|one| one.connection == connection && one.uuid == uuid)
    }
}

/// All requests of a plan.
pub fn total(requests: &Requests) -> f64 {
    requests.values().sum()
}

fn sum<'a>(all: impl Iterator<Item = &'a Requests>) -> Requests {
    let mut sum = Requests::new();
    for (table, n) in all.flatten() {
        *sum.entry(table.clone()).or_default() += n;
    }
    sum
}

/// Hours until so many requests have gone out; what is left of this hour goes first.
pub fn hours(requests: f64, left: u32, requests_per_hour: u32) -> f64 {
    (requests - f64::from(left)).max(0.0) / f64::from(requests_per_hour.max(1))
}

/// Plans the next run, and puts the plan on the lake. The caller holds the lake's lock: planning spends of the same hour.
///
/// # Errors
/// As [`collect`](super::collect); one repository that cannot be asked is only marked.
pub async fn plan(
    config: &Config,
    env: &BTreeMap<String, String>,
    lake: &Lake,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<Plan> {
    let budgets = budgets(lake, None);
    let clients = clients_on(config, env, limits, &budgets)?;
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
    let states: Vec<RepositoryState> = lake
        .states()
        .await?
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    let discovery = discover(config, clients, &states).await?;
    let assigned = assign(config, &discovery)?;
    let mut once = Requests::new();
    once.insert("repositories".to_owned(), spent(clients) as f64);
    let members = members_wanted(config, &discovery, &assigned)?;
    let members = workspaces(&discovery, &members).count();
    if members > 0 {
        once.insert("workspace_members".to_owned(), members as f64);
    }
    let former: Option<Plan> = lake.get_json(layout::PLAN).await?;
    let mut wanted = Vec::new();
    for discovered in &discovery.found {
        if let Some(assigned) = find(&assigned, &discovered.found) {
            let client = super::client(clients, discovered)?;
            wanted.push((discovered, rules(config, assigned)?, client));
        }
    }
    let each = wanted.into_iter().map(|(discovered, rules, client)| {
        let state = state_of(&states, discovered);
        let former = former.as_ref();
        let since = config.sync.since.resolve(now);
        async move {
            let plan = match state.filter(|state| !is_new(state)) {
                Some(state) => {
                    let former =
                        former.and_then(|plan| plan.of(&discovered.connection, &state.uuid));
                    let known = Known {
                        state,
                        discovered,
                        rules,
                        former,
                        now,
                        sync: &config.sync,
                    };
                    known.plan()
                }
                None => first_load(client, discovered, rules, since, now).await?,
            };
            Ok::<_, Error>((
                plan.by(&config.sync),
                state.map(|state| candidate(state, discovered)),
            ))
        }
    });
    let planned: Vec<_> = stream::iter(each)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    let mut plan = Plan {
        made_at: now,
        budgets: Vec::new(),
        spent: spent(clients),
        once,
        repositories: take_turns(planned, clients, now),
    };
    plan.budgets = clients.values().map(|client| plan.budget(client)).collect();
    lake.put_json(layout::PLAN, &plan).await?;
    Ok(plan)
}

impl Plan {
    /// What is asked once is counted to the first connection: it is little.
    fn budget(&self, client: &Client) -> Budget {
        let HeadRoom {
            left,
            limit: requests_per_hour,
        } = client.head_room();
        let own = |one: &&RepositoryPlan| one.connection == client.connection();
        let own = || self.repositories.iter().filter(own);
        let once = total(&self.once);
        let next = once + own().map(|one| total(&one.next)).sum::<f64>();
        let usual_day = once + own().map(|one| total(&one.usual_day)).sum::<f64>();
        Budget {
            connection: client.connection().to_owned(),
            requests_per_hour,
            left,
            next,
            usual_day,
            hours: hours(next, left, requests_per_hour),
            usual_day_hours: hours(usual_day, requests_per_hour, requests_per_hour),
        }
    }
}

fn spent(clients: &BTreeMap<String, Client>) -> u64 {
    clients
        .values()
        .flat_map(|client| client.requests().into_values())
        .sum()
}

fn state_of<'a>(
    states: &'a [RepositoryState],
    discovered: &DiscoveredRepository,
) -> Option<&'a RepositoryState> {
    let found = &discovered.found;
    let mut states = states.iter();
    states.find(|state| state.connection_id == found.connection_id && state.uuid == found.uuid)
}

impl RepositoryPlan {
    /// Commits that come by git take of another budget.
    fn by(mut self, sync: &SyncSettings) -> Self {
        if sync.git.is_some() {
            self.next.remove("commits");
            self.usual_day.remove("commits");
        }
        self
    }
}

/// Takes away what is planned for those that rest, as the run will.
fn take_turns(
    planned: Vec<(RepositoryPlan, Option<Candidate>)>,
    clients: &BTreeMap<String, Client>,
    now: DateTime<Utc>,
) -> Vec<RepositoryPlan> {
    let (mut plans, candidates): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
    for (connection, client) in clients {
        let places = (0..plans.len()).filter(|place| plans[*place].connection == *connection);
        let places: Vec<usize> = places.collect();
        let of = |place: &usize| candidates[*place].clone().unwrap_or(Candidate::NEW);
        let of_one: Vec<_> = places.iter().map(of).collect();
        for place in rotation::resting(&of_one, client.head_room().limit.into(), now) {
            let plan = &mut plans[places[place]];
            plan.kind = Kind::Rest;
            plan.next.clear();
        }
    }
    plans
}

/// Whether no list of it was ever begun, the repository's own record apart.
pub(super) fn is_new(state: &RepositoryState) -> bool {
    let mut entities = state.entities.iter();
    !entities.any(|(table, entity)| {
        table != "repositories" && (entity.ever_returned() || entity.backfill.is_some())
    })
}

async fn first_load(
    client: &Client,
    discovered: &DiscoveredRepository,
    rules: &RuleSet,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<RepositoryPlan> {
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
        since,
        now,
    };
    match probe.ask().await {
        Ok(sizes) => {
            plan.next = sizes.first_load(rules);
            plan.usual_day = sizes.rates().night(1.0, rules);
        }
        Err(error) if error.kind() == ErrorKind::Api => plan.reason = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_the_hour_goes_out_without_a_wait() {
        assert_eq!(hours(900.0, 950, 1_000), 0.0);
        assert_eq!(hours(2_950.0, 950, 1_000), 2.0);
    }

    #[test]
    fn commits_by_git_take_nothing_of_the_budget() {
        let left = |commits: &str| {
            let text = format!("[lake]\nurl = \"lake\"\n[sync]\ncommits = \"{commits}\"");
            let config = Config::parse(&text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]);
            let next = Requests::from([("branches".into(), 1.0), ("commits".into(), 21.0)]);
            let plan = RepositoryPlan {
                usual_day: next.clone(),
                next,
                ..RepositoryPlan::default()
            };
            let plan = plan.by(&config.unwrap().sync);
            (total(&plan.next), total(&plan.usual_day))
        };
        assert_eq!(left("api"), (22.0, 22.0));
        assert_eq!(left("git"), (1.0, 1.0));
    }
}
