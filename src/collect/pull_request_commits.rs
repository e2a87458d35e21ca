//! Commits of pull requests, one list each: the only place where the commits of a squashed branch are found. A pull
//! request whose source repository is gone answers 404.

use super::children;
use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::Outcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

/// A force-push takes commits out of a pull request.
static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    absence_deletes: true,
    ..Entity::new("pull_request_commits", |record| text(record, "/hash"))
};

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<Outcome> {
    children::children(
        repo,
        &ENTITY,
        "pull_requests",
        &endpoints::PULL_REQUEST_COMMITS,
        report,
    )
    .await
}
