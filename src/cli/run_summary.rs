//! The warnings and the summary that a run ends with, from its report.

use std::collections::BTreeMap;

use super::remaining::format_requests_left;
use super::run_report::RunReport;
use crate::collect::{CollectReport, NewlyUnavailable};
use crate::escape::escape;
use crate::plural::counted;
use crate::schema::times::{OddTimes, RANGE};
use crate::transform::TransformReport;

/// The most repositories that a line names.
const MAX_NAMES: usize = 3;

/// The HTTP status of a refused permission.
const FORBIDDEN: u16 = 403;

/// Log what the user can act on as warnings, and the other findings for `-v`.
pub(super) fn warn(report: &RunReport) {
    for expiry in &report.expiring {
        tracing::warn!("{expiry}: renew it");
    }
    if let Some(report) = &report.collect {
        warn_of_lists(report);
    }
    if let Some(report) = &report.transform {
        warn_of_tables(report);
    }
}

fn warn_of_lists(report: &CollectReport) {
    for failure in report.failures() {
        let (entity, dependents) = failure.lists.split_first().unwrap_or((&"", &[]));
        let (repository, status) = (failure.repository, failure.status.as_str());
        let with_it = match dependents {
            [] => String::new(),
            dependents => format!("; with it: {}", dependents.join(", ")),
        };
        tracing::warn!(repository, entity, status, "{}{with_it}", failure.reason);
    }
    let unavailable = report.newly_unavailable();
    for one in unavailable.iter().filter(|one| is_refused(one)) {
        tracing::warn!(
            "cannot read {}: `bitlake check` says what to do",
            describe(one)
        );
    }
    for repository in &report.repositories {
        for (table, list) in &repository.entities {
            warn_of_times(&repository.repository, table, &list.odd_times);
        }
    }
}

fn warn_of_tables(report: &TransformReport) {
    for warning in &report.warnings {
        // The rows of some warnings belong to no repository.
        let repository = Some(&warning.repository).filter(|name| !name.is_empty());
        match warning.is_actionable {
            true => tracing::warn!(repository, n = warning.n, "{}", warning.kind),
            false => tracing::info!(repository, n = warning.n, "{}", warning.kind),
        }
    }
    for (table, odd) in &report.odd_times {
        warn_of_times("", table, odd);
    }
    for nulled in &report.nulled {
        tracing::warn!(
            table = nulled.table,
            column = nulled.column,
            rows = nulled.rows,
            values = nulled.values.join(", "),
            location = nulled.location,
            "null in the lake: {}",
            nulled.reason
        );
    }
    for large in &report.large_files {
        tracing::warn!(
            file = large.file,
            megabytes = large.bytes / 1_000_000,
            "a large file: `partition = \"{}\"` for its table in [lake.tables] makes smaller ones",
            large.finer
        );
    }
}

/// Log times outside the range of all engines. `repository`: empty for rows that a transform read again.
fn warn_of_times(repository: &str, table: &str, odd: &BTreeMap<String, OddTimes>) {
    for (column, times) in odd {
        let values: Vec<_> = times.values.iter().map(String::as_str).collect();
        tracing::info!(
            repository,
            table,
            column,
            rows = times.rows,
            values = values.join(", "),
            "null in the lake, and kept in _payload: times outside {RANGE}"
        );
    }
}

/// Format the summary of a run.
pub(super) fn summary(report: &RunReport, lake_url: &str) -> String {
    let mut text = String::new();
    if let Some(report) = &report.collect {
        text.push_str(&collect_summary(report));
    }
    if let Some(report) = &report.transform {
        text.push_str(&transform_summary(report));
    }
    text.push_str(&format!("lake        {lake_url}\n"));
    text
}

fn collect_summary(report: &CollectReport) -> String {
    let lists = report
        .repositories
        .iter()
        .flat_map(|one| one.entities.values());
    let records: u64 = lists.map(|list| list.records).sum();
    let requests: u64 = report.requests.values().sum();
    let planned = match report.planned.values().sum::<u64>() {
        0 => String::new(),
        planned => format!(", {planned} were planned"),
    };
    let by_git = match report.git_operations {
        0 => String::new(),
        operations => format!(" and {}", counted(operations, "git operation")),
    };
    let mut text = format!(
        "collected   {} of {} and workspaces in {}{planned}{by_git}\n",
        counted(records, "record"),
        counted(report.repositories.len() as u64, "repository"),
        counted(requests, "request"),
    );
    let unavailable = report.newly_unavailable();
    for one in unavailable.iter().filter(|one| !is_refused(one)) {
        text.push_str(&format!("not there   {}\n", describe(one)));
    }
    if let Some(reason) = &report.stopped {
        let left = format_requests_left(report.requests_left, requests);
        let reason = reason.to_string();
        text.push_str(&format!("stopped     {}; {left}\n", escape(&reason)));
    }
    text
}

fn transform_summary(report: &TransformReport) -> String {
    let published = &report.published;
    let mut text = format!(
        "published   {}: {} written, {} unchanged, {} removed\n",
        counted(published.tables, "table"),
        counted(published.files_written, "file"),
        published.files_unchanged,
        published.files_removed,
    );
    if !report.repaired.is_empty() {
        text.push_str(&format!(
            "repaired    {}\n",
            counted(report.repaired.len() as u64, "missing or damaged file")
        ));
    }
    for notice in &report.notices {
        text.push_str(&format!("note        {} (n = {})\n", notice.kind, notice.n));
    }
    text
}

/// Whether more permissions would make the lists readable. Members of a workspace are an exception: a repository's or
/// project's token can never list them, and accounts also come from all other records.
fn is_refused(unavailable: &NewlyUnavailable<'_>) -> bool {
    unavailable.status == FORBIDDEN && unavailable.lists != ["workspace_members"]
}

/// Format lists, repositories and reason: "pipelines, deployments of acme/web and acme/api: the token lacks …".
fn describe(unavailable: &NewlyUnavailable<'_>) -> String {
    let names = unavailable.repositories.iter().take(MAX_NAMES);
    let mut names = names.copied().collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = unavailable.repositories.len().checked_sub(MAX_NAMES) {
        names.push_str(&format!(" and {more} more"));
    }
    format!(
        "{} of {names}: {}",
        unavailable.lists.join(", "),
        unavailable.reason
    )
}
