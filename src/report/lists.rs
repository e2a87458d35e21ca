//! Rows as tables: pull requests, failed deployments, and what the figures rest on.

use maud::{Markup, html};

use super::data::{ProjectRows, ReportRows};
use super::format::{self, decimal, link, local, local_date, outside};
use super::row_table::{ListColumn, row_table};
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
    let columns = [
        ListColumn::main_number("open to merge", number("open to merge h")),
        ListColumn::number("to response", number("to first response h")),
        ListColumn::number("to approval", number("to approval h")),
        ListColumn::number("to merge", number("to merge h")),
        ListColumn::text("reason", text("reason")),
        ListColumn::number("rounds", count("rounds")),
        ListColumn::number("comments", count("comments")),
        ListColumn::number("reviewers", count("reviewers")),
    ];
    row_table("rows", rows, "pull request", pull_request, &columns)
}

fn text(column: &'static str) -> impl Fn(&ReportRow) -> Markup {
    move |row: &ReportRow| html! { (row.text(column)) }
}

fn count(column: &'static str) -> impl Fn(&ReportRow) -> Markup {
    move |row: &ReportRow| html! { (row.count(column)) }
}

/// Numbers of one decimal, such as hours.
fn number(column: &'static str) -> impl Fn(&ReportRow) -> Markup {
    move |row: &ReportRow| html! { (decimal(row.number(column))) }
}

/// Return the title of a pull request as a link, then where it is and whose it is.
fn pull_request(row: &ReportRow) -> Markup {
    html! {
        (link(row.text("url"), row.text("title")))
        div class="of" {
            bdi { (outside(row.text("repository"))) } " #" (row.count("number")) " · "
            bdi { (outside(row.text("author"))) }
        }
    }
}

/// The oldest open pull requests.
pub(super) fn oldest_open(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.oldest;
    let columns = [
        ListColumn::main_number("age, days", number("age days")),
        ListColumn::number("quiet, days", number("quiet days")),
        ListColumn::text("waits for", text("waits for")),
        ListColumn::number("reviewers", count("reviewers")),
        ListColumn::number("approvals", count("approvals")),
        ListColumn::number("comments", count("comments")),
    ];
    html! {
        h3 { "Oldest open pull requests" }
        p class="lead" { "At the end of " (project.about.text("last day")) ". Quiet: days since the last change or comment." }
        @if rows.is_empty() { p class="none" { "No pull request is open." } }
        @else { (row_table("rows", rows, "pull request", pull_request, &columns)) }
        (command(call))
    }
}

/// The failed deployments, the latest first.
pub(super) fn failures(project: &ProjectRows) -> Markup {
    let ReportRows { call, rows } = &project.failures;
    let columns = [
        ListColumn::time("finished", |row: &ReportRow| {
            html! { (local(row.instant("finished"), project.zone)) }
        }),
        ListColumn::text(
            "evidence",
            |row: &ReportRow| html! { div { (evidence(row)) } },
        ),
        ListColumn::number("changes", count("changes")),
        ListColumn::main_number("recovery, h", number("recovery h")),
        ListColumn::person("mended by", |row: &ReportRow| {
            html! { bdi { (outside(row.text("mended by"))) } }
        }),
    ];
    html! {
        h3 { "Failed deployments" }
        @if rows.is_empty() { p class="none" { "No deployment is known to have failed." } }
        @else { (row_table("rows failures", rows, "deployment", deployment, &columns)) }
        (command(call))
    }
}

/// Return the name of a deployment as a link, then where it is.
fn deployment(row: &ReportRow) -> Markup {
    html! {
        (link(row.text("url"), row.text("deployment")))
        div class="of" {
            bdi { (outside(row.text("repository"))) } " · "
            bdi { (outside(row.text("environment"))) }
        }
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
    let mut kinds_of_rows = Vec::new();
    for figure in &project.figures.rows {
        for kind in kinds(rows, figure.text("metric")) {
            let of_kind = |row: &&ReportRow| {
                row.text("metric") == figure.text("metric") && row.text("rows") == kind
            };
            kinds_of_rows.push(RowsOfKind {
                figure: figure.text("title"),
                kind,
                rows: rows.iter().filter(of_kind).collect(),
            });
        }
    }
    let columns = [
        ListColumn::text("rows", |of: &RowsOfKind<'_>| html! { (of.kind) }),
        ListColumn::number("counted", |of: &RowsOfKind<'_>| html! { (of.counted()) }),
        ListColumn::text(
            "left out",
            |of: &RowsOfKind<'_>| html! { (left_out(&of.rows)) },
        ),
    ];
    let figure = |of: &RowsOfKind<'_>| html! { (of.figure) };
    html! {
        h3 { "Rows behind the figures" }
        p class="lead" { "Over the whole collected time." }
        (row_table("rows", &kinds_of_rows, "figure", figure, &columns))
        (command(call))
    }
}

/// The rows of one kind that a figure is based on or leaves out.
struct RowsOfKind<'a> {
    figure: &'a str,
    kind: &'a str,
    rows: Vec<&'a ReportRow>,
}

impl RowsOfKind<'_> {
    fn counted(&self) -> u64 {
        let counted = self.rows.iter().find(|row| row.text("reason") == "counted");
        counted.map_or(0, |row| row.count("n"))
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
    let columns = [
        ListColumn::text("status", |of: &ListsInState<'_>| html! { (status(of.row)) }),
        ListColumn::number(
            "repositories",
            |of: &ListsInState<'_>| html! { (of.row.count("repositories")) },
        ),
        ListColumn::time(
            "complete from",
            |of: &ListsInState<'_>| html! { (from(of.row, zone)) },
        ),
        ListColumn::time(
            "until",
            |of: &ListsInState<'_>| html! { (until(of.row, zone)) },
        ),
        ListColumn::text("reason", |of: &ListsInState<'_>| reason(of.row)),
    ];
    let lists = |of: &ListsInState<'_>| html! { (of.lists.join(", ")) };
    html! {
        h3 { "Completeness by list" }
        @if rows.is_empty() { p class="none" { "No list of this project's repositories is known." } }
        @else { (row_table("rows", &by_state(rows), "lists", lists, &columns)) }
        (command(call))
    }
}

/// Lists of which the table says the same.
struct ListsInState<'a> {
    row: &'a ReportRow,
    lists: Vec<&'a str>,
}

/// Group the lists by all that the table says of them, in the order of the rows.
fn by_state(rows: &[ReportRow]) -> Vec<ListsInState<'_>> {
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
    let mut groups: Vec<ListsInState<'_>> = Vec::new();
    for row in rows {
        let list = row.text("list");
        match groups.iter_mut().find(|of| state(of.row) == state(row)) {
            Some(of) => of.lists.push(list),
            None => groups.push(ListsInState {
                row,
                lists: vec![list],
            }),
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
