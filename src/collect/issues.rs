//! Issues changed since `since`, where the repository still has a tracker: Bitbucket removed it in August 2026, and a
//! repository that says it has none is not asked.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::Value;

use super::checkpoint::FollowUps;
use super::entity::{Entity, id, updated_on};
use super::newest_first::{Aim, List, newest_first, quoted};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::{Unavailable, endpoints};
use crate::error::Result;
use crate::lake::PendingRecord;

static LIST: List = List {
    entity: &Entity {
        time: Some(updated_on),
        ..Entity::new("issues", id)
    },
    endpoint: &endpoints::ISSUES,
    stop: EarlyStop::OlderStrictly,
    filter,
    only: None,
    reconciles: true,
};

fn filter(_: Aim, target: DateTime<Utc>, border: Option<DateTime<Utc>>) -> Option<String> {
    let changed = format!("updated_on >= {}", quoted(target));
    Some(match border {
        Some(border) => format!("{changed} AND updated_on <= {}", quoted(border)),
        None => changed,
    })
}

pub(super) async fn collect(
    repo: &mut Repo<'_>,
    has_tracker: bool,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    if !has_tracker {
        return Ok(ListOutcome::Unavailable(Unavailable::new(
            StatusCode::NOT_FOUND,
            "issue tracker disabled",
        )));
    }
    newest_first(repo, &LIST, report, follow).await
}

fn follow(record: &Value, _: Aim, target: DateTime<Utc>, more: &mut FollowUps) {
    let Some(id) = id(record) else { return };
    // A server that does not filter shows others as well.
    if updated_on(record).is_some_and(|time| time < target) {
        return;
    }
    for table in ["issue_comments", "issue_changes"] {
        more.entry(table)
            .or_default()
            .push(PendingRecord::parent(&id));
    }
}
