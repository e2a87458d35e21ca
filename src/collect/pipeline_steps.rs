//! Steps of pipelines, one list for each pipeline. A repeated step replaces its first run in Bitbucket's list; the first run is
//! kept here if it was collected before.

use super::entity::{Entity, uuid};
use super::list_reader::ListOutcome;
use super::pending_reader::read_child_lists;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::SourceTable;

static ENTITY: Entity = Entity::new(SourceTable::PipelineSteps, uuid);

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let endpoint = &endpoints::PIPELINE_STEPS;
    read_child_lists(run, &ENTITY, endpoint, report).await
}
