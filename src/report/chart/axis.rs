//! The frame of a chart over periods: scale, grid and labels.

use maud::{Markup, html};

use super::{ChartPeriod, HEIGHT, WIDTH, at};
use crate::report::format;

/// Units left of the drawing, for the labels of the scale.
const LEFT: f64 = 34.0;
const RIGHT: f64 = 4.0;
/// Units below the drawing, for the labels of the periods.
const BELOW: f64 = 32.0;
/// The most short labels that fit side by side.
const LABELS: usize = 9;
/// The most periods whose values are written.
const WRITTEN: usize = 10;

/// The positions at which periods and values are drawn.
#[derive(Debug)]
pub(super) struct PeriodPlot {
    periods: usize,
    top: f64,
    foot: f64,
    /// The distance of two lines of the grid, as a value.
    step: f64,
    lines: usize,
}

impl PeriodPlot {
    /// Create a plot for values from 0 to `largest`. `top` is the position of the highest line.
    pub(super) fn new(periods: usize, largest: f64, top: f64) -> Self {
        let step = nice_step(largest / 4.0);
        Self {
            periods,
            top,
            foot: HEIGHT - BELOW,
            step,
            lines: (largest / step).ceil().max(1.0) as usize,
        }
    }

    /// Return the width of a period.
    pub(super) fn period_width(&self) -> f64 {
        (WIDTH - LEFT - RIGHT) / self.periods.max(1) as f64
    }

    /// Return the width of a column in a period.
    pub(super) fn column_width(&self) -> f64 {
        (self.period_width() * 0.62).min(30.0)
    }

    /// Return the middle of a period.
    pub(super) fn x(&self, period: usize) -> f64 {
        LEFT + self.period_width() * (period as f64 + 0.5)
    }

    /// Return the height of a value.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = value / (self.step * self.lines as f64);
        self.foot - (self.foot - self.top) * share
    }

    /// Return whether there is room to write the values of periods.
    pub(super) fn has_room_for_values(&self) -> bool {
        self.periods <= WRITTEN
    }

    /// Return the lines of the scale and their labels.
    pub(super) fn grid(&self) -> Markup {
        html! {
            @for line in 0..=self.lines {
                @let value = self.step * line as f64;
                @let y = self.y(value);
                line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y)) y2=(at(y)) stroke="currentColor"
                    stroke-opacity=(if line == 0 { "0.5" } else { "0.13" }) {}
                text x=(LEFT - 5.0) y=(at(y + 3.5)) text-anchor="end" fill-opacity="0.75" {
                    (if self.step < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") })
                }
            }
        }
    }

    /// Return the labels of the periods: as many as fit, with the year below the first and below each January.
    pub(super) fn labels(&self, periods: &[ChartPeriod]) -> Markup {
        let every = periods.len().div_ceil(LABELS).max(1);
        html! {
            @for (n, period) in periods.iter().enumerate().filter(|(n, _)| n % every == 0) {
                @let (x, y) = (at(self.x(n)), self.foot + 13.0);
                text x=(x) y=(at(y)) text-anchor="middle" fill-opacity="0.75" { (short_label(&period.label)) }
                @if n == 0 || format::month_name(&period.label) == Some("Jan") {
                    text x=(x) y=(at(y + 13.0)) text-anchor="middle" fill-opacity="0.75" {
                        (year(&period.label))
                    }
                }
            }
        }
    }

    /// Return a dash at the foot of a period without a value, with the reason.
    pub(super) fn gap(&self, n: usize, period: &ChartPeriod) -> Markup {
        html! {
            text x=(at(self.x(n))) y=(at(self.foot - 4.0)) text-anchor="middle" fill-opacity="0.75" {
                title { (period.hint) }
                "–"
            }
        }
    }
}

/// Return the largest of the values, at least 1: small figures do not fill the chart.
pub(super) fn largest(values: impl Iterator<Item = Option<f64>>) -> f64 {
    values.flatten().fold(1.0, f64::max)
}

/// Return the first of 1, 2 and 5 times a power of ten, from 0.1 on, that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let mut power = 0.1;
    loop {
        let steps = [1.0, 2.0, 5.0].map(|step| step * power);
        if let Some(step) = steps.into_iter().find(|step| *step >= least) {
            return step;
        }
        power *= 10.0;
    }
}

/// Return the part of a label that distinguishes it from its neighbours: `May`, `W19`, `05-04`.
fn short_label(label: &str) -> &str {
    match format::month_name(label) {
        Some(month) => month,
        None => label
            .get(5..)
            .filter(|it| it.starts_with('W'))
            .unwrap_or_else(|| {
                // `week of 2026-05-04`
                label.get(label.len().saturating_sub(5)..).unwrap_or(label)
            }),
    }
}

/// Return the year of a label: its first four digits in a row.
fn year(label: &str) -> &str {
    let mut words = label.split(['-', ' ']);
    words
        .find(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_round_numbers_and_holds_the_largest_value() {
        for value in [1.0, 2.7, 9.9, 10.0, 27.3, 99.0, 340.3, 12345.6] {
            let plot = PeriodPlot::new(3, value, 10.0);
            assert!(plot.y(value) >= 9.99, "{value}");
            assert!(
                (2..=5).contains(&plot.lines),
                "{value}: {} lines",
                plot.lines
            );
        }
    }

    #[test]
    fn labels_are_short() {
        let short = ["2026-05", "2026-W19", "week of 2026-05-04"].map(short_label);
        assert_eq!(short, ["May", "W19", "05-04"]);
        let years = ["2026-05", "2026-W19", "week of 2026-05-04", ""].map(year);
        assert_eq!(years, ["2026", "2026", "2026", ""]);
    }
}
