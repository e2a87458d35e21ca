//! Rows as tables: pull requests, failed deployments, and what the figures rest on.

use maud::{Markup, html};

use super::data::{ProjectRows, ReportRows};
use super::format::{self, decimal, link, local, local_date, outside};
use super::rows::{QueryCall, ReportRow};
use crate::escape::escape;

/// Return a table that can be scrolled where it is wider than the page.
pub(super) fn scrolled(label: &str, table: &Markup) -> Markup {
    html! { div class="scroll" role="group" aria-label=(label) tabindex="0" { (table) } }
}

/// Return the command that prints the rows.
pub(super) fn command(call: &QueryCall) -> Markup {
    html! { p class="query" { "Query: " code { (escape(&call.command())) } } }
}

/// The slowest reviews of the last month that is over.
pub(super) fn slowest_reviews(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.slowest;
    let month = format::period(project.about.text("last month"));
    html! {
        h3 { "Slowest reviews" @if !month.is_empty() { " of " (month) } }
        p class="lead" {
            "From opening to merge, in hours: until the first response, from there to the approval, from there to the merge."
        }
        @if rows.is_empty() { p class="none" { "No pull request was merged in this time." } }
        @else { (slowest_table(rows)) }
        (command(call))
    }
}

fn slowest_table(rows: &[ReportRow]) -> Markup {
    html! {
        table class="rows" cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "pull request" }
                    th scope="col" class="n" { "open to merge" }
                    th scope="col" class="n" { "to response" }
                    th scope="col" class="n" { "to approval" }
                    th scope="col" class="n" { "to merge" }
                    th scope="col" { "reason" }
                    th scope="col" class="n" { "rounds" }
                    th scope="col" class="n" { "comments" }
                    th scope="col" class="n" { "reviewers" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        (pull_request(row))
                        td class="n strong" data-label="open to merge" { (decimal(row.number("open to merge h"))) }
                        td class="n" data-label="to first response" { (decimal(row.number("to first response h"))) }
                        td class="n" data-label="to approval" { (decimal(row.number("to approval h"))) }
                        td class="n" data-label="to merge" { (decimal(row.number("to merge h"))) }
                        td data-label="reason" { (row.text("reason")) }
                        td class="n" data-label="rounds" { (row.count("rounds")) }
                        td class="n" data-label="comments" { (row.count("comments")) }
                        td class="n" data-label="reviewers" { (row.count("reviewers")) }
                    }
                }
            }
        }
    }
}

/// Return the first cell of a pull request: its title as a link, then where it is and whose it is.
fn pull_request(row: &ReportRow) -> Markup {
    html! {
        th scope="row" align="left" {
            (link(row.text("url"), row.text("title")))
            div class="of" {
                bdi { (outside(row.text("repository"))) } " #" (row.count("number")) " · "
                bdi { (outside(row.text("author"))) }
            }
        }
    }
}

/// The oldest open pull requests.
pub(super) fn oldest_open(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.oldest;
    html! {
        h3 { "Oldest open pull requests" }
        p class="lead" { "At the end of " (project.about.text("last day")) ". Quiet: days since the last change or comment." }
        @if rows.is_empty() { p class="none" { "No pull request is open." } }
        @else {
            table class="rows" cellpadding="4" {
                thead {
                    tr {
                        th scope="col" { "pull request" }
                        th scope="col" class="n" { "age, days" }
                        th scope="col" class="n" { "quiet, days" }
                        th scope="col" { "waits for" }
                        th scope="col" class="n" { "reviewers" }
                        th scope="col" class="n" { "approvals" }
                        th scope="col" class="n" { "comments" }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            (pull_request(row))
                            td class="n strong" data-label="age, days" { (decimal(row.number("age days"))) }
                            td class="n" data-label="quiet, days" { (decimal(row.number("quiet days"))) }
                            td data-label="waits for" { (row.text("waits for")) }
                            td class="n" data-label="reviewers" { (row.count("reviewers")) }
                            td class="n" data-label="approvals" { (row.count("approvals")) }
                            td class="n" data-label="comments" { (row.count("comments")) }
                        }
                    }
                }
            }
        }
        (command(call))
    }
}

/// The failed deployments, the latest first.
pub(super) fn failures(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.failures;
    let zone = project.zone;
    html! {
        h3 { "Failed deployments" }
        @if rows.is_empty() { p class="none" { "No deployment is known to have failed." } }
        @else {
            table class="rows failures" cellpadding="4" {
                thead {
                    tr {
                        th scope="col" { "deployment" }
                        th scope="col" { "finished" }
                        th scope="col" { "evidence" }
                        th scope="col" class="n" { "changes" }
                        th scope="col" class="n" { "recovery, h" }
                        th scope="col" { "mended by" }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" align="left" {
                                (link(row.text("url"), row.text("deployment")))
                                div class="of" {
                                    bdi { (outside(row.text("repository"))) } " · "
                                    bdi { (outside(row.text("environment"))) }
                                }
                            }
                            td class="time" data-label="finished" { (local(row.instant("finished"), zone)) }
                            td data-label="evidence" { div { (evidence(row)) } }
                            td class="n" data-label="changes" { (row.count("changes")) }
                            td class="n strong" data-label="recovery, h" { (decimal(row.number("recovery h"))) }
                            td class="who" data-label="mended by" { bdi { (outside(row.text("mended by"))) } }
                        }
                    }
                }
            }
        }
        (command(call))
    }
}

fn evidence(row: &ReportRow) -> Markup {
    let details = row.text("details");
    html! {
        (row.text("evidence"))
        @if !details.is_empty() { div class="of" { bdi { (outside(details)) } } }
    }
}

/// The rows that each figure is based on, and those left out.
pub(super) fn coverage(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.coverage;
    let table = html! {
        table class="rows" cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "figure" }
                    th scope="col" { "rows" }
                    th scope="col" class="n" { "counted" }
                    th scope="col" { "left out" }
                }
            }
            tbody {
                @for figure in &project.figures.rows {
                    @for kind in kinds(rows, figure.text("metric")) {
                        @let of_kind = |row: &&ReportRow| {
                            row.text("metric") == figure.text("metric") && row.text("rows") == kind
                        };
                        @let counted = rows.iter().filter(of_kind).find(|row| row.text("reason") == "counted");
                        tr {
                            th scope="row" align="left" { (figure.text("title")) }
                            td data-label="rows" { (kind) }
                            td class="n" data-label="counted" { (counted.map_or(0, |row| row.count("n"))) }
                            td data-label="left out" { (left_out(&rows.iter().filter(of_kind).collect::<Vec<_>>())) }
                        }
                    }
                }
            }
        }
    };
    html! {
        h3 { "Rows behind the figures" }
        p class="lead" { "Over the whole collected time." }
        (table)
        (command(call))
    }
}

/// Return the kinds of rows of a figure, in their order.
fn kinds<'a>(rows: &'a [ReportRow], metric: &str) -> Vec<&'a str> {
    let rows = rows.iter().filter(|row| row.text("metric") == metric);
    let mut kinds: Vec<_> = rows.map(|row| row.text("rows")).collect();
    kinds.dedup();
    kinds
}

/// Return the reasons with their numbers: `17 bot, 3 not deployed`.
fn left_out(rows: &[&ReportRow]) -> String {
    let others = rows.iter().filter(|row| row.text("reason") != "counted");
    let reasons: Vec<_> = others
        .map(|row| match row.count("n") {
            0 => row.text("reason").to_owned(),
            n => format!("{n} {}", row.text("reason")),
        })
        .collect();
    match reasons.is_empty() {
        true => "none".to_owned(),
        false => reasons.join(", "),
    }
}

/// The rows of the lake that no project has; nothing if every row has one.
pub(super) fn without_project(rows: &ReportRows) -> Markup {
    if rows.rows.is_empty() {
        return html! {};
    }
    let table = html! {
        table cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "figure" }
                    th scope="col" { "rows" }
                    th scope="col" { "reason" }
                    th scope="col" class="n" { "n" }
                }
            }
            tbody {
                @for row in &rows.rows {
                    tr {
                        th scope="row" align="left" { (row.text("metric").replace('_', " ")) }
                        td { (row.text("rows")) }
                        td { (row.text("reason")) }
                        td class="n" { (row.count("n")) }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Rows without a project" }
            p class="lead" { "They are in no figure of this page." }
            (scrolled("Rows without a project", &table))
            (command(&rows.call))
        }
    }
}

/// The lists of the project's repositories, and how far they are complete. Lists in the same state share a row.
pub(super) fn completeness(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.completeness;
    let zone = project.zone;
    html! {
        h3 { "Completeness by list" }
        @if rows.is_empty() { p class="none" { "No list of this project's repositories is known." } }
        @else {
            table class="rows" cellpadding="4" {
                thead {
                    tr {
                        th scope="col" { "lists" }
                        th scope="col" { "status" }
                        th scope="col" class="n" { "repositories" }
                        th scope="col" { "complete from" }
                        th scope="col" { "until" }
                        th scope="col" { "reason" }
                    }
                }
                tbody {
                    @for (row, lists) in by_state(rows) {
                        tr {
                            th scope="row" align="left" { (lists.join(", ")) }
                            td data-label="status" { (status(row)) }
                            td class="n" data-label="repositories" { (row.count("repositories")) }
                            td class="time" data-label="complete from" { (from(row, zone)) }
                            td class="time" data-label="until" { (until(row, zone)) }
                            td data-label="reason" { (reason(row)) }
                        }
                    }
                }
            }
        }
        (command(call))
    }
}

/// Group the lists by all that the table says of them, in the order of the rows.
fn by_state(rows: &[ReportRow]) -> Vec<(&ReportRow, Vec<&str>)> {
    let state = |row: &ReportRow| {
        let (status, reason) = (row.text("status").to_owned(), row.text("reason").to_owned());
        // Of lists that are complete, no repository is named.
        let named = if status == "complete" {
            ""
        } else {
            row.text("first repository")
        };
        let times = (row.instant("complete from"), row.instant("complete until"));
        (
            status,
            reason,
            named.to_owned(),
            times,
            row.count("repositories"),
        )
    };
    let mut groups: Vec<(&ReportRow, Vec<&str>)> = Vec::new();
    for row in rows {
        match groups
            .iter_mut()
            .find(|(first, _)| state(first) == state(row))
        {
            Some((_, lists)) => lists.push(row.text("list")),
            None => groups.push((row, vec![row.text("list")])),
        }
    }
    groups
}

fn status(row: &ReportRow) -> &str {
    match row.text("status") {
        "absent" => "unavailable",
        "not_collected" => "not collected",
        status => status,
    }
}

fn from(row: &ReportRow, zone: chrono_tz::Tz) -> String {
    match row.instant("complete from") {
        None if row.text("status") == "complete" => "the beginning".to_owned(),
        time => local_date(time, zone),
    }
}

fn until(row: &ReportRow, zone: chrono_tz::Tz) -> String {
    match row.instant("complete until") {
        None if row.text("status") == "complete" => "the last run".to_owned(),
        time => local_date(time, zone),
    }
}

/// Return the reason of an incomplete list, with a repository that has it.
fn reason(row: &ReportRow) -> Markup {
    let is_one = row.count("repositories") == 1;
    html! {
        @if row.text("status") != "complete" {
            div {
                (outside(row.text("reason")))
                div class="of" {
                    bdi { (outside(row.text("first repository"))) }
                    @if !is_one { " and others" }
                }
            }
        }
    }
}
