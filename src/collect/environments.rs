//! Deployment environments. A deleted one stays, because its deployments still name it.

use super::entity::{Entity, uuid};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity::new("environments", uuid);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::whole(repo, &ENTITY, &endpoints::ENVIRONMENTS, report, |_| {}).await
}
