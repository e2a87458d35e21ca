//! Commits of all branches and tags, from the beginning: the list has no filter, and leaving it at the first old commit
//! would lose old commits that were pushed late. A commit that is no longer listed stays, since deployments name it.

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity::new("commits", |record| text(record, "/hash"));

pub(super) async fn collect(site: &Site<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::list(
        site,
        &ENTITY,
        &endpoints::COMMITS,
        Stop::Never,
        report,
        |_| {},
    )
    .await
}
