//! One repository's collection: its lists in order, and what each ending means for its state.
//!
//! ```text
//! ending           never returned data      returned data before
//! all pages        complete                 complete
//! part of them     loading: goes on in the next round, or the next run
//! 403/404/410      absent, with reason      stale since now: its rows stay
//! an error         failed: its rows stay, the other lists go on
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::StatusCode;

use super::checkpoint::CheckpointStore;
use super::report::{EntityReport, RepositoryReport};
use super::repositories::DiscoveredRepository;
use super::rotation::{Candidate, LISTS_OF_A_VISIT};
use super::rounds::Round;
use super::walk::ListOutcome;
use super::{
    RunContext, commits, deployments, environments, issue_changes, issue_comments, issues,
    pipeline_steps, pipelines, pull_request_activity, pull_request_comments, pull_request_commits,
    pull_requests, refs::Refs, repositories, workspace_members,
};
use crate::bitbucket::{ApiTarget, Client, Unavailable};
use crate::config::{EntityGroup, RuleSet, Since, StepsRule};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{FORMAT_VERSION, ListState, ListStatus, ObjectVersion, RepositoryState, Visit};

/// How long what is not there is not asked for again, once it was missed for a day: Bitbucket has said so of whole
/// workspaces by mistake.
const ABSENT_FOR: TimeDelta = TimeDelta::days(7);
const MISSED_FOR: TimeDelta = TimeDelta::days(1);

/// The repository or workspace being collected.
pub(super) struct Site<'a> {
    pub(super) context: &'a RunContext<'a>,
    pub(super) client: &'a Client,
    pub(super) connection_id: i64,
    /// The workspace's slug.
    pub(super) workspace: String,
    /// `workspace/slug`, or the workspace's slug alone.
    pub(super) full_name: String,
    pub(super) uuid: String,
    /// Records older than this are not wanted, where an entity is bounded at all.
    pub(super) since: DateTime<Utc>,
}

impl Site<'_> {
    pub(super) fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    pub(super) fn target(&self) -> ApiTarget {
        ApiTarget::full_name(&self.full_name)
    }
}

/// A repository or workspace under collection.
pub(super) struct Repo<'a> {
    pub(super) site: Site<'a>,
    pub(super) checkpoints: CheckpointStore<'a>,
    pub(super) round: Round,
    /// Where its branches and tags are, once both lists are read.
    pub(super) heads: Option<BTreeSet<String>>,
    /// Pipelines that this run saw, and whether they have ended.
    pub(super) pipelines: HashMap<String, bool>,
    /// When the last thing happened to each pull request that this run was told of.
    pub(super) told: HashMap<i64, DateTime<Utc>>,
    /// Whose steps are wanted.
    pub(super) steps: StepsRule,
    /// Environments that this run's deployments name.
    pub(super) environments: BTreeSet<String>,
    report: RepositoryReport,
    /// Why nothing more is asked: the host does not answer.
    unreachable: Option<String>,
}

/// How a list ended, for the lists of its records.
enum Ended {
    Read,
    Absent(Unavailable),
    Failed(String),
}

impl<'a> Repo<'a> {
    pub(super) async fn open(
        context: &'a RunContext<'a>,
        client: &'a Client,
        discovered: &DiscoveredRepository,
    ) -> Result<Self> {
        let found = &discovered.found;
        let state = open_state(context, found.connection_id, &found.uuid, &found.full_name);
        let (mut state, saved) = state.await?;
        state.bitbucket_project.clone_from(&found.bitbucket_project);
        let workspace = &discovered.workspace;
        Ok(Self::new(context, client, workspace, state, saved))
    }

    fn new(
        context: &'a RunContext<'a>,
        client: &'a Client,
        workspace: &str,
        state: RepositoryState,
        saved: Option<(RepositoryState, ObjectVersion)>,
    ) -> Self {
        Self {
            site: Site {
                context,
                client,
                connection_id: state.connection_id,
                workspace: workspace.to_owned(),
                full_name: state.full_name.clone(),
                uuid: state.uuid.clone(),
                since: state.since,
            },
            report: RepositoryReport {
                connection: client.connection().to_owned(),
                repository: state.full_name.clone(),
                uuid: state.uuid.clone(),
                ..RepositoryReport::default()
            },
            checkpoints: CheckpointStore::new(context.lake, state, saved),
            round: Round::first(context.options.now),
            heads: None,
            pipelines: HashMap::new(),
            told: HashMap::new(),
            steps: StepsRule::None,
            environments: BTreeSet::new(),
            unreachable: None,
        }
    }

    /// Collects the lists that the rules ask for, as far as the round goes.
    pub(super) async fn collect(
        &mut self,
        rules: &RuleSet,
        discovered: &DiscoveredRepository,
        round: Round,
    ) -> Result<()> {
        self.round = round;
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        if round.refreshes {
            self.run("repositories", async |repo, report| {
                repositories::store(repo, discovered, report).await
            })
            .await?;
        }
        if wants(EntityGroup::Code) {
            self.code(discovered).await?;
        }
        if wants(EntityGroup::Review) {
            let list = self.run("pull_requests", pull_requests::collect).await?;
            // Tells of most comments.
            self.child(
                &list,
                "pull_request_activity",
                pull_request_activity::collect,
            )
            .await?;
            self.child(
                &list,
                "pull_request_comments",
                pull_request_comments::collect,
            )
            .await?;
            self.child(&list, "pull_request_commits", pull_request_commits::collect)
                .await?;
        }
        if wants(EntityGroup::Issues) {
            let list = self
                .run("issues", async |repo, report| {
                    issues::collect(repo, discovered.has_issues, report).await
                })
                .await?;
            self.child(&list, "issue_comments", issue_comments::collect)
                .await?;
            self.child(&list, "issue_changes", issue_changes::collect)
                .await?;
        }
        if wants(EntityGroup::Cicd) {
            self.steps = rules.effective_steps();
            let list = self.run("pipelines", pipelines::collect).await?;
            // Where there never were pipelines, nothing was deployed by one.
            let shared = match list {
                Ended::Absent(_) if !self.checkpoints.ever_returned("pipelines") => &list,
                _ => &Ended::Read,
            };
            self.child(shared, "deployments", deployments::collect)
                .await?;
            if matches!(list, Ended::Read) && round.refreshes {
                self.run("pipelines", pipelines::look_again).await?;
            }
            if self.steps != StepsRule::None {
                self.child(&list, "pipeline_steps", pipeline_steps::collect)
                    .await?;
            }
            if round.refreshes {
                self.child(shared, "environments", environments::collect)
                    .await?;
            }
        }
        self.checkpoints.put().await
    }

    /// Branches, tags and commits, unless the repository says that nothing was pushed since they were read.
    async fn code(&mut self, discovered: &DiscoveredRepository) -> Result<()> {
        let updated_on = discovered.updated_on;
        let full = self.site.context.options.full;
        let stands_still = is_unmoved(&self.checkpoints.state, discovered) && !full;
        let mut nothing_there = false;
        if self.round.refreshes && stands_still {
            for table in ["branches", "tags", "commits"] {
                let state = self.checkpoints.entity(table);
                if let Some(through) = state.complete_through {
                    state.complete_through = discovered.date.max(Some(through));
                    let unmoved = Ok(ListOutcome::Complete);
                    self.settle(table, unmoved, EntityReport::default()).await?;
                } else {
                    self.stays(table);
                }
            }
        } else if self.round.refreshes {
            self.checkpoints.state.refs_as_of = None;
            let mut refs = Refs::default();
            let branches = self
                .run("branches", async |repo, report| {
                    refs.branches(repo, report).await
                })
                .await?;
            let apart = refs.apart;
            let tags =
                async |repo: &mut Self, report: &mut EntityReport| refs.tags(repo, report).await;
            let tags = match apart {
                true => self.run("tags", tags).await?,
                false => self.child(&branches, "tags", tags).await?,
            };
            let heads = refs.heads;
            let known = matches!((&branches, &tags), (Ended::Read, Ended::Read));
            nothing_there = known && heads.is_empty();
            self.heads = Some(heads).filter(|heads| known && !heads.is_empty());
        }
        if !stands_still || self.checkpoints.entity("commits").deep.is_some() {
            let commits = self.run("commits", commits::collect).await?;
            nothing_there &= !matches!(commits, Ended::Failed(_));
        }
        let stopped = self.site.context.options.stop.reason().is_some();
        if self.round.refreshes && !stopped && (nothing_there || self.has_all_heads()) {
            self.checkpoints.state.refs_as_of = updated_on;
        }
        Ok(())
    }

    /// Whether every commit that this run's refs name is here or on its way.
    fn has_all_heads(&mut self) -> bool {
        let commits = self.checkpoints.entity("commits");
        // A walk from no heads in particular is one over everything.
        let on_its_way = |head: &String| {
            let walk = commits.deep.as_ref();
            walk.is_some_and(|walk| walk.heads.is_empty() || walk.heads.contains(head))
        };
        let heads = self.heads.as_ref();
        heads.is_some_and(|heads| heads.difference(&commits.heads).all(on_its_way))
    }

    /// Collects a workspace's members. `discovered` is any repository of it.
    pub(super) async fn workspace(
        context: &'a RunContext<'a>,
        client: &'a Client,
        discovered: &DiscoveredRepository,
    ) -> Result<RepositoryReport> {
        let (id, slug) = (discovered.found.connection_id, &discovered.workspace);
        let (state, saved) = open_state(context, id, &discovered.workspace_uuid, slug).await?;
        let mut repo = Self::new(context, client, slug, state, saved);
        repo.run("workspace_members", workspace_members::collect)
            .await?;
        repo.checkpoints.put().await?;
        Ok(repo.report)
    }

    /// Whether nothing of it was ever collected.
    pub(super) fn is_new(&self) -> bool {
        let mut entities = self.checkpoints.state.entities.values();
        !entities.any(|entity| entity.ever_returned() && entity.deep.is_none())
    }

    /// Whether a walk was paused or something is still queued.
    pub(super) fn is_unfinished(&self) -> bool {
        let entities = self.checkpoints.state.entities.values();
        let mut open = entities.filter(|entity| entity.status != ListStatus::Failed);
        open.any(|entity| entity.deep.is_some())
    }

    /// Leaves it out of this run; what is known of it stays.
    pub(super) fn rest(mut self) -> RepositoryReport {
        let tables: Vec<_> = self.checkpoints.state.entities.keys().cloned().collect();
        for table in tables {
            self.stays(&table);
        }
        self.report.rests = true;
        self.report
    }

    /// Remembers what this visit brought and cost, for the next run to plan by.
    pub(super) async fn end_visit(&mut self) -> Result<()> {
        let options = self.site.context.options;
        if options.stop.reason().is_some() {
            return Ok(());
        }
        let entities = || self.report.entities.values();
        self.checkpoints.state.last_visit = Some(Visit {
            on: options.now,
            requests: entities().map(|report| report.requests).sum(),
            quiet: entities().all(|report| report.news == 0),
        });
        self.checkpoints.put().await
    }

    pub(super) fn requests_left(&self) -> u64 {
        self.checkpoints.state.requests_left()
    }

    pub(super) fn into_report(self) -> RepositoryReport {
        self.report
    }

    /// Runs one collector and settles its ending.
    async fn run(
        &mut self,
        table: &'static str,
        collect: impl AsyncFnOnce(&mut Self, &mut EntityReport) -> Result<ListOutcome>,
    ) -> Result<Ended> {
        if let Some(ended) = self.ended_before(table) {
            return Ok(ended);
        }
        let mut report = self.report.entities.remove(table).unwrap_or_default();
        let outcome = match &self.unreachable {
            Some(reason) => Err(Error::new(ErrorKind::Unreachable, reason.clone())),
            None if self.site.context.options.stop.reason().is_some() => Ok(ListOutcome::Stopped),
            None => collect(self, &mut report).await,
        };
        self.settle(table, outcome, report).await
    }

    /// Reports what is known of a list that is not asked this time.
    fn stays(&mut self, table: &str) {
        let state = self.checkpoints.entity(table);
        let report = EntityReport {
            status: Some(state.status),
            reason: state.reason.clone(),
            ..EntityReport::default()
        };
        self.report.entities.insert(table.to_owned(), report);
    }

    /// What is not there, or failed, in this run's first round is not asked again in its later ones; and what was not
    /// there lately, not every night.
    fn ended_before(&mut self, table: &'static str) -> Option<Ended> {
        let options = self.site.context.options;
        if self.round.refreshes {
            let state = self.checkpoints.entity(table);
            if options.full || !is_absent_still(state, options.now) {
                return None;
            }
            self.stays(table);
        }
        let report = self.report.entities.get(table)?;
        let reason = report.reason.clone().unwrap_or_default();
        match report.status? {
            ListStatus::Unavailable | ListStatus::Stale => Some(Ended::Absent(Unavailable::new(
                StatusCode::NOT_FOUND,
                reason,
            ))),
            ListStatus::Failed => Some(Ended::Failed(reason)),
            ListStatus::Complete | ListStatus::Loading => None,
        }
    }

    /// The same for the lists of another list's records, which share its fate when it has none.
    async fn child(
        &mut self,
        parents: &Ended,
        table: &'static str,
        collect: impl AsyncFnOnce(&mut Self, &mut EntityReport) -> Result<ListOutcome>,
    ) -> Result<Ended> {
        let outcome = match parents {
            Ended::Read => return self.run(table, collect).await,
            Ended::Absent(absence) => Ok(ListOutcome::Unavailable(absence.clone())),
            Ended::Failed(reason) => Err(Error::new(ErrorKind::Api, reason.clone())),
        };
        let report = self.report.entities.remove(table).unwrap_or_default();
        self.settle(table, outcome, report).await
    }

    /// Writes an ending into state and report.
    async fn settle(
        &mut self,
        table: &'static str,
        outcome: Result<ListOutcome>,
        mut report: EntityReport,
    ) -> Result<Ended> {
        let now = self.site.context.options.now;
        let since = self.site.since;
        report.add(self.checkpoints.beside.remove(table).unwrap_or_default());
        let state = self.checkpoints.entity(table);
        let mut failure = None;
        let ended = match outcome {
            // Nobody looked: what was known of it is still what is known.
            Ok(ListOutcome::Stopped) if state.reason.is_some() => Ended::Read,
            Ok(ListOutcome::Complete | ListOutcome::Partial | ListOutcome::Stopped) => {
                let loading = !state.ever_returned()
                    || state.deep.as_ref().is_some_and(|walk| !walk.reconcile)
                    || state.complete_from.is_some_and(|from| from > since);
                (state.status, state.reason) = match (loading, state.complete_from) {
                    (false, _) => (ListStatus::Complete, None),
                    (true, Some(from)) => {
                        let from = from.to_rfc3339_opts(SecondsFormat::Secs, true);
                        let reason = format!("still loading: complete from {from} on");
                        (ListStatus::Loading, Some(reason))
                    }
                    (true, None) => (ListStatus::Loading, Some("still loading".to_owned())),
                };
                state.stale_since = None;
                (state.absent_since, state.absent_on) = (None, None);
                Ended::Read
            }
            Ok(ListOutcome::Unavailable(absence)) => {
                state.reason = Some(absence.reason.clone());
                if state.ever_returned() {
                    state.status = ListStatus::Stale;
                    state.stale_since.get_or_insert(now);
                } else {
                    if state.status != ListStatus::Unavailable {
                        report.newly_absent = Some(absence.status.as_u16());
                    }
                    state.status = ListStatus::Unavailable;
                    // A permission may be given any day; what the repository does not have rarely comes.
                    let is_gone =
                        matches!(absence.status, StatusCode::NOT_FOUND | StatusCode::GONE);
                    state.absent_on = is_gone.then_some(now);
                    state.absent_since = state.absent_since.filter(|_| is_gone).or(state.absent_on);
                }
                Ended::Absent(absence)
            }
            Err(error) => {
                let reason = error.to_string();
                state.status = ListStatus::Failed;
                state.reason = Some(reason.clone());
                // A web page in the place of one list says nothing about the others; a silent host does.
                if error.kind() == ErrorKind::Unreachable && error.context("host").is_some() {
                    self.unreachable.get_or_insert_with(|| reason.clone());
                }
                failure = Some(error);
                Ended::Failed(reason)
            }
        };
        let state = self.checkpoints.entity(table);
        report.status = Some(state.status);
        report.reason.clone_from(&state.reason);
        self.report.entities.insert(table.to_owned(), report);
        let skip_failed = self.site.context.config.sync.skip_failed;
        match failure {
            Some(error) if !skip_failed || ends_the_run(error.kind()) => {
                self.checkpoints.put().await?;
                Err(error)
            }
            Some(error) => {
                // The report's reader is warned once, with all that depends on it.
                tracing::debug!(repository = %self.site.full_name, entity = table, "{error}");
                Ok(ended)
            }
            None => Ok(ended),
        }
    }
}

/// How it competes for the hour; cold: nothing came of its last visit, nothing was pushed since, nothing waits.
pub(super) fn candidate(state: &RepositoryState, discovered: &DiscoveredRepository) -> Candidate {
    let waits = |entity: &ListState| {
        let walks = entity.refresh.is_some() || entity.deep.is_some();
        walks || entity.is_lost || !entity.queue.is_empty()
    };
    let cold = is_unmoved(state, discovered) && !state.entities.values().any(waits);
    let last = state.last_visit.as_ref();
    Candidate {
        requests: last.map_or(0, |visit| visit.requests).max(LISTS_OF_A_VISIT),
        cold_since: last
            .filter(|visit| cold && visit.quiet)
            .map(|visit| visit.on),
    }
}

/// Whether nothing was pushed since its branches, tags and commits were read.
pub(super) fn is_unmoved(state: &RepositoryState, discovered: &DiscoveredRepository) -> bool {
    discovered.updated_on.is_some() && state.refs_as_of == discovered.updated_on
}

/// Whether a list was found missing so lately that it is not asked for again.
pub(super) fn is_absent_still(known: &ListState, now: DateTime<Utc>) -> bool {
    let Some((since, on)) = known.absent_since.zip(known.absent_on) else {
        return false;
    };
    let is_certain = on - since >= MISSED_FOR;
    known.status == ListStatus::Unavailable && is_certain && now - on < ABSENT_FOR
}

/// The state, new or as left by the last run, and as it is on the lake. `since` moves only when its setting does.
async fn open_state(
    context: &RunContext<'_>,
    connection_id: i64,
    uuid: &str,
    full_name: &str,
) -> Result<(RepositoryState, Option<(RepositoryState, ObjectVersion)>)> {
    let since = context.config.sync.since;
    let now = context.options.now;
    let setting = setting(since);
    let saved = context.lake.state(connection_id, uuid).await?;
    let known = saved.as_ref().map(|(state, _)| state.clone());
    let mut state = known.unwrap_or_else(|| RepositoryState {
        format_version: FORMAT_VERSION,
        connection_id,
        uuid: uuid.to_owned(),
        full_name: full_name.to_owned(),
        published_as: None,
        collected_by: None,
        bitbucket_project: None,
        since: since.resolve(now),
        since_setting: setting.clone(),
        refs_as_of: None,
        last_visit: None,
        missing_since: None,
        deleted: false,
        entities: BTreeMap::new(),
    });
    if state.since_setting != setting {
        state.since = since.resolve(now);
        state.since_setting = setting;
    }
    context.lost.start_over(&mut state)?;
    state.full_name = full_name.to_owned();
    state.missing_since = None;
    state.deleted = false;
    state.collected_by = Some(context.options.run_id.to_owned());
    Ok((state, saved))
}

/// The setting as text: equal exactly when the configuration says the same.
fn setting(since: Since) -> String {
    match since {
        Since::Date(date) => date.to_string(),
        Since::Days(days) => format!("{days} days"),
        Since::Months(months) => format!("{months} months"),
    }
}

/// Errors that the next list would meet as well, or that are no list's fault.
fn ends_the_run(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Api | ErrorKind::Unreachable)
}
