//! Tags: all of them in every run. A lightweight tag has no time of its own.

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("tags", |record| text(record, "/name"))
};

pub(super) async fn collect(site: &Site<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::list(site, &ENTITY, &endpoints::TAGS, Stop::Never, report, |_| {}).await
}
