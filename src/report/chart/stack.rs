//! Draws the parts of a whole for each period, stacked.

use maud::{Markup, html};

use super::axis::{PeriodPlot, largest};
use super::{CODING, ChartColour, ChartHead, ChartPeriod, DEPLOY, HEIGHT, PICKUP, REVIEW, WIDTH};
use super::{at, legend, svg};

/// The parts of the lead time of one period, in hours.
#[derive(Debug)]
pub(in crate::report) struct StackedPeriod {
    /// The period, whose value is the sum of the parts.
    pub(in crate::report) period: ChartPeriod,
    /// Coding, pickup, review, deploy.
    pub(in crate::report) parts: [f64; 4],
}

const PARTS: [(ChartColour, &str); 4] = [
    (CODING, "coding"),
    (PICKUP, "pickup"),
    (REVIEW, "review"),
    (DEPLOY, "deploy"),
];

/// Draw the parts of each period from coding at the foot to deploy at the top.
pub(in crate::report) fn stack_chart(head: &ChartHead, stacks: &[StackedPeriod]) -> Markup {
    let periods: Vec<_> = stacks.iter().map(|stack| stack.period.clone()).collect();
    let plot = PeriodPlot::new(
        periods.len(),
        largest(periods.iter().map(|period| period.value)),
        34.0,
    );
    let body = html! {
        (legend(&PARTS, 11.0))
        (plot.grid())
        @for (n, stack) in stacks.iter().enumerate() {
            @match stack.period.value {
                Some(whole) => (column(&plot, n, stack, whole)),
                None => (plot.gap(n, &stack.period)),
            }
        }
        (plot.labels(&periods))
    };
    svg(head, WIDTH, HEIGHT, &body)
}

fn column(plot: &PeriodPlot, n: usize, stack: &StackedPeriod, whole: f64) -> Markup {
    let width = plot.column_width();
    let x = plot.x(n) - width / 2.0;
    let mut top = 0.0;
    let feet = stack.parts.map(|part| {
        top += part;
        top - part
    });
    html! {
        g fill-opacity=[stack.period.is_partial.then_some("0.45")] {
            title { (stack.period.hint) }
            @for (((colour, _), part), foot) in PARTS.iter().zip(stack.parts).zip(feet) {
                rect class=(colour.class) x=(at(x)) y=(at(plot.y(foot + part))) width=(at(width))
                    height=(at(plot.y(foot) - plot.y(foot + part))) fill=(colour.light) {}
            }
        }
        @if plot.has_room_for_values() {
            text x=(at(plot.x(n))) y=(at(plot.y(whole) - 5.0)) text-anchor="middle" { (format!("{whole:.0}")) }
        }
    }
}
