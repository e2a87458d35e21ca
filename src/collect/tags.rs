//! Tags: all of them in every run. A lightweight tag has no time of its own.

use std::collections::BTreeSet;

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("tags", |record| text(record, "/name"))
};

/// `heads` gets the commit that each names.
pub(super) async fn collect(
    repo: &mut Repo<'_>,
    heads: &mut BTreeSet<String>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    walk::whole(repo, &ENTITY, &endpoints::TAGS, report, |record| {
        heads.extend(text(record, "/target/hash"));
    })
    .await
}
