//! Deployment environments. A deleted one stays, because its deployments still name it.

use super::entity::{Entity, uuid};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity::new("environments", uuid);

pub(super) async fn collect(site: &Site<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::list(
        site,
        &ENTITY,
        &endpoints::ENVIRONMENTS,
        Stop::Never,
        report,
        |_| {},
    )
    .await
}
