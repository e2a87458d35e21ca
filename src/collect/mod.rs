//! Collects: which pages to ask for, and what of them to keep.
//!
//! ```text
//! discover ─▶ assign rules ─▶ round after round, per repository, four side by side:
//!                                repositories ─▶ refs (branches, tags) ─▶ commits
//!                                             ─▶ pull_requests ─▶ activity ─▶ comments; commits
//!                                             ─▶ issues ─▶ comments, changes
//!                                             ─▶ pipelines, deployments ─▶ steps; environments
//!                             per workspace: workspace_members
//! ```
//!
//! Pages become segments, and each checkpoint is one line of the repository's state: the segments so far, and where every
//! walk goes on. There is a file per table, and each says what its key is and which time `since` cuts it by; `walk.rs`,
//! `newest_first.rs` and `children.rs` have the walks they share, `rounds.rs` says how far they go at a time, `stop.rs` when all of them end early.

mod branches;
mod budget;
mod checkpoint;
mod commits;
mod commits_git;
mod deployments;
mod discovery;
mod embedded;
mod entity;
mod environments;
mod freshness;
mod issue_changes;
mod issue_comments;
mod issues;
mod list_reader;
mod list_status;
mod lost;
mod newest_first;
mod open_state;
mod order;
mod pending_reader;
mod pipeline_steps;
mod pipelines;
pub mod plan;
mod pull_request_activity;
mod pull_request_comments;
mod pull_request_commits;
mod pull_requests;
mod refs;
mod report;
mod repositories;
mod repository;
mod repository_context;
mod repository_run;
mod rotation;
mod rounds;
mod sink;
mod stop;
mod tags;
mod whole_list;
mod workspace_members;

pub use budget::budgets;
pub use discovery::{Discovery, VanishedRepository, discover};
pub use report::{CollectReport, EntityReport, NewAbsence, RepositoryReport, Trouble};
pub use repositories::DiscoveredRepository;
pub use stop::{StopReason, StopSignal};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use crate::bitbucket::git::Git;
use crate::bitbucket::{Budgets, Client, ClientOptions, Limits};
use crate::config::{AssignedRepository, Config, EntityGroup, RepositoryIdentity, RuleSet};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::Lake;
use crate::secret::Masker;
use freshness::candidate;
use lost::Lost;
use plan::Planned;
use repository::RepositoryCollector;
use rounds::Round;

const SIDE_BY_SIDE: usize = 4;

/// What a collection needs besides the configuration.
pub struct CollectOptions<'a> {
    /// Names the segments of this run.
    pub run_id: &'a str,
    pub now: DateTime<Utc>,
    pub limits: Limits,
    /// Ends it before its work does.
    pub stop: &'a StopSignal,
    /// Whether what was read long ago is read again, to find what vanished.
    pub full: bool,
    /// Which repositories are this machine's; all without.
    pub shard: Option<Shard>,
    pub listener: &'a (dyn Fn(CollectEvent<'_>) + Send + Sync),
}

/// What a progress display wants to know.
#[derive(Clone, Copy)]
pub enum CollectEvent<'a> {
    Discovered {
        repositories: usize,
    },
    /// How many requests the run will take, as far as can be told.
    Planned {
        requests: f64,
    },
    /// `records`: kept of this page.
    Page {
        repository: &'a str,
        entity: &'a str,
        records: u64,
        client: &'a Client,
    },
    Finished {
        repository: &'a str,
    },
}

/// Everything a run shares.
pub(crate) struct RunContext<'a> {
    config: &'a Config,
    lake: &'a Lake,
    options: &'a CollectOptions<'a>,
    began: Instant,
    /// Commits are read from clones.
    git: Option<&'a Git>,
    /// What was collected and is not there any more.
    lost: &'a Lost,
}

impl RunContext<'_> {
    /// Bitbucket's clock, unless it is ahead of ours: a watermark may be too early, and never too late.
    fn clamp_to_now(&self, date: DateTime<Utc>) -> DateTime<Utc> {
        date.min(self.options.now + self.began.elapsed())
    }
}

/// Collects what the configuration selects into segments and state. The caller holds the lake's lock. Ends early, with
/// what it has, when [`CollectOptions::stop`] says so; a quota that is used up says so itself.
///
/// # Errors
/// Configuration mistakes that only Bitbucket can show, refused credentials, an exhausted quota, a lake that cannot
/// be written; with `skip_failed = false` the first entity that fails. What was collected until then stays in the
/// state.
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
    let budgets = budgets(lake, options.shard);
    let clients = clients_on(config, env, &limits, &budgets)?;
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
    let states: Vec<_> = lake
        .states()
        .await?
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    let lost = Lost::find(lake, &states).await?;
    let discovery = discover(config, clients, &states).await?;
    let assigned = assign(config, &discovery)?;
    (options.listener)(CollectEvent::Discovered {
        repositories: discovery.found.len(),
    });

    let context = RunContext {
        config,
        lake,
        options,
        began: Instant::now(),
        git: git.as_ref(),
        lost: &lost,
    };
    let ours = |gone: &&VanishedRepository| is_ours(options.shard, &gone.state.uuid);
    let gone: Vec<VanishedRepository> = discovery.gone.iter().filter(ours).cloned().collect();
    let known = states.iter().filter(|state| !state.is_workspace()).count();
    let mut report = CollectReport::default();
    report
        .repositories
        .extend(repositories::mark_gone(&context, &gone, known).await?);

    let members = members_wanted(config, &discovery, &assigned)?;
    for workspace in workspaces(&discovery, &members) {
        if !is_ours(options.shard, &workspace.workspace_uuid) {
            continue;
        }
        let client = client(clients, workspace)?;
        let members = RepositoryCollector::collect_workspace(&context, client, workspace).await?;
        report.repositories.push(members);
        (options.listener)(CollectEvent::Finished {
            repository: &workspace.workspace,
        });
    }
    let mut work = Vec::new();
    for discovered in &discovery.found {
        if !is_ours(options.shard, &discovered.found.uuid) {
            continue;
        }
        let Some(assigned) = find(&assigned, &discovered.found) else {
            continue;
        };
        let client = client(clients, discovered)?;
        let repo = RepositoryCollector::open(&context, client, discovered).await?;
        work.push((repo, rules(config, assigned)?, discovered));
    }
    let (mut work, resting) = take_turns(work, options.now);
    report.repositories.extend(resting);
    let planned = Planned::of(&context, &work, &report, clients).await?;
    (options.listener)(CollectEvent::Planned {
        requests: plan::total(&planned.all),
    });
    // Last night's are up to date after a request or two each; the first loads take all the time there is.
    work.sort_by_key(|(repo, ..)| repo.is_new());
    let mut round = Round::first(options.now);
    loop {
        work = one_round(&context, work, round).await?;
        let unfinished = work.iter().any(|(repo, ..)| repo.is_unfinished());
        let oldest = work.iter().map(|(repo, ..)| repo.since()).min();
        let is_last = oldest.is_none_or(|oldest| round.floor <= oldest);
        if !unfinished || is_last || options.stop.reason().is_some() {
            break;
        }
        round = round.next();
    }
    for (mut repo, ..) in work {
        repo.end_visit().await?;
        report.requests_left += repo.requests_left();
        report.repositories.push(repo.into_report());
    }
    planned.tell(&mut report);
    report.stopped = options.stop.reason().map(|reason| reason.to_string());
    report.finish(clients.values());
    report.git_operations = git.as_ref().map_or(0, Git::operations);
    Ok(report)
}

/// Without those that rest, where an hour does not have room for a visit to each; and the reports of these.
fn take_turns(work: Vec<Work<'_>>, now: DateTime<Utc>) -> (Vec<Work<'_>>, Vec<RepositoryReport>) {
    let mut by_connection: BTreeMap<String, Vec<Work<'_>>> = BTreeMap::new();
    for one in work {
        let connection = one.2.connection.clone();
        by_connection.entry(connection).or_default().push(one);
    }
    let (mut visited, mut rest) = (Vec::new(), Vec::new());
    for (_, of_one) in by_connection {
        let candidates: Vec<_> = of_one
            .iter()
            .map(|(repo, _, it)| candidate(repo.state(), it))
            .collect();
        let per_hour = of_one
            .first()
            .map_or(0, |(repo, ..)| repo.client().head_room().left);
        let resting = rotation::resting(&candidates, per_hour.into(), now);
        for (place, one) in of_one.into_iter().enumerate() {
            match resting.contains(&place) {
                true => rest.push(one.0.defer()),
                false => visited.push(one),
            }
        }
    }
    (visited, rest)
}

type Work<'a> = (
    RepositoryCollector<'a>,
    &'a RuleSet,
    &'a DiscoveredRepository,
);

/// Takes every repository as far down as the round goes; after the first round, those that are not there yet.
async fn one_round<'a>(
    context: &'a RunContext<'a>,
    work: Vec<Work<'a>>,
    round: Round,
) -> Result<Vec<Work<'a>>> {
    let mut after: Vec<(usize, Work<'a>)> = stream::iter(work.into_iter().enumerate())
        .map(|(n, (mut repo, rules, discovered))| async move {
            if round.refreshes || repo.is_unfinished() {
                repo.collect(rules, discovered, round).await?;
                let repository = &discovered.found.full_name;
                (context.options.listener)(CollectEvent::Finished { repository });
            }
            Ok::<_, Error>((n, (repo, rules, discovered)))
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    after.sort_by_key(|(n, _)| *n);
    Ok(after.into_iter().map(|(_, work)| work).collect())
}

/// One of several machines that collect for one lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    pub of: u32,
}

/// The shard of a repository or workspace depends on its uuid alone, so that machines need not talk.
fn is_ours(shard: Option<Shard>, uuid: &str) -> bool {
    let Some(Shard { number, of }) = shard else {
        return true;
    };
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in uuid.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash % u64::from(of.max(1)) == u64::from(number.saturating_sub(1))
}

/// The clients of all connections that a selection uses, by name; reads their secrets.
pub fn clients(
    config: &Config,
    env: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<BTreeMap<String, Client>> {
    clients_on(config, env, limits, &Budgets::default())
}

/// The same, spending from these budgets.
pub fn clients_on(
    config: &Config,
    env: &BTreeMap<String, String>,
    limits: &Limits,
    budgets: &Budgets,
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
    let masker = Masker::of(of_the_environment(env));
    connections
        .map(|connection| {
            let options = ClientOptions::from_connection(connection, env)?;
            let client = Client::new(ClientOptions {
                limits: limits.clone(),
                budgets: budgets.clone(),
                masker: masker.clone(),
                ..options
            })?;
            Ok((connection.name.clone(), client))
        })
        .collect()
}

/// Secrets of the environment that no connection uses: those of the lake's bucket.
fn of_the_environment(env: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    const NAMES: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    // A stand-in for S3 takes any word, and that may be one of ordinary texts.
    const SHORTEST: usize = 16;
    let values = NAMES.iter().filter_map(|name| env.get(*name));
    values.map(String::as_str).filter(|it| it.len() >= SHORTEST)
}

/// Knows the credentials of the configuration that can be read now, for who needs none: the others are left out.
pub fn masker(config: &Config, env: &BTreeMap<String, String>) -> Masker {
    let masker = Masker::of(of_the_environment(env));
    for connection in &config.connections {
        if let Ok(options) = ClientOptions::from_connection(connection, env) {
            masker.learn(options.secrets().iter().map(String::as_str));
        }
    }
    masker
}

fn assign(config: &Config, discovery: &Discovery) -> Result<Vec<AssignedRepository>> {
    let found = discovery
        .found
        .iter()
        .map(|discovered| discovered.found.clone());
    let gone = discovery.gone.iter().map(VanishedRepository::found);
    config.assign(&found.chain(gone).collect::<Vec<_>>())
}

fn find<'a>(
    assigned: &'a [AssignedRepository],
    found: &RepositoryIdentity,
) -> Option<&'a AssignedRepository> {
    assigned.iter().find(|assigned| assigned.found == *found)
}

fn rules<'a>(config: &'a Config, assigned: &AssignedRepository) -> Result<&'a RuleSet> {
    config.rules.get(&assigned.rules).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a rule set vanished").with("rules", &assigned.rules)
    })
}

fn client<'a>(
    clients: &'a BTreeMap<String, Client>,
    of: &DiscoveredRepository,
) -> Result<&'a Client> {
    clients.get(&of.connection).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "a connection has no client")
            .with("connection", &of.connection)
    })
}

/// The workspaces, by connection and slug, with a repository whose rules ask for accounts.
fn members_wanted(
    config: &Config,
    discovery: &Discovery,
    assigned: &[AssignedRepository],
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
) -> impl Iterator<Item = &'a DiscoveredRepository> {
    let mut first = BTreeMap::new();
    for discovered in &discovery.found {
        let key = (discovered.found.connection_id, discovered.workspace.clone());
        if wanted.contains(&key) {
            first.entry(key).or_insert(discovered);
        }
    }
    first.into_values()
}
