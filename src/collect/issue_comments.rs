//! Comments of issues, one list each; a comment that only changes the state has no text.

use chrono::{DateTime, Utc};

use super::entity::{Entity, id};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity::new("issue_comments", id);

pub(super) async fn collect(
    site: &Site<'_>,
    issues: &[Parent],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let endpoint = &endpoints::ISSUE_COMMENTS;
    walk::children(site, &ENTITY, endpoint, issues, through, report).await
}
