//! Deployments: all are walked, because their filter is ignored and their order says nothing about when they changed; a
//! re-deploy overwrites its record. `since` cuts by the latest time a record has; one that never ran has none and
//! stays.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::entity::{Entity, text, time, uuid};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;

static ENTITY: Entity = Entity {
    time: Some(latest),
    ..Entity::new("deployments", |record| {
        uuid(record).or_else(|| text(record, "/key"))
    })
};

const TIMES: [&str; 4] = [
    "/last_update_time",
    "/state/completed_on",
    "/state/started_on",
    "/release/created_on",
];

pub(super) async fn collect(site: &Site<'_>, report: &mut EntityReport) -> Result<Outcome> {
    walk::list(
        site,
        &ENTITY,
        &endpoints::DEPLOYMENTS,
        Stop::Never,
        report,
        |_| {},
    )
    .await
}

fn latest(record: &Value) -> Option<DateTime<Utc>> {
    TIMES
        .iter()
        .filter_map(|pointer| time(record, pointer))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_re_deploy_of_an_old_release_is_as_young_as_its_last_change() {
        let record = json!({"release": {"created_on": "2025-01-01T00:00:00Z"},
            "state": {"started_on": "2026-11-01T00:00:00Z"}, "last_update_time": "2026-11-01T00:01:00Z"});
        assert_eq!(
            latest(&record).unwrap().to_rfc3339(),
            "2026-11-01T00:01:00+00:00"
        );
        assert_eq!(latest(&json!({"state": {"name": "UNDEPLOYED"}})), None);
    }
}
