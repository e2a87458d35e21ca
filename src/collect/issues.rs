//! Issues changed since `since`, where the repository still has a tracker: Bitbucket removed it in August 2026. A repository that
//! says that it has none is not asked.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use super::checkpoint::PendingRecords;
use super::entity::{Entity, id, updated_on};
use super::list_reader::ListOutcome;
use super::newest_first::{NewestFirstList, SyncMode, quoted, read_newest_first};
use super::order::EarlyStop;
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::{Unavailable, endpoints};
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::PendingRecord;
use crate::schema::SourceTable;

static LIST: NewestFirstList = NewestFirstList {
    entity: &Entity {
        time: Some(updated_on),
        ..Entity::new(SourceTable::Issues, id)
    },
    endpoint: &endpoints::ISSUES,
    stop: EarlyStop::OlderStrictly,
    filter,
    incremental_parameter: None,
    has_full_refresh: true,
};

fn filter(_: SyncMode, target: DateTime<Utc>, watermark: Option<DateTime<Utc>>) -> Option<String> {
    let changed = format!("updated_on >= {}", quoted(target));
    Some(match watermark {
        Some(watermark) => format!("{changed} AND updated_on <= {}", quoted(watermark)),
        None => changed,
    })
}

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    has_tracker: bool,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    if !has_tracker {
        return Ok(ListOutcome::Unavailable(Unavailable::new(
            StatusCode::NOT_FOUND,
            "issue tracker disabled",
        )));
    }
    read_newest_first(run, &LIST, report, find_pending).await
}

fn find_pending(
    record: JsonValue<'_>,
    _: SyncMode,
    target: DateTime<Utc>,
    pending: &mut PendingRecords,
) {
    let Some(id) = id(record) else { return };
    // A server that ignores the filter returns older issues as well.
    if updated_on(record).is_some_and(|time| time < target) {
        return;
    }
    for table in [SourceTable::IssueComments, SourceTable::IssueChanges] {
        pending.add(table, PendingRecord::fetch(&id));
    }
}
