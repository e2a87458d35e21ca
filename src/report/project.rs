//! The section of one project.

use maud::{Markup, html};

use super::data::ProjectRows;
use super::format::{self, decimal, in_days, outside, with_unit};
use super::rows::ReportRow;
use super::{lists, pictures};

/// Return the section of a project. `number` makes the ids of its parts unique.
pub(super) fn section(project: &ProjectRows, number: usize) -> Markup {
    let prefix = anchor(number);
    html! {
        section id=(prefix) class="project" {
            h2 { bdi { (outside(&project.name)) } }
            (window(project))
            (incomplete(project))
            h3 { "Figures" }
            (cards(project))
            (lists::command(&project.figures.call))
            h3 { "Over time" }
            p class="lead" { "Pale or hollow: the period is not over, or was not collected as a whole. “–”: no value." }
            (pictures::figures_over_time(project, &prefix))
            h3 { "Where the time goes" }
            p class="lead" {
                "Coding: first commit to pull request. Pickup: to the first response. Review: to the merge. Deploy: to production."
            }
            div class="grid two" {
                (pictures::cycle_time(project, &prefix))
                (pictures::lead_times(project, &prefix))
            }
            h3 { "Production deployments" }
            (pictures::timeline(project, &prefix))
            (lists::failures(project))
            (lists::slowest_reviews(project))
            (lists::oldest_open(project))
            (lists::coverage(project))
            (lists::completeness(project))
        }
    }
}

/// Return the id of a project's section.
pub(super) fn anchor(number: usize) -> String {
    format!("p{number}")
}

fn window(project: &ProjectRows) -> Markup {
    let about = &project.about;
    let repositories = about.count("repositories");
    html! {
        p class="lead" {
            (about.text("first day")) " to " (about.text("last day")) ", " (about.text("time zone"))
            @if repositories > 0 {
                " · " (repositories) (if repositories == 1 { " repository" } else { " repositories" })
            }
        }
    }
}

/// Return a notice of lists that are neither complete nor unavailable for good.
fn incomplete(project: &ProjectRows) -> Markup {
    let rows = project.completeness.rows.iter();
    let lists: Vec<_> = rows
        .filter(|row| !matches!(row.text("status"), "complete" | "absent"))
        .map(|row| format!("{} ({})", row.text("list"), row.text("status")))
        .collect();
    html! {
        @if !lists.is_empty() {
            p class="notice" { strong { "Not complete: " } (lists.join(", ")) ". Figures may change." }
        }
    }
}

fn cards(project: &ProjectRows) -> Markup {
    html! {
        div class="cards" {
            @for figure in &project.figures.rows { (card(figure)) }
        }
    }
}

/// Return the card of a figure: value, class, sample size and trend, with a reason for each that is missing.
fn card(figure: &ReportRow) -> Markup {
    let (value, unit) = (figure.number("value"), figure.text("unit"));
    let note = figure.text("note");
    html! {
        div class="card" {
            h4 { (figure.text("title")) }
            p class="value" {
                @if value.is_some() { strong { (decimal(value)) } " " span class="unit" { (unit) } }
                @else { span class="none" { (reason(figure)) } }
            }
            @if !note.is_empty() { p class="caution" { (note) } }
            p class="facts" {
                @if let Some(days) = in_days(value, unit) { (days) " · " }
                "n\u{a0}=\u{a0}" (figure.count("n"))
                @if figure.number("p75").is_some() {
                    " · p75\u{a0}" (decimal(figure.number("p75"))) " · p90\u{a0}" (decimal(figure.number("p90")))
                }
            }
            (class(figure))
            (trend(figure))
        }
    }
}

fn reason(figure: &ReportRow) -> &str {
    match figure.text("reason") {
        "" => "no value",
        reason => reason,
    }
}

/// Return the class as a word, with dots that need no colour: four of four for elite.
pub(super) fn class(figure: &ReportRow) -> Markup {
    let class = figure.text("class");
    html! {
        @if !class.is_empty() {
            p class="class" {
                span class="dots" aria-hidden="true" { (dots(class)) }
                " " strong { (class.replace(", ", " or ")) }
                " " span class="benchmark" { "DORA 2023: " (figure.text("benchmark")) }
            }
        } @else if !figure.text("class reason").is_empty() {
            p class="class none" { (figure.text("class reason")) }
        }
    }
}

/// Return the dots of a class; for several classes, the dots of the best.
pub(super) fn dots(class: &str) -> &'static str {
    match class.split(',').next().unwrap_or_default() {
        "elite" => "●●●●",
        "high" => "●●●○",
        "medium" => "●●○○",
        _ => "●○○○",
    }
}

fn trend(figure: &ReportRow) -> Markup {
    let unit = figure.text("unit");
    let (last, previous) = (figure.number("last value"), figure.number("previous value"));
    let trend = figure.text("trend");
    html! {
        p class="trend" {
            @if trend.is_empty() { "No trend: " (trend_reason(figure)) }
            @else {
                span aria-hidden="true" { (arrow(last, previous)) } " " strong { (trend) } ": "
                (with_unit(last, unit)) " in " (format::period(figure.text("last period"))) " after "
                (with_unit(previous, unit)) " in " (format::period(figure.text("previous period")))
            }
        }
    }
}

/// Return why there is no trend, with months by name.
fn trend_reason(figure: &ReportRow) -> String {
    let reason = figure.text("trend reason");
    let (start, label) = reason.rsplit_once(' ').unwrap_or(("", reason));
    format!("{start} {}", format::period(label))
        .trim_start()
        .to_owned()
}

fn arrow(last: Option<f64>, previous: Option<f64>) -> &'static str {
    match last.partial_cmp(&previous) {
        Some(std::cmp::Ordering::Greater) => "↑",
        Some(std::cmp::Ordering::Less) => "↓",
        _ => "→",
    }
}
