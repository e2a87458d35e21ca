//! The document: head, summary of all projects, one section for each project, and explanations.

use chrono::SecondsFormat;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::data::{PageRows, ProjectRows};
use super::format::{outside, with_unit};
use super::rows::ReportRow;
use super::{PublishedRun, ReportOptions, lists, project};

const STYLE: &str = include_str!("style.css");

/// Return the whole page.
pub(super) fn document(rows: &PageRows, run: &PublishedRun, options: &ReportOptions) -> Markup {
    let names: Vec<_> = rows.projects.iter().map(|it| outside(&it.name)).collect();
    let title = match names.as_slice() {
        [] => "Delivery report".to_owned(),
        [name] => format!("Delivery report: {name}"),
        names => format!("Delivery report of {} projects", names.len()),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p class="lead" { (span(rows, options)) }
                }
                main {
                    @if rows.projects.is_empty() { (no_projects(options)) }
                    @if rows.projects.len() > 1 { (overview(&rows.projects)) }
                    @for (n, rows) in rows.projects.iter().enumerate() { (project::section(rows, n)) }
                    (lists::without_project(&rows.without_project))
                    (explanations())
                }
                footer { (origin(run)) }
            }
        }
    }
}

fn span(rows: &PageRows, options: &ReportOptions) -> String {
    let about = || rows.projects.iter().map(|project| &project.about);
    let first = about().map(|row| row.text("first day")).min();
    let last = about().map(|row| row.text("last day")).max();
    let whole = match (&options.from, &options.to) {
        (None, None) => "the whole collected time, ",
        _ => "",
    };
    match first.zip(last) {
        Some((first, last)) => format!("DORA's five figures, {whole}{first} to {last}"),
        None => "DORA's five figures".to_owned(),
    }
}

fn no_projects(options: &ReportOptions) -> Markup {
    let is_part = options.from.is_some() || options.to.is_some();
    html! {
        section {
            h2 { "No project has figures" @if is_part { " in this time" } }
            @if is_part { p { "Choose a longer time, or leave out " code { "--from" } " and " code { "--to" } "." } }
            @else {
                p {
                    "A figure belongs to a project: name its repositories under " code { "[[project]]" } " in "
                    code { "bitlake.toml" } ", then run " code { "bitlake transform" } "."
                }
            }
        }
    }
}

/// Return a table of all projects, with a link to the section of each.
fn overview(projects: &[ProjectRows]) -> Markup {
    let titles = projects.first().map_or(&[][..], |it| &it.figures.rows);
    let table = html! {
        table class="rows overview" cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "project" }
                    @for figure in titles { th scope="col" { (figure.text("title")) } }
                }
            }
            tbody {
                @for (n, project) in projects.iter().enumerate() {
                    tr {
                        th scope="row" align="left" {
                            a href=(format!("#{}", project::anchor(n))) { bdi { (outside(&project.name)) } }
                        }
                        @for figure in &project.figures.rows { td data-label=(figure.text("title")) { div { (overview_cell(figure)) } } }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "All projects" }
            (table)
        }
    }
}

fn overview_cell(figure: &ReportRow) -> Markup {
    let (value, class) = (figure.number("value"), figure.text("class"));
    // The project's card has the whole note.
    let note = figure.text("note").split(':').next().unwrap_or_default();
    html! {
        @if value.is_some() { strong { (with_unit(value, figure.text("unit"))) } }
        @else { span class="none" { (figure.text("reason")) } }
        @if !class.is_empty() {
            div class="of" {
                span class="dots" aria-hidden="true" { (project::dots(class)) } " " (class.replace(", ", " or "))
            }
        }
        @if !note.is_empty() { div class="of caution" { (note) } }
    }
}

/// The explanation of each word of the page.
const EXPLANATIONS: [(&str, &str); 9] = [
    (
        "Deployment frequency",
        "Successful releases to production per week. A release that reaches several environments counts once.",
    ),
    (
        "Lead time for changes",
        "Median time from a change's first commit to its first production deployment.",
    ),
    (
        "Change failure rate",
        "Failed deployments divided by deployments that reached production. The evidence of a failure is an incident, a \
         rollback, a revert, or a failed outcome that one of these followed. Without a source of incidents the rate is too \
         low, because failures that only an incident shows are missing.",
    ),
    (
        "Failed deployment recovery time",
        "Median time from a failed deployment to the end of its incident, or to the deployment that fixed the failure.",
    ),
    (
        "Deployment rework rate",
        "Rollbacks and deployments of mostly reverts and hotfixes, divided by successful deployments.",
    ),
    (
        "Class",
        "The cluster of DORA's report of 2023 whose band contains the figure, or is nearest to it. A figure of fewer than \
         five rows has no class.",
    ),
    (
        "Trend",
        "The last finished period, compared with the period before it.",
    ),
    (
        "Median, p75, p90",
        "Half, three quarters and nine tenths of the rows are at or below this value.",
    ),
    (
        "n",
        "The number of rows behind a figure: deployments, changes or failures. A figure of few rows is uncertain.",
    ),
];

fn explanations() -> Markup {
    html! {
        section {
            h2 { "How to read this page" }
            dl {
                @for (word, meaning) in EXPLANATIONS { dt { (word) } dd { (meaning) } }
            }
            p {
                "Below each list is the command that prints it; add " code { "--lake" } " with the address of the lake. "
                code { "bitlake query dora/trail" } " prints the rows of one figure, down to the records of Bitbucket."
            }
        }
    }
}

fn origin(run: &PublishedRun) -> Markup {
    let published = run
        .published_at
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    html! {
        p {
            "Made by bitlake " (env!("CARGO_PKG_VERSION"))
            @if !run.run_id.is_empty() { " from run " code { (run.run_id) } }
            @if let Some(published) = published { ", published at " (published) }
            "."
        }
    }
}
