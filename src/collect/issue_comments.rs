//! Comments of issues, one list for each issue. A comment that only changes the state has no text.

use super::entity::{Entity, id};
use super::list_reader::ListOutcome;
use super::pending_reader::read_child_lists;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::SourceTable;

static ENTITY: Entity = Entity::new(SourceTable::IssueComments, id);

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    read_child_lists(run, &ENTITY, &endpoints::ISSUE_COMMENTS, report).await
}
