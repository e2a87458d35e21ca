//! One repository's collection: its lists in order, and what each ending means for its state.
//!
//! ```text
//! ending           never returned data      returned data before
//! all pages        complete                 complete
//! 403/404/410      absent, with reason      stale since now: its rows stay
//! an error         failed: its rows stay, the other lists go on
//! ```

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::report::{EntityReport, RepositoryReport};
use super::repositories::Discovered;
use super::walk::Outcome;
use super::{
    Context, branches, commits, deployments, environments, issue_changes, issue_comments, issues,
    pipeline_steps, pipelines, pull_request_activity, pull_request_comments, pull_request_commits,
    pull_requests, repositories, tags, workspace_members,
};
use crate::bitbucket::{Absence, Client, Target};
use crate::config::{EntityGroup, Rules, Since};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{EntityState, EntityStatus, FORMAT_VERSION, Lake, State, Version};

/// The repository or workspace being collected.
pub(super) struct Site<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) client: &'a Client,
    pub(super) connection_id: i64,
    /// The workspace's slug.
    pub(super) workspace: String,
    /// `workspace/slug`, or the workspace's slug alone.
    pub(super) full_name: String,
    pub(super) uuid: String,
    /// Records older than this are not wanted, where an entity is bounded at all.
    pub(super) since: DateTime<Utc>,
    /// The tables that some walk came through for.
    returned: Vec<String>,
}

impl Site<'_> {
    pub(super) fn is_workspace(&self) -> bool {
        !self.full_name.contains('/')
    }

    pub(super) fn target(&self) -> Target {
        Target::full_name(&self.full_name)
    }

    pub(super) fn ever_returned(&self, table: &str) -> bool {
        self.returned.iter().any(|returned| returned == table)
    }
}

/// Collects the lists that the rules ask for.
pub(super) async fn collect(
    context: &Context<'_>,
    client: &Client,
    rules: &Rules,
    discovered: &Discovered,
) -> Result<RepositoryReport> {
    let found = &discovered.found;
    let (mut state, version) =
        open_state(context, found.connection_id, &found.uuid, &found.full_name).await?;
    state.bitbucket_project.clone_from(&found.bitbucket_project);
    let site = site(context, client, discovered, &state);
    let mut run = Run::new(&site, state, version);
    let wants = |group: EntityGroup| rules.entities.contains(&group);

    run.entity("repositories", async |report| {
        repositories::store(&site, discovered, report).await
    })
    .await?;
    if wants(EntityGroup::Code) {
        run.entity("branches", async |report| {
            branches::collect(&site, report).await
        })
        .await?;
        run.entity("tags", async |report| tags::collect(&site, report).await)
            .await?;
        run.entity("commits", async |report| {
            commits::collect(&site, report).await
        })
        .await?;
    }
    if wants(EntityGroup::Review) {
        let mut found = Vec::new();
        let list = run
            .entity("pull_requests", async |report| {
                pull_requests::collect(&site, &mut found, report).await
            })
            .await?;
        run.child(&list, "pull_request_comments", async |through, report| {
            pull_request_comments::collect(&site, &found, through, report).await
        })
        .await?;
        run.child(&list, "pull_request_commits", async |through, report| {
            pull_request_commits::collect(&site, &found, through, report).await
        })
        .await?;
        run.child(&list, "pull_request_activity", async |through, report| {
            pull_request_activity::collect(&site, &found, through, report).await
        })
        .await?;
    }
    if wants(EntityGroup::Issues) {
        let mut found = Vec::new();
        let list = run
            .entity("issues", async |report| {
                issues::collect(&site, discovered.has_issues, &mut found, report).await
            })
            .await?;
        run.child(&list, "issue_comments", async |through, report| {
            issue_comments::collect(&site, &found, through, report).await
        })
        .await?;
        run.child(&list, "issue_changes", async |through, report| {
            issue_changes::collect(&site, &found, through, report).await
        })
        .await?;
    }
    if wants(EntityGroup::Cicd) {
        let mut found = Vec::new();
        let list = run
            .entity("pipelines", async |report| {
                pipelines::collect(&site, &mut found, report).await
            })
            .await?;
        run.child(&list, "pipeline_steps", async |through, report| {
            pipeline_steps::collect(&site, &found, through, report).await
        })
        .await?;
        run.entity("deployments", async |report| {
            deployments::collect(&site, report).await
        })
        .await?;
        run.entity("environments", async |report| {
            environments::collect(&site, report).await
        })
        .await?;
    }
    Ok(run.report)
}

/// Collects a workspace's members. `discovered` is any repository of it.
pub(super) async fn collect_workspace(
    context: &Context<'_>,
    client: &Client,
    discovered: &Discovered,
) -> Result<RepositoryReport> {
    let (id, slug) = (discovered.found.connection_id, &discovered.workspace);
    let (state, version) = open_state(context, id, &discovered.workspace_uuid, slug).await?;
    let mut site = site(context, client, discovered, &state);
    site.full_name.clone_from(slug);
    site.uuid.clone_from(&discovered.workspace_uuid);
    let mut run = Run::new(&site, state, version);
    run.entity("workspace_members", async |report| {
        workspace_members::collect(&site, report).await
    })
    .await?;
    Ok(run.report)
}

fn site<'a>(
    context: &'a Context<'a>,
    client: &'a Client,
    discovered: &Discovered,
    state: &State,
) -> Site<'a> {
    let returned = state
        .entities
        .iter()
        .filter(|(_, entity)| entity.ever_returned());
    Site {
        context,
        client,
        connection_id: discovered.found.connection_id,
        workspace: discovered.workspace.clone(),
        full_name: discovered.found.full_name.clone(),
        uuid: discovered.found.uuid.clone(),
        since: state.since,
        returned: returned.map(|(table, _)| table.clone()).collect(),
    }
}

/// The state, new or as left by the last run. `since` moves only when its setting does.
async fn open_state(
    context: &Context<'_>,
    connection_id: i64,
    uuid: &str,
    full_name: &str,
) -> Result<(State, Option<Version>)> {
    let since = context.config.sync.since;
    let now = context.options.now;
    let setting = setting(since);
    let (state, version) = context.lake.state(connection_id, uuid).await?.unzip();
    let mut state = state.unwrap_or_else(|| State {
        format_version: FORMAT_VERSION,
        connection_id,
        uuid: uuid.to_owned(),
        full_name: full_name.to_owned(),
        published_as: None,
        bitbucket_project: None,
        since: since.resolve(now),
        since_setting: setting.clone(),
        missing_since: None,
        deleted: false,
        entities: BTreeMap::new(),
    });
    if state.since_setting != setting {
        state.since = since.resolve(now);
        state.since_setting = setting;
    }
    state.full_name = full_name.to_owned();
    state.missing_since = None;
    state.deleted = false;
    Ok((state, version))
}

/// The setting as text: equal exactly when the configuration says the same.
fn setting(since: Since) -> String {
    match since {
        Since::Date(date) => date.to_string(),
        Since::Days(days) => format!("{days} days"),
        Since::Months(months) => format!("{months} months"),
    }
}

/// How a list ended, for the lists of its records.
pub(super) enum Ended {
    Collected(Option<DateTime<Utc>>),
    Absent(Absence),
    Failed(String),
}

struct Run<'a> {
    lake: &'a Lake,
    now: DateTime<Utc>,
    skip_failed: bool,
    state: State,
    /// The stored one that the next put replaces.
    version: Option<Version>,
    report: RepositoryReport,
    /// Why nothing more is asked: the host does not answer.
    unreachable: Option<String>,
}

impl<'a> Run<'a> {
    fn new(site: &Site<'a>, state: State, version: Option<Version>) -> Self {
        Self {
            lake: site.context.lake,
            now: site.context.options.now,
            skip_failed: site.context.config.sync.skip_failed,
            state,
            version,
            report: RepositoryReport {
                connection: site.client.connection().to_owned(),
                repository: site.full_name.clone(),
                uuid: site.uuid.clone(),
                entities: BTreeMap::new(),
            },
            unreachable: None,
        }
    }

    /// Runs one collector and settles its ending.
    async fn entity(
        &mut self,
        table: &str,
        collect: impl AsyncFnOnce(&mut EntityReport) -> Result<Outcome>,
    ) -> Result<Ended> {
        let mut report = EntityReport::default();
        let outcome = match &self.unreachable {
            Some(reason) => Err(Error::new(ErrorKind::Unreachable, reason.clone())),
            None => collect(&mut report).await,
        };
        self.settle(table, outcome, report).await
    }

    /// The same for the lists of another list's records, which share its fate when it has none.
    async fn child(
        &mut self,
        parents: &Ended,
        table: &str,
        collect: impl AsyncFnOnce(Option<DateTime<Utc>>, &mut EntityReport) -> Result<Outcome>,
    ) -> Result<Ended> {
        match parents {
            Ended::Collected(through) => {
                let through = *through;
                self.entity(table, async |report| collect(through, report).await)
                    .await
            }
            Ended::Absent(absence) => {
                let outcome = Ok(Outcome::Absent(absence.clone()));
                self.settle(table, outcome, EntityReport::default()).await
            }
            Ended::Failed(reason) => {
                let error = Error::new(ErrorKind::Api, reason.clone());
                self.settle(table, Err(error), EntityReport::default())
                    .await
            }
        }
    }

    /// Writes an ending into state and report.
    async fn settle(
        &mut self,
        table: &str,
        outcome: Result<Outcome>,
        mut report: EntityReport,
    ) -> Result<Ended> {
        let state = self
            .state
            .entities
            .entry(table.to_owned())
            .or_insert_with(|| EntityState {
                status: EntityStatus::Failed,
                reason: None,
                complete_from: None,
                complete_through: None,
                stale_since: None,
                segments: Vec::new(),
            });
        let mut failure = None;
        let ended = match outcome {
            Ok(Outcome::Collected {
                segment,
                through,
                from,
            }) => {
                let through = through.unwrap_or(self.now);
                state.status = EntityStatus::Complete;
                state.reason = None;
                state.complete_from = from;
                state.complete_through = Some(through);
                state.stale_since = None;
                state.segments.extend(segment);
                Ended::Collected(Some(through))
            }
            Ok(Outcome::Absent(absence)) => {
                state.reason = Some(absence.reason.clone());
                if state.ever_returned() {
                    state.status = EntityStatus::Stale;
                    state.stale_since.get_or_insert(self.now);
                } else {
                    state.status = EntityStatus::Absent;
                }
                Ended::Absent(absence)
            }
            Err(error) => {
                let reason = error.to_string();
                state.status = EntityStatus::Failed;
                state.reason = Some(reason.clone());
                // A web page in the place of one list says nothing about the others; a silent host does.
                if error.kind() == ErrorKind::Unreachable && error.context("host").is_some() {
                    self.unreachable.get_or_insert_with(|| reason.clone());
                }
                failure = Some(error);
                Ended::Failed(reason)
            }
        };
        report.status = Some(state.status);
        report.reason.clone_from(&state.reason);
        self.report.entities.insert(table.to_owned(), report);
        let put = self.lake.put_state(&self.state, self.version.as_ref());
        self.version = Some(put.await?);
        match failure {
            Some(error) if !self.skip_failed || ends_the_run(error.kind()) => Err(error),
            Some(error) => {
                tracing::warn!(repository = %self.state.full_name, entity = table, "{error}");
                Ok(ended)
            }
            None => Ok(ended),
        }
    }
}

/// Errors that the next list would meet as well, or that are no list's fault.
fn ends_the_run(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Api | ErrorKind::Unreachable)
}
