//! Draws rows as charts, each with a summary, its data as a table, and the query that prints the rows.

use maud::{Markup, html};

use super::chart::{
    ChartHead, ChartPeriod, DeploymentMark, MarkState, SpanBar, StackedPeriod, TimelineSpan,
    column_chart, range_chart, span_chart, stack_chart, timeline_chart,
};
use super::data::{ProjectRows, ReportRows};
use super::format::{self, decimal, local, with_unit};
use super::rows::{QueryCall, ReportRow};
use crate::plural::counted;

/// Return the charts of the five figures over time.
pub(super) fn figures_over_time(project: &ProjectRows, prefix: &str) -> Markup {
    html! {
        div class="grid" {
            @for figure in &project.figures.rows {
                @let metric = figure.text("metric");
                @let rows = project.over_time.rows.iter().filter(|row| row.text("metric") == metric);
                (over_time(figure, &rows.collect::<Vec<_>>(), &project.over_time.call, prefix))
            }
        }
    }
}

fn over_time(figure: &ReportRow, rows: &[&ReportRow], call: &QueryCall, prefix: &str) -> Markup {
    let (title, unit) = (figure.text("title"), figure.text("unit"));
    let is_duration = unit == "h";
    let periods: Vec<_> = rows.iter().map(|row| chart_period(row, unit)).collect();
    let head = ChartHead {
        id: format!("{prefix}-{}", figure.text("metric").replace('_', "-")),
        title: format!("{title}, {unit}"),
        summary: summary(&periods, unit),
    };
    let chart = match is_duration {
        true => range_chart(&head, &periods),
        false => column_chart(&head, &periods),
    };
    let data = html! {
        table cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "period" }
                    th scope="col" class="n" { (if is_duration { "median h" } else { unit }) }
                    @if is_duration { th scope="col" class="n" { "p75 h" } th scope="col" class="n" { "p90 h" } }
                    th scope="col" class="n" { "n" }
                    th scope="col" { "note" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" align="left" { (row.text("period")) }
                        td class="n" { (decimal(row.number("value"))) }
                        @if is_duration {
                            td class="n" { (decimal(row.number("p75"))) }
                            td class="n" { (decimal(row.number("p90"))) }
                        }
                        td class="n" { (row.count("n")) }
                        td { (period_note(row)) }
                    }
                }
            }
        }
    };
    figure_block(
        &html! { (title) span class="unit" { " " (unit) } },
        &chart,
        call,
        &data,
    )
}

/// Return the note of a period, which also says whether the period is incomplete.
fn period_note(row: &ReportRow) -> String {
    let note = row.text("note");
    let partial = if row.flag("partial") {
        "incomplete"
    } else {
        ""
    };
    let parts = [partial, note].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}

fn chart_period(row: &ReportRow, unit: &str) -> ChartPeriod {
    let label = row.text("period");
    let note = period_note(row);
    let note = if note.is_empty() {
        note
    } else {
        format!("; {note}")
    };
    let (value, n) = (with_unit(row.number("value"), unit), row.count("n"));
    ChartPeriod {
        label: label.to_owned(),
        value: row.number("value"),
        p75: row.number("p75"),
        p90: row.number("p90"),
        is_partial: row.flag("partial"),
        hint: format!("{}: {value} (n = {n}){note}", format::period(label)),
    }
}

/// Return a sentence about the first and last value, the range, and incomplete or missing periods.
fn summary(periods: &[ChartPeriod], unit: &str) -> String {
    let known: Vec<_> = periods
        .iter()
        .filter_map(|period| Some((period, period.value?)))
        .collect();
    let (Some((first, first_value)), Some((last, last_value))) = (known.first(), known.last())
    else {
        return "No period has a value.".to_owned();
    };
    let text = |value: f64| with_unit(Some(value), unit);
    let least = known
        .iter()
        .map(|(_, value)| *value)
        .fold(f64::MAX, f64::min);
    let largest = known.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut summary = format!(
        "From {} in {} to {} in {}; between {} and {}.",
        text(*first_value),
        format::period(&first.label),
        text(*last_value),
        format::period(&last.label),
        text(least),
        text(largest),
    );
    let names = |periods: Vec<&ChartPeriod>| {
        let names: Vec<_> = periods.iter().map(|it| format::period(&it.label)).collect();
        names.join(", ")
    };
    let partial: Vec<_> = periods.iter().filter(|period| period.is_partial).collect();
    if !partial.is_empty() {
        summary.push_str(&format!(" Incomplete: {}.", names(partial)));
    }
    let missing: Vec<_> = periods.iter().filter(|it| it.value.is_none()).collect();
    if !missing.is_empty() {
        summary.push_str(&format!(" Without a value: {}.", names(missing)));
    }
    summary
}

/// Return the chart of the parts of the lead time by period.
pub(super) fn cycle_time(project: &ProjectRows, prefix: &str) -> Markup {
    let ReportRows { call, rows } = &project.cycle_time;
    let parts = ["coding h", "pickup h", "review h", "deploy h"];
    let stacks: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut period = chart_period_of_parts(row);
            let in_words = parts.map(|part| {
                let name = part.trim_end_matches(" h");
                format!("{name} {}", with_unit(row.number(part), "h"))
            });
            if period.value.is_some() {
                period.hint = format!("{}: {}", period.hint, in_words.join(", "));
            }
            StackedPeriod {
                period,
                parts: parts.map(|part| row.number(part).unwrap_or_default()),
            }
        })
        .collect();
    let periods: Vec<_> = stacks.iter().map(|stack| stack.period.clone()).collect();
    let head = ChartHead {
        id: format!("{prefix}-cycle-time"),
        title: "Lead time in its parts, mean hours".to_owned(),
        summary: format!(
            "The mean lead time, of coding, pickup, review and deploy. {}",
            summary(&periods, "h")
        ),
    };
    let data = html! {
        table cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "period" }
                    @for part in parts { th scope="col" class="n" { (part) } }
                    th scope="col" class="n" { "mean h" }
                    th scope="col" class="n" { "n" }
                    th scope="col" { "note" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" align="left" { (row.text("period")) }
                        @for part in parts { td class="n" { (decimal(row.number(part))) } }
                        td class="n" { (decimal(row.number("mean h"))) }
                        td class="n" { (row.count("n")) }
                        td { (period_note(row)) }
                    }
                }
            }
        }
    };
    let title = html! { "Lead time in its parts" span class="unit" { " mean hours" } };
    figure_block(&title, &stack_chart(&head, &stacks), call, &data)
}

fn chart_period_of_parts(row: &ReportRow) -> ChartPeriod {
    let label = row.text("period");
    let (value, n) = (row.number("mean h"), row.count("n"));
    let (mean, note) = (with_unit(value, "h"), period_note(row));
    let note = if note.is_empty() {
        note
    } else {
        format!("; {note}")
    };
    ChartPeriod {
        label: label.to_owned(),
        value,
        p75: None,
        p90: None,
        is_partial: row.flag("partial"),
        hint: format!("{}: {mean} (n = {n}){note}", format::period(label)),
    }
}

/// Return the chart of the distribution of lead times.
pub(super) fn lead_times(project: &ProjectRows, prefix: &str) -> Markup {
    let ReportRows { call, rows } = &project.lead_times;
    let bars: Vec<_> = rows
        .iter()
        .map(|row| SpanBar {
            label: row.text("lead time").to_owned(),
            n: row.count("changes"),
            share: decimal(row.number("share %")),
        })
        .collect();
    let total: u64 = bars.iter().map(|bar| bar.n).sum();
    let most = bars
        .iter()
        .rev()
        .max_by_key(|bar| bar.n)
        .filter(|bar| bar.n > 0);
    let most = most.map_or_else(String::new, |bar| {
        format!(" Most have {}: {} ({} %).", bar.label, bar.n, bar.share)
    });
    let head = ChartHead {
        id: format!("{prefix}-lead-times"),
        title: "Distribution of lead times, changes".to_owned(),
        summary: format!("{total} changes by lead time.{most}"),
    };
    let data = html! {
        table cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "lead time" }
                    th scope="col" class="n" { "changes" }
                    th scope="col" class="n" { "share %" }
                }
            }
            tbody {
                @for bar in &bars {
                    tr {
                        th scope="row" align="left" { (bar.label) }
                        td class="n" { (bar.n) }
                        td class="n" { (bar.share) }
                    }
                }
            }
        }
    };
    let title = html! { "Distribution of lead times" span class="unit" { " changes" } };
    figure_block(&title, &span_chart(&head, &bars), call, &data)
}

/// Return the timeline of deployments, drawn for a wide page and for a narrow page.
pub(super) fn timeline(project: &ProjectRows, prefix: &str) -> Markup {
    let Some(span) = timeline_span(project) else {
        return html! { p { "No production deployment is known." } };
    };
    let rows = project.timeline.rows.iter();
    let marks: Vec<_> = rows
        .filter_map(|row| mark(row, project))
        .filter(|mark| mark.finished >= span.begins && mark.finished < span.ends)
        .collect();
    let count = |state| marks.iter().filter(|mark| mark.state == state).count();
    let summary = format!(
        "{} from {} to {}: {} failed, {}, {} did not reach production.",
        counted(marks.len() as u64, "deployment"),
        format::local_date(Some(span.begins), project.zone),
        project.about.text("last day"),
        count(MarkState::Failed),
        counted(count(MarkState::Rollback) as u64, "rollback"),
        count(MarkState::NotInProduction),
    );
    let head = |suffix: &str| ChartHead {
        id: format!("{prefix}-timeline{suffix}"),
        title: "Production deployments by repository".to_owned(),
        summary: summary.clone(),
    };
    html! {
        figure {
            div class="wide" { (timeline_chart(&head(""), &span, &marks, false)) }
            div class="narrow" hidden { (timeline_chart(&head("-narrow"), &span, &marks, true)) }
            (details(&project.deployments.call, &deployments_table(&project.deployments.rows)))
        }
    }
}

/// Return the time from the first shown period to the end of the window; `None` without deployments.
fn timeline_span(project: &ProjectRows) -> Option<TimelineSpan> {
    if project.timeline.rows.is_empty() {
        return None;
    }
    let rows = project.over_time.rows.iter();
    let rows = rows.filter(|row| row.text("metric") == "deployment_frequency");
    let periods: Vec<_> = rows
        .filter_map(|row| {
            let label = row.text("period");
            let name = format::month_name(label).map_or(label, |month| month);
            Some((row.instant("begins")?, name.to_owned()))
        })
        .collect();
    let first = periods.first().map(|(begins, _)| *begins);
    let window = project.about.instant("begins")?;
    Some(TimelineSpan {
        begins: first.unwrap_or(window).max(window),
        ends: project.about.instant("ends")?,
        periods,
    })
}

fn mark(row: &ReportRow, project: &ProjectRows) -> Option<DeploymentMark> {
    let state = match row.text("state") {
        "failed" => MarkState::Failed,
        "rollback" => MarkState::Rollback,
        "not in production" => MarkState::NotInProduction,
        _ => MarkState::Deployed,
    };
    let finished = row.instant("finished")?;
    let hint = match state {
        // A tick stands for many deployments, and has no title.
        MarkState::Deployed => String::new(),
        _ => {
            let recovery = row.number("recovery h");
            let recovery = recovery.map_or_else(String::new, |hours| {
                format!(", recovered after {}", with_unit(Some(hours), "h"))
            });
            let name = format::outside(row.text("deployment")).into_owned();
            let time = local(Some(finished), project.zone);
            format!("{name}, {time}: {}{recovery}", row.text("state"))
        }
    };
    Some(DeploymentMark {
        lane: format::outside(row.text("repository")).into_owned(),
        finished,
        recovered: row.instant("recovered"),
        state,
        hint,
    })
}

fn deployments_table(rows: &[ReportRow]) -> Markup {
    let counts = [
        "deployed",
        "failed",
        "recovered",
        "rollbacks",
        "not in production",
    ];
    html! {
        table cellpadding="4" {
            thead {
                tr {
                    th scope="col" { "period" }
                    th scope="col" { "repository" }
                    @for count in counts { th scope="col" class="n" { (count) } }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" align="left" { (row.text("period")) }
                        td { bdi { (format::outside(row.text("repository"))) } }
                        @for count in counts { td class="n" { (row.count(count)) } }
                    }
                }
            }
        }
    }
}

/// Return a chart with its heading, and its data and query in a collapsed section.
fn figure_block(title: &Markup, chart: &Markup, call: &QueryCall, data: &Markup) -> Markup {
    html! {
        figure {
            figcaption { h4 { (title) } }
            (chart)
            (details(call, data))
        }
    }
}

/// Return a collapsed table with the command that prints it.
fn details(call: &QueryCall, data: &Markup) -> Markup {
    html! {
        details {
            summary { "Data" }
            (super::lists::scrolled("Data of the chart", data))
            (super::lists::command(call))
        }
    }
}
