//! The members of a workspace, read once per workspace. Many kinds of credentials may not list them. The list is then
//! unavailable instead of failed, because accounts also come from all other records.

use reqwest::StatusCode;

use super::entity::{Entity, text};
use super::list_reader::ListOutcome;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use super::whole_list::read_whole;
use crate::bitbucket::{Unavailable, endpoints};
use crate::error::{ErrorKind, Result};
use crate::schema::SourceTable;

static ENTITY: Entity = Entity {
    deletes_missing: true,
    ..Entity::new(SourceTable::WorkspaceMembers, |record| {
        text(record, "/user/uuid").or_else(|| text(record, "/user/account_id"))
    })
};

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    match read_whole(run, &ENTITY, &endpoints::WORKSPACE_MEMBERS, report, |_| {}).await {
        // The same token has just listed repositories, so this list does not accept its kind.
        Err(error) if error.kind() == ErrorKind::Credentials => {
            let reason = "not readable with this kind of token (401)";
            Ok(ListOutcome::Unavailable(Unavailable::new(
                StatusCode::UNAUTHORIZED,
                reason,
            )))
        }
        outcome => outcome,
    }
}
