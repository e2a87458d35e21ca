//! Draws a column for each period: counts and rates.

use maud::{Markup, html};

use super::axis::{PeriodPlot, largest};
use super::{ACCENT, ChartHead, ChartPeriod, HEIGHT, WIDTH, at, svg};

/// Draw one column for each period. A period that is not over is pale, with a broken outline.
pub(in crate::report) fn column_chart(head: &ChartHead, periods: &[ChartPeriod]) -> Markup {
    let plot = PeriodPlot::new(
        periods.len(),
        largest(periods.iter().map(|period| period.value)),
        18.0,
    );
    let body = html! {
        (plot.grid())
        @for (n, period) in periods.iter().enumerate() {
            @if let Some(value) = period.value { (column(&plot, n, period, value)) }
            @else { (plot.gap(n, period)) }
        }
        (plot.labels(periods))
    };
    svg(head, WIDTH, HEIGHT, &body)
}

fn column(plot: &PeriodPlot, n: usize, period: &ChartPeriod, value: f64) -> Markup {
    let width = plot.column_width();
    let (x, y) = (plot.x(n), plot.y(value));
    // A figure of 0 is drawn as a line, so that it differs from a missing figure.
    let height = (plot.y(0.0) - y).max(1.5);
    html! {
        rect class=(ACCENT.class) x=(at(x - width / 2.0)) y=(at(plot.y(0.0) - height)) width=(at(width))
            height=(at(height)) rx="1.5" fill=(ACCENT.light) stroke=(ACCENT.light)
            fill-opacity=[period.is_partial.then_some("0.25")]
            stroke-dasharray=[period.is_partial.then_some("3 2")] {
            title { (period.hint) }
        }
        @if plot.has_room_for_values() {
            text x=(at(x)) y=(at(y - 5.0)) text-anchor="middle" { (format!("{value:.1}")) }
        }
    }
}
