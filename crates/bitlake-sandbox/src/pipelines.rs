//! The pipelines service: pipelines, steps, deployments, environments. It has its own paging, errors and parameters; it
//! ignores `q` and refuses most values of `sort`.

use serde_json::Value;

use crate::call::Call;
use crate::core::is;
use crate::errors::{self, SandboxReply};
use crate::fields::Hidden;
use crate::page::{self, Listing, PagingStyle};
use crate::query;
use crate::workspace::{at, text};

const fn listing(hidden: &'static [Hidden]) -> Listing {
    Listing {
        cap: 100,
        style: PagingStyle::Service,
        hidden,
    }
}

pub(crate) const PLAIN: Listing = listing(&[]);
pub(crate) const LISTING: Listing = listing(&[Hidden::Member("target.commit.message")]);
/// Environment, step and pipeline are stubs unless `fields` names them.
pub(crate) const DEPLOYMENTS: Listing = listing(&[
    Hidden::AllBut("environment", &["type", "uuid"]),
    Hidden::AllBut("step", &["type", "uuid"]),
    Hidden::AllBut("release.pipeline", &["type", "uuid"]),
    Hidden::AllBut("deployable.pipeline", &["type", "uuid"]),
]);

/// The oldest pipeline comes first unless the request sorts.
pub(crate) fn list(call: &Call) -> Result<Value, SandboxReply> {
    let sort = sorting(call, &["created_on", "creator.uuid", "run_creation_date"])?;
    let statuses: Vec<&str> = call.all("status").collect();
    let mut records: Vec<&Value> = call
        .repository()?
        .table("pipelines")
        .iter()
        .filter(|record| {
            call.query
                .iter()
                .all(|(key, value)| own_filter(record, key, value))
                && (statuses.is_empty() || statuses.contains(&status(record)))
        })
        .collect();
    query::sort(&mut records, sort.unwrap_or("created_on"));
    page::answer(call, &LISTING, &records)
}

pub(crate) fn sorting<'a>(call: &'a Call, known: &[&str]) -> Result<Option<&'a str>, SandboxReply> {
    let sort = call.first("sort").filter(|sort| !sort.is_empty());
    match sort.map(|sort| sort.strip_prefix('-').unwrap_or(sort)) {
        Some(field) if !known.contains(&field) => Err(errors::invalid_sort(field)),
        _ => Ok(sort),
    }
}

/// Check `record` against the filter `key`; a parameter that is no filter of pipelines passes.
fn own_filter(record: &Value, key: &str, value: &str) -> bool {
    let path = match key {
        "creator.uuid"
        | "target.ref_type"
        | "target.ref_name"
        | "target.commit.hash"
        | "target.selector.pattern"
        | "target.selector.type" => key,
        "target.branch" => "target.ref_name",
        "trigger_type" => "trigger.name",
        _ => return true,
    };
    at(record, path)
        .and_then(Value::as_str)
        .is_some_and(|known| {
            known.eq_ignore_ascii_case(value)
                // The filter says SCHEDULED where the record says SCHEDULE.
                || key == "trigger_type" && value == "SCHEDULED" && known == "SCHEDULE"
        })
}

/// Map a record's state to the values of the `status` filter, which differ from the names of the states.
fn status(record: &Value) -> &str {
    let name = |path| at(record, path).and_then(Value::as_str).unwrap_or_default();
    match (
        name("state.name"),
        name("state.stage.name"),
        name("state.result.name"),
    ) {
        ("PENDING", ..) => "PENDING",
        ("IN_PROGRESS", "RUNNING" | "", _) => "BUILDING",
        ("IN_PROGRESS", stage, _) => stage,
        ("COMPLETED", _, "SUCCESSFUL") => "PASSED",
        ("COMPLETED", _, result) => result,
        _ => "UNKNOWN",
    }
}

/// Find a pipeline by its uuid or build number.
pub(crate) fn detail(call: &Call) -> Result<Value, SandboxReply> {
    find(call).map(|record| call.record(record))
}

fn find<'a>(call: &Call<'a>) -> Result<&'a Value, SandboxReply> {
    let id = call.parameter(2);
    call.repository()?
        .table("pipelines")
        .iter()
        .find(|record| is(record, "uuid", id) || is(record, "build_number", id))
        .ok_or_else(|| call.not_found())
}

/// Steps are listed in the pipeline's order, not by time.
pub(crate) fn steps(call: &Call) -> Result<Value, SandboxReply> {
    let uuid = text(find(call)?, "uuid");
    let records: Vec<&Value> = call
        .repository()?
        .table("pipeline_steps")
        .iter()
        .filter(|record| at(record, "pipeline.uuid").and_then(Value::as_str) == uuid)
        .collect();
    page::answer(call, &PLAIN, &records)
}

/// Without `sort`, deployments come in no particular order: here, the order of the file.
pub(crate) fn deployments(call: &Call) -> Result<Value, SandboxReply> {
    let sort = sorting(call, &["state.completed_on", "state.started_on"])?;
    let wanted = |record: &&Value, key: &str, path: &str| {
        call.first(key)
            .is_none_or(|value| at(record, path).and_then(Value::as_str) == Some(value))
    };
    let mut records: Vec<&Value> = call
        .repository()?
        .table("deployments")
        .iter()
        .filter(|record| wanted(record, "environment", "environment.uuid"))
        .filter(|record| wanted(record, "state.name", "state.name"))
        .collect();
    if let Some(sort) = sort {
        query::sort(&mut records, sort);
    }
    page::answer(call, &DEPLOYMENTS, &records)
}

pub(crate) fn deployment(call: &Call) -> Result<Value, SandboxReply> {
    call.repository()?
        .table("deployments")
        .iter()
        .find(|record| is(record, "uuid", call.parameter(2)))
        .map(|record| call.record(record))
        .ok_or_else(|| call.not_found())
}

pub(crate) fn environments(call: &Call) -> Result<Value, SandboxReply> {
    let records: Vec<&Value> = call.repository()?.table("environments").iter().collect();
    page::answer(call, &PLAIN, &records)
}
