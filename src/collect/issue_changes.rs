//! Changes of issues, one list each: the only record of when an issue was resolved.

use super::children;
use super::entity::{Entity, id};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity::new("issue_changes", id);

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    children::children(repo, &ENTITY, "issues", &endpoints::ISSUE_CHANGES, report).await
}
