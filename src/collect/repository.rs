//! The collection of one repository: its lists in order, and what the outcome of each means for its children and for the run.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::checkpoint::CheckpointStore;
use super::context::RunContext;
use super::discovered::DiscoveredRepository;
use super::freshness::{is_known_unavailable, is_unmoved};
use super::list_reader::ListOutcome;
use super::list_status::{ParentOutcome, record_outcome};
use super::open_state::open_state;
use super::report::{EntityReport, RepositoryReport};
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::rounds::Round;
use super::{
    commits, deployments, environments, issue_changes, issue_comments, issues, pipeline_steps,
    pipelines, pull_request_activity, pull_request_comments, pull_request_commits, pull_requests,
    refs::RefLists, repositories, workspace_members,
};
use crate::bitbucket::Client;
use crate::config::{EntityGroup, RuleSet, StepsRule};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{ListStatus, ObjectVersion, RepositoryState, Visit};
use crate::schema::SourceTable;

/// Collects the lists of one repository or workspace.
pub(super) struct RepositoryCollector<'a> {
    run: RepositoryRun<'a>,
    report: RepositoryReport,
    /// Why no more requests are sent: the host does not answer.
    unreachable: Option<String>,
}

impl<'a> RepositoryCollector<'a> {
    /// Open the repository's state; send no request.
    pub(super) fn open(
        context: &'a RunContext<'a>,
        client: &'a Client,
        discovered: &DiscoveredRepository,
    ) -> Result<Self> {
        let found = &discovered.found;
        let (mut state, saved) =
            open_state(context, found.connection_id, &found.uuid, &found.full_name)?;
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
        let report = RepositoryReport {
            connection: client.connection().to_owned(),
            repository: state.full_name.clone(),
            uuid: state.uuid.clone(),
            ..RepositoryReport::default()
        };
        let repository = RepositoryContext {
            run: context,
            client,
            connection_id: state.connection_id,
            workspace: workspace.to_owned(),
            full_name: state.full_name.clone(),
            uuid: state.uuid.clone(),
            since: state.since,
        };
        let run = RepositoryRun {
            repository,
            checkpoints: CheckpointStore::new(context.lake, state, saved),
            round: Round::first(context.options.now),
            heads: None,
            pipelines: HashMap::new(),
            last_activity: HashMap::new(),
            steps: StepsRule::None,
            environments: BTreeSet::new(),
        };
        Self {
            run,
            report,
            unreachable: None,
        }
    }

    /// The oldest wanted time.
    pub(super) fn since(&self) -> DateTime<Utc> {
        self.run.repository.since
    }

    pub(super) fn state(&self) -> &RepositoryState {
        &self.run.checkpoints.state
    }

    /// Collect the lists that the rules ask for, as far as the round goes.
    pub(super) async fn collect(
        &mut self,
        rules: &RuleSet,
        discovered: &DiscoveredRepository,
        round: Round,
    ) -> Result<()> {
        self.run.round = round;
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        if round.is_first {
            self.collect_list(SourceTable::Repositories, async |run, report| {
                repositories::store(run, discovered, report).await
            })
            .await?;
        }
        if wants(EntityGroup::Code) {
            self.collect_code(discovered).await?;
        }
        if wants(EntityGroup::Review) {
            self.collect_review().await?;
        }
        if wants(EntityGroup::Issues) {
            self.collect_issues(discovered.has_issues).await?;
        }
        if wants(EntityGroup::Cicd) {
            self.run.steps = rules.effective_steps();
            self.collect_cicd().await?;
        }
        self.run.checkpoints.put().await
    }

    /// Collect branches, tags and commits, unless the repository says that nothing was pushed since they were read.
    async fn collect_code(&mut self, discovered: &DiscoveredRepository) -> Result<()> {
        let reads_refs = self.run.round.is_first;
        let is_full_refresh = self.run.repository.is_full_refresh();
        let is_unmoved = is_unmoved(self.state(), discovered) && !is_full_refresh;
        let mut has_no_refs = false;
        if reads_refs && is_unmoved {
            self.keep_code(discovered.date).await?;
        } else if reads_refs {
            has_no_refs = self.collect_refs().await?;
        }
        if !is_unmoved
            || self
                .run
                .checkpoints
                .list(SourceTable::Commits)
                .backfill
                .is_some()
        {
            let commits = self
                .collect_list(SourceTable::Commits, commits::collect)
                .await?;
            has_no_refs &= !matches!(commits, ParentOutcome::Failed(_));
        }
        let is_stopped = self.run.repository.is_stopped();
        if reads_refs && !is_stopped && (has_no_refs || self.has_all_heads()) {
            self.run.checkpoints.state.refs_as_of = discovered.updated_on;
        }
        Ok(())
    }

    /// Move the watermarks of branches, tags and commits to the time at which the repository was unmoved.
    async fn keep_code(&mut self, date: Option<DateTime<Utc>>) -> Result<()> {
        for table in [
            SourceTable::Branches,
            SourceTable::Tags,
            SourceTable::Commits,
        ] {
            let Some(last_complete) = self.run.checkpoints.list(table).complete_through else {
                self.report_kept(table.as_str());
                continue;
            };
            let list = self.run.checkpoints.list_mut(table);
            list.complete_through = date.max(Some(last_complete));
            let outcome = Ok(ListOutcome::Complete);
            self.finish_list(table, outcome, EntityReport::default())
                .await?;
        }
        Ok(())
    }

    /// Return whether both lists were read and are empty.
    async fn collect_refs(&mut self) -> Result<bool> {
        self.run.checkpoints.state.refs_as_of = None;
        let mut refs = RefLists::default();
        let branches = self
            .collect_list(SourceTable::Branches, async |run, report| {
                refs.collect_branches(run, report).await
            })
            .await?;
        let has_separate_lists = refs.has_separate_lists;
        let collect_tags = async |run: &mut RepositoryRun<'_>, report: &mut EntityReport| {
            refs.collect_tags(run, report).await
        };
        let tags = match has_separate_lists {
            true => self.collect_list(SourceTable::Tags, collect_tags).await?,
            false => {
                self.collect_children(&branches, SourceTable::Tags, collect_tags)
                    .await?
            }
        };
        let are_read = matches!(
            (&branches, &tags),
            (ParentOutcome::Read, ParentOutcome::Read)
        );
        let has_no_refs = are_read && refs.heads.is_empty();
        self.run.heads = Some(refs.heads).filter(|heads| are_read && !heads.is_empty());
        Ok(has_no_refs)
    }

    /// Whether every commit that this run's refs name is collected, or in the range that is being read.
    fn has_all_heads(&self) -> bool {
        let commits = self.run.checkpoints.list(SourceTable::Commits);
        // A range without heads is the whole list.
        let is_in_range = |head: &String| {
            let cursor = commits.backfill.as_ref();
            cursor.is_some_and(|cursor| cursor.heads.is_empty() || cursor.heads.contains(head))
        };
        let heads = self.run.heads.as_ref();
        heads.is_some_and(|heads| heads.difference(commits.heads()).all(is_in_range))
    }

    async fn collect_review(&mut self) -> Result<()> {
        let list = self
            .collect_list(SourceTable::PullRequests, pull_requests::collect)
            .await?;
        // Activity comes first: it embeds most comments.
        self.collect_children(
            &list,
            SourceTable::PullRequestActivity,
            pull_request_activity::collect,
        )
        .await?;
        self.collect_children(
            &list,
            SourceTable::PullRequestComments,
            pull_request_comments::collect,
        )
        .await?;
        self.collect_children(
            &list,
            SourceTable::PullRequestCommits,
            pull_request_commits::collect,
        )
        .await?;
        Ok(())
    }

    async fn collect_issues(&mut self, has_tracker: bool) -> Result<()> {
        let list = self
            .collect_list(SourceTable::Issues, async |run, report| {
                issues::collect(run, has_tracker, report).await
            })
            .await?;
        self.collect_children(&list, SourceTable::IssueComments, issue_comments::collect)
            .await?;
        self.collect_children(&list, SourceTable::IssueChanges, issue_changes::collect)
            .await?;
        Ok(())
    }

    async fn collect_cicd(&mut self) -> Result<()> {
        let is_first = self.run.round.is_first;
        let list = self
            .collect_list(SourceTable::Pipelines, pipelines::collect)
            .await?;
        // A repository without pipelines has no deployments: pipelines make them.
        let had_pipelines = self
            .run
            .checkpoints
            .list(SourceTable::Pipelines)
            .ever_returned();
        let parents = match list {
            ParentOutcome::Unavailable(_) if !had_pipelines => &list,
            _ => &ParentOutcome::Read,
        };
        self.collect_children(parents, SourceTable::Deployments, deployments::collect)
            .await?;
        if matches!(list, ParentOutcome::Read) && is_first {
            self.collect_list(SourceTable::Pipelines, pipelines::collect_pending)
                .await?;
        }
        if self.run.steps != StepsRule::None {
            self.collect_children(&list, SourceTable::PipelineSteps, pipeline_steps::collect)
                .await?;
        }
        if is_first {
            self.collect_children(parents, SourceTable::Environments, environments::collect)
                .await?;
        }
        Ok(())
    }

    /// Collect a workspace's members. `discovered` is any repository of it.
    pub(super) async fn collect_workspace(
        context: &'a RunContext<'a>,
        client: &'a Client,
        discovered: &DiscoveredRepository,
    ) -> Result<RepositoryReport> {
        let (id, slug) = (discovered.found.connection_id, &discovered.workspace);
        let (state, saved) = open_state(context, id, &discovered.workspace_uuid, slug)?;
        let mut workspace = Self::new(context, client, slug, state, saved);
        workspace
            .collect_list(SourceTable::WorkspaceMembers, workspace_members::collect)
            .await?;
        workspace.run.checkpoints.put().await?;
        Ok(workspace.report)
    }

    /// Whether no list of the repository was ever read whole.
    pub(super) fn is_new(&self) -> bool {
        let mut lists = self.state().entities.values();
        !lists.any(|list| list.ever_returned() && list.backfill.is_none())
    }

    /// Whether a later round reads on.
    pub(super) fn is_unfinished(&self) -> bool {
        let lists = self.state().entities.values();
        let mut open = lists.filter(|list| list.status != ListStatus::Failed);
        open.any(|list| list.backfill.is_some())
    }

    /// Skip the repository in this run and report its state.
    pub(super) fn defer(mut self) -> RepositoryReport {
        let tables: Vec<_> = self.state().entities.keys().cloned().collect();
        for table in tables {
            self.report_kept(&table);
        }
        self.report.deferred = true;
        self.report
    }

    /// Record the cost and the findings of this visit, by which the next run plans.
    pub(super) async fn end_visit(&mut self) -> Result<()> {
        if self.run.repository.is_stopped() {
            return Ok(());
        }
        let lists = || self.report.entities.values();
        self.run.checkpoints.state.last_visit = Some(Visit {
            on: self.run.repository.now(),
            requests: lists().map(|report| report.requests).sum(),
            quiet: lists().all(|report| report.new_records == 0),
        });
        self.run.checkpoints.put().await
    }

    pub(super) fn into_report(self) -> RepositoryReport {
        self.report
    }

    /// Collect one list and record its outcome.
    async fn collect_list(
        &mut self,
        table: SourceTable,
        collect: impl AsyncFnOnce(&mut RepositoryRun<'a>, &mut EntityReport) -> Result<ListOutcome>,
    ) -> Result<ParentOutcome> {
        if let Some(outcome) = self.known_outcome(table) {
            return Ok(outcome);
        }
        let mut report = self
            .report
            .entities
            .remove(table.as_str())
            .unwrap_or_default();
        let outcome = match &self.unreachable {
            Some(reason) => Err(Error::new(ErrorKind::Unreachable, reason.clone())),
            None if self.run.repository.is_stopped() => Ok(ListOutcome::Stopped),
            None => collect(&mut self.run, &mut report).await,
        };
        self.finish_list(table, outcome, report).await
    }

    /// Collect the lists of another list's records. They have the outcome of that list when it has no records.
    async fn collect_children(
        &mut self,
        parents: &ParentOutcome,
        table: SourceTable,
        collect: impl AsyncFnOnce(&mut RepositoryRun<'a>, &mut EntityReport) -> Result<ListOutcome>,
    ) -> Result<ParentOutcome> {
        let outcome = match parents {
            ParentOutcome::Read => return self.collect_list(table, collect).await,
            ParentOutcome::Unavailable(reason) => Ok(ListOutcome::Unavailable(reason.clone())),
            ParentOutcome::Failed(reason) => Err(Error::new(ErrorKind::Api, reason.clone())),
        };
        let report = self
            .report
            .entities
            .remove(table.as_str())
            .unwrap_or_default();
        self.finish_list(table, outcome, report).await
    }

    /// The outcome of a list that is not requested: it failed or was unavailable in an earlier round of this run, or it was
    /// unavailable in recent runs.
    fn known_outcome(&mut self, table: SourceTable) -> Option<ParentOutcome> {
        if self.run.round.is_first {
            let (repository, list) = (&self.run.repository, self.run.checkpoints.list(table));
            if repository.is_full_refresh() || !is_known_unavailable(list, repository.now()) {
                return None;
            }
            self.report_kept(table.as_str());
        }
        ParentOutcome::of_report(self.report.entities.get(table.as_str())?)
    }

    /// Report the state of a list that is not requested in this run.
    fn report_kept(&mut self, table: &str) {
        let state = self.run.checkpoints.list(table);
        let report = EntityReport {
            status: Some(state.status),
            reason: state.reason.clone(),
            ..EntityReport::default()
        };
        self.report.entities.insert(table.to_owned(), report);
    }

    /// Write the outcome of a list into state and report. Return an error that ends the run.
    async fn finish_list(
        &mut self,
        table: SourceTable,
        outcome: Result<ListOutcome>,
        mut report: EntityReport,
    ) -> Result<ParentOutcome> {
        let RepositoryRun {
            repository,
            checkpoints,
            ..
        } = &mut self.run;
        report.add(checkpoints.embedded.remove(&table).unwrap_or_default());
        let state = checkpoints.list_mut(table);
        let (since, now) = (repository.since, repository.now());
        let parent_outcome = record_outcome(state, &outcome, since, now, &mut report);
        self.report.entities.insert(table.to_string(), report);
        let Err(error) = outcome else {
            return Ok(parent_outcome);
        };
        // A web page in the place of one list says nothing about the others; a silent host does.
        if error.kind() == ErrorKind::Unreachable && error.context("host").is_some() {
            self.unreachable.get_or_insert_with(|| error.to_string());
        }
        if !repository.run.config.sync.skip_failed || ends_the_run(error.kind()) {
            checkpoints.put().await?;
            return Err(error);
        }
        // The report warns once, with all lists that depend on this one.
        tracing::debug!(repository = %repository.full_name, entity = %table, "{error}");
        Ok(parent_outcome)
    }
}

/// Whether the next list would meet the same error, or the error is no list's.
fn ends_the_run(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Api | ErrorKind::Unreachable)
}
