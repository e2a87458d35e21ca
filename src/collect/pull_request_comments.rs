//! Comments of pull requests, one list each, asked for only where there are any. Deleted comments come as tombstones;
//! unpublished review drafts of the token's owner come too, and are dropped.

use chrono::{DateTime, Utc};

use super::entity::{Entity, id, is_pending};
use super::pull_requests::PullRequest;
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity {
    draft: is_pending,
    ..Entity::new("pull_request_comments", id)
};

pub(super) async fn collect(
    site: &Site<'_>,
    pull_requests: &[PullRequest],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let commented = pull_requests
        .iter()
        .filter(|pull_request| pull_request.has_comments());
    let parents: Vec<Parent> = commented.map(PullRequest::parent).collect();
    let endpoint = &endpoints::PULL_REQUEST_COMMENTS;
    walk::children(site, &ENTITY, endpoint, &parents, through, report).await
}
