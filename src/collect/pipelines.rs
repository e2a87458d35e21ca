//! Pipelines created since `since`. Their list cannot be filtered and is oldest first unless sorted, so it is walked
//! from the newest and left at the first page that is older as a whole; if the server does not sort, to its end.

use super::entity::{Entity, text, time, uuid};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity {
    time: Some(|record| time(record, "/created_on")),
    ..Entity::new("pipelines", uuid)
};

/// `found` gets the pipelines that are kept, each once, newest first.
pub(super) async fn collect(
    site: &Site<'_>,
    found: &mut Vec<Parent>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let mut seen = std::collections::HashSet::new();
    let endpoint = &endpoints::PIPELINES;
    walk::list(
        site,
        &ENTITY,
        endpoint,
        Stop::OlderStrictly,
        report,
        |record| {
            if let Some(uuid) = text(record, "/uuid").filter(|uuid| seen.insert(uuid.clone())) {
                found.push(Parent::Uuid(uuid));
            }
        },
    )
    .await
}
