//! Commits of pull requests, one list each: the only place where the commits of a squashed branch are found. A pull
//! request whose source repository is gone answers 404.

use chrono::{DateTime, Utc};

use super::entity::{Entity, text};
use super::pull_requests::PullRequest;
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

/// A force-push takes commits out of a pull request.
static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    absence_deletes: true,
    ..Entity::new("pull_request_commits", |record| text(record, "/hash"))
};

pub(super) async fn collect(
    site: &Site<'_>,
    pull_requests: &[PullRequest],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let parents: Vec<Parent> = pull_requests.iter().map(PullRequest::parent).collect();
    let endpoint = &endpoints::PULL_REQUEST_COMMITS;
    walk::children(site, &ENTITY, endpoint, &parents, through, report).await
}
