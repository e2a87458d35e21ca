//! Draws a distribution: one horizontal bar for each span of values.

use maud::{Markup, html};

use super::{ACCENT, ChartHead, WIDTH, at, svg};

/// The number of rows with a value in one span.
#[derive(Debug)]
pub(in crate::report) struct SpanBar {
    pub(in crate::report) label: String,
    pub(in crate::report) n: u64,
    pub(in crate::report) share: String,
}

/// Units left of the bars, for the labels of the spans.
const LEFT: f64 = 116.0;
/// Units right of the bars, for count and share.
const RIGHT: f64 = 84.0;
const ROW: f64 = 19.6;

/// Draw the spans downwards, each with its count and share.
pub(in crate::report) fn span_chart(head: &ChartHead, bars: &[SpanBar]) -> Markup {
    let largest = bars.iter().map(|bar| bar.n).max().unwrap_or(0).max(1) as f64;
    let body = html! {
        @for (n, bar) in bars.iter().enumerate() {
            @let y = 4.0 + ROW * n as f64;
            @let width = (WIDTH - LEFT - RIGHT) * bar.n as f64 / largest;
            text x=(LEFT - 7.0) y=(at(y + 12.0)) text-anchor="end" { (bar.label) }
            rect class=(ACCENT.class) x=(LEFT) y=(at(y + 1.0)) width=(at(width.max(1.0))) height=(ROW - 5.0) rx="2"
                fill=(ACCENT.light) fill-opacity=[(bar.n == 0).then_some("0.3")] {}
            text x=(at(LEFT + width + 6.0)) y=(at(y + 12.0)) {
                (bar.n)
                @if bar.n > 0 { tspan fill-opacity="0.75" { " · " (bar.share) "\u{a0}%" } }
            }
        }
    };
    svg(head, WIDTH, 8.0 + ROW * bars.len() as f64, &body)
}
