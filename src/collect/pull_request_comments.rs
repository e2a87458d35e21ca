//! Comments of pull requests, one list each, asked for only where there are any. Deleted comments come as tombstones, or
//! not at all, so a list takes the place of what was known of its pull request;
//! unpublished review drafts of the token's owner come too, and are dropped.

use super::children;
use super::entity::{Entity, id, is_pending};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::Outcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    draft: is_pending,
    absence_deletes: true,
    ..Entity::new("pull_request_comments", id)
};

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<Outcome> {
    children::children(
        repo,
        &ENTITY,
        "pull_requests",
        &endpoints::PULL_REQUEST_COMMENTS,
        report,
    )
    .await
}
