//! Steps of pipelines, one list each. A re-deployed step takes the place of its first run, which stays here if it was
//! collected before.

use super::children;
use super::entity::{Entity, uuid};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity::new("pipeline_steps", uuid);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    children::children(
        repo,
        &ENTITY,
        "pipelines",
        &endpoints::PIPELINE_STEPS,
        report,
    )
    .await
}
