//! Steps of pipelines, one list each. A re-deployed step takes the place of its first run, which stays here if it was
//! collected before.

use chrono::{DateTime, Utc};

use super::entity::{Entity, uuid};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity::new("pipeline_steps", uuid);

pub(super) async fn collect(
    site: &Site<'_>,
    pipelines: &[Parent],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let endpoint = &endpoints::PIPELINE_STEPS;
    walk::children(site, &ENTITY, endpoint, pipelines, through, report).await
}
