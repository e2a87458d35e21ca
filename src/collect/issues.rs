//! Issues changed since `since`, where the repository still has a tracker: Bitbucket removed it in August 2026, and a
//! repository that says it has none is not asked.

use serde_json::Value;

use super::entity::{Entity, id, updated_on};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::{Absence, endpoints};
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity {
    time: Some(updated_on),
    ..Entity::new("issues", id)
};

/// `found` gets the issues that are kept, each once.
pub(super) async fn collect(
    site: &Site<'_>,
    has_tracker: bool,
    found: &mut Vec<Parent>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    if !has_tracker {
        let reason = "issue tracker disabled".to_owned();
        return Ok(Outcome::Absent(Absence {
            status: 404,
            reason,
        }));
    }
    let mut ids = Vec::new();
    let outcome = walk::list(
        site,
        &ENTITY,
        &endpoints::ISSUES,
        Stop::Never,
        report,
        |record| {
            ids.extend(record.get("id").and_then(Value::as_i64));
        },
    )
    .await;
    ids.sort_unstable();
    ids.dedup();
    found.extend(ids.into_iter().map(Parent::Id));
    outcome
}
