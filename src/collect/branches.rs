//! Branches: all of them in every run, because a branch has no time and a deleted one just stops being listed.

use std::collections::BTreeSet;

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("branches", |record| text(record, "/name"))
};

/// `heads` gets the commit that each names.
pub(super) async fn collect(
    repo: &mut Repo<'_>,
    heads: &mut BTreeSet<String>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    walk::whole(repo, &ENTITY, &endpoints::BRANCHES, report, |record| {
        heads.extend(text(record, "/target/hash"));
    })
    .await
}
