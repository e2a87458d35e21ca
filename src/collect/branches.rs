//! Branches: all of them in every run, because a branch has no time and a deleted one just stops being listed.

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("branches", |record| text(record, "/name"))
};

pub(super) async fn collect(site: &Site<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::list(
        site,
        &ENTITY,
        &endpoints::BRANCHES,
        Stop::Never,
        report,
        |_| {},
    )
    .await
}
