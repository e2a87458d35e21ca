//! Members of a workspace, once per workspace. Many credentials may not list them, and that fails nothing: accounts
//! are harvested from everything else as well.

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
        // The same token has just listed repositories: it is of a kind that this list does not accept.
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
