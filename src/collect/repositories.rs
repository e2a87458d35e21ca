//! What is known of a repository once it is found: its own record, its place in the configuration, and, when it is not
//! found any more, that its rows stay.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::RunContext;
use super::discovery::{Source, VanishedRepository};
use super::entity::{Entity, text, time, uuid};
use super::list_reader::ListOutcome;
use super::report::{EntityReport, RepositoryReport};
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::config::RepositoryIdentity;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{ListStatus, Replaces};
use crate::redaction::{ReceivedRecord, Redactor};
use crate::schema::Parent;

static ENTITY: Entity = Entity::new("repositories", uuid);

/// A repository that is there.
#[derive(Debug, Clone)]
pub struct DiscoveredRepository {
    pub found: RepositoryIdentity,
    /// The connection's name.
    pub connection: String,
    /// The workspace's slug.
    pub workspace: String,
    pub workspace_uuid: String,
    pub has_issues: bool,
    /// Moves with every push, and with most of what happens to pull requests.
    pub updated_on: Option<DateTime<Utc>>,
    pub created_on: Option<DateTime<Utc>>,
    /// Bitbucket's clock when it said so.
    pub(super) date: Option<DateTime<Utc>>,
    record: Box<RawValue>,
}

/// The segment of a repository's own record.
pub(super) async fn store(
    run: &mut RepositoryRun<'_>,
    discovered: &DiscoveredRepository,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        ..
    } = run;
    let mut sink = Sink::new(repository, &ENTITY, checkpoints)?;
    let record = std::slice::from_ref(&discovered.record);
    sink.take(record, Some(&Parent::None), report, |_| {})?;
    sink.save(checkpoints, Replaces::Nothing).await?;
    let date = discovered.date.unwrap_or(repository.now());
    let list = checkpoints.list_mut(ENTITY.table);
    list.complete_through = Some(repository.run.clamp_to_now(date));
    Ok(ListOutcome::Complete)
}

/// After this long a repository that is missing still counts as deleted.
const MISSED_FOR: TimeDelta = TimeDelta::days(1);
/// When more than one repository in so many is missing, the credentials or Bitbucket are to blame.
const SHRUNK: usize = 5;

/// Marks what is gone as stale: its rows stay. `known`: how many repositories earlier runs knew.
pub(super) async fn mark_gone(
    context: &RunContext<'_>,
    gone: &[VanishedRepository],
    known: usize,
) -> Result<Vec<RepositoryReport>> {
    let now = context.options.now;
    let mut reports = Vec::new();
    for VanishedRepository {
        connection,
        state,
        reason,
        missing,
    } in gone
    {
        let stored = context.lake.state(state.connection_id, &state.uuid).await?;
        let (mut state, version) = match stored {
            Some((state, version)) => (state, Some(version)),
            None => (state.clone(), None),
        };
        if *missing {
            let since = *state.missing_since.get_or_insert(now);
            let shrunk = known > 1 && gone.len() * SHRUNK > known;
            state.deleted = !shrunk && now - since >= MISSED_FOR;
        }
        let mut report = RepositoryReport {
            connection: connection.clone(),
            repository: state.full_name.clone(),
            uuid: state.uuid.clone(),
            ..RepositoryReport::default()
        };
        for (table, entity) in &mut state.entities {
            if entity.ever_returned() {
                entity.status = ListStatus::Stale;
                entity.reason = Some(reason.clone());
                entity.stale_since.get_or_insert(now);
            }
            let (status, reason) = (Some(entity.status), entity.reason.clone());
            let entity = EntityReport {
                status,
                reason,
                ..EntityReport::default()
            };
            report.entities.insert(table.clone(), entity);
        }
        context.lake.put_state(&state, version.as_ref()).await?;
        reports.push(report);
    }
    Ok(reports)
}

/// A record of the API as a discovered repository.
pub(super) fn read(
    source: &Source<'_>,
    record: Box<RawValue>,
    date: Option<DateTime<Utc>>,
) -> Result<DiscoveredRepository> {
    let received = ReceivedRecord::read(record.get());
    let value = received.value();
    let connection = source.client.connection().to_owned();
    let (Some(uuid), Some(full_name)) = (uuid(value), text(value, "/full_name")) else {
        return Err(Error::new(
            ErrorKind::Unreachable,
            "a repository has no uuid or no full_name",
        )
        .with("connection", connection)
        .hint("check endpoint and proxy: Bitbucket always sends both"));
    };
    let redactor = Redactor::new(source.client.masker().clone())?;
    let (redacted, _) = received.redact(&redactor);
    let value = redacted.value();
    let workspace = full_name.split('/').next().unwrap_or_default().to_owned();
    Ok(DiscoveredRepository {
        workspace_uuid: text(value, "/workspace/uuid").unwrap_or_else(|| workspace.clone()),
        // Said by few since the tracker's removal; asking costs one request.
        has_issues: value
            .get("has_issues")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        updated_on: time(value, "/updated_on"),
        created_on: time(value, "/created_on"),
        found: RepositoryIdentity {
            connection_id: source.id,
            full_name,
            uuid,
            bitbucket_project: text(value, "/project/key"),
        },
        connection,
        workspace,
        record,
        date,
    })
}
