//! The record of the repository itself, which discovery has already received.

use super::discovered::DiscoveredRepository;
use super::entity::{Entity, uuid};
use super::list_reader::ListOutcome;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::error::Result;
use crate::lake::Replaces;
use crate::schema::{Parent, SourceTable};

static ENTITY: Entity = Entity::new(SourceTable::Repositories, uuid);

/// Write the record into a segment.
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
