//! Draws a range for each period: the median of durations, with p75 and p90.

use maud::{Markup, html};

use super::axis::{PeriodPlot, largest};
use super::{ACCENT, ChartHead, ChartPeriod, HEIGHT, WIDTH, at, svg};

/// Draw a dot at the median of each period and bars up to p75 and p90; medians of successive periods are connected.
pub(in crate::report) fn range_chart(head: &ChartHead, periods: &[ChartPeriod]) -> Markup {
    let values = periods
        .iter()
        .flat_map(|period| [period.value, period.p75, period.p90]);
    let plot = PeriodPlot::new(periods.len(), largest(values), 30.0);
    let body = html! {
        (range_legend())
        (plot.grid())
        @for (n, period) in periods.iter().enumerate() {
            @if let Some(value) = period.value { (range(&plot, n, period, value)) }
            @else { (plot.gap(n, period)) }
        }
        path d=(medians(&plot, periods)) class=(ACCENT.class) stroke=(ACCENT.light) stroke-width="1.5" fill="none" {}
        @for (n, period) in periods.iter().enumerate() {
            @if let Some(value) = period.value { (dot(&plot, n, period, value)) }
        }
        (plot.labels(periods))
    };
    svg(head, WIDTH, HEIGHT, &body)
}

/// Return the path that connects the medians of successive periods.
fn medians(plot: &PeriodPlot, periods: &[ChartPeriod]) -> String {
    let mut path = String::new();
    let mut is_after_gap = true;
    for (n, period) in periods.iter().enumerate() {
        if let Some(value) = period.value {
            path.push(if is_after_gap { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", at(plot.x(n)), at(plot.y(value))));
        }
        is_after_gap = period.value.is_none();
    }
    path
}

fn range(plot: &PeriodPlot, n: usize, period: &ChartPeriod, value: f64) -> Markup {
    let width = (plot.period_width() * 0.36).clamp(3.0, 12.0);
    let x = plot.x(n) - width / 2.0;
    let bar = |upper: Option<f64>, opacity: &str| {
        let upper = upper.unwrap_or(value).max(value);
        let height = plot.y(value) - plot.y(upper);
        html! {
            rect class=(ACCENT.class) x=(at(x)) y=(at(plot.y(upper))) width=(at(width)) height=(at(height)) rx="2"
                fill=(ACCENT.light) fill-opacity=(opacity) {}
        }
    };
    html! { (bar(period.p90, "0.22")) (bar(period.p75, "0.35")) }
}

fn dot(plot: &PeriodPlot, n: usize, period: &ChartPeriod, value: f64) -> Markup {
    let (x, y) = (plot.x(n), plot.y(value));
    html! {
        circle class={ (ACCENT.class) @if period.is_partial { " hollow" } } cx=(at(x)) cy=(at(y)) r="4"
            fill=(if period.is_partial { "#ffffff" } else { ACCENT.light }) stroke=(ACCENT.light) stroke-width="1.5" {
            title { (period.hint) }
        }
    }
}

fn range_legend() -> Markup {
    html! {
        circle class=(ACCENT.class) cx="5" cy="8" r="4" fill=(ACCENT.light) {}
        text x="14" y="12" { "median" }
        rect class=(ACCENT.class) x="64" y="3" width="10" height="10" rx="2" fill=(ACCENT.light) fill-opacity="0.5" {}
        text x="79" y="12" { "to p75" }
        rect class=(ACCENT.class) x="124" y="3" width="10" height="10" rx="2" fill=(ACCENT.light) fill-opacity="0.22" {}
        text x="139" y="12" { "to p90" }
    }
}
