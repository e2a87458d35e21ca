//! Charts as SVG with presentation attributes, so that they look right without a stylesheet. Text has the colour of the
//! page; classes let the stylesheet choose brighter colours on a dark page.
//!
//! Small charts are 360 units wide, which is about the width of a phone, and are placed side by side on a wide page.
//! Therefore their text has about the same size on every page.

mod axis;
mod columns;
mod ranges;
mod spans;
mod stack;
mod timeline;

pub(super) use columns::column_chart;
pub(super) use ranges::range_chart;
pub(super) use spans::{SpanBar, span_chart};
pub(super) use stack::{StackedPeriod, stack_chart};
pub(super) use timeline::{DeploymentMark, MarkState, TimelineSpan, timeline_chart};

use maud::{Markup, html};

/// The width of a small chart.
const WIDTH: f64 = 360.0;
/// The height of a small chart.
const HEIGHT: f64 = 208.0;
/// The width of a chart over the whole page.
const WIDE: f64 = 860.0;

/// A colour with the class by which the stylesheet replaces it on a dark page.
#[derive(Debug, Clone, Copy)]
struct ChartColour {
    class: &'static str,
    light: &'static str,
}

const ACCENT: ChartColour = ChartColour {
    class: "accent",
    light: "#3b6fd4",
};
const CODING: ChartColour = ChartColour {
    class: "coding",
    light: "#9cbcf5",
};
const PICKUP: ChartColour = ChartColour {
    class: "pickup",
    light: "#e39a2d",
};
const REVIEW: ChartColour = ACCENT;
const DEPLOY: ChartColour = ChartColour {
    class: "deploy",
    light: "#5a4aa8",
};
const FAILED: ChartColour = ChartColour {
    class: "failed",
    light: "#c9372c",
};
const ROLLBACK: ChartColour = PICKUP;

/// The title of a chart, and its summary for screen readers.
#[derive(Debug, Clone)]
pub(super) struct ChartHead {
    /// Unique in the page.
    pub(super) id: String,
    pub(super) title: String,
    /// The chart in one or two sentences.
    pub(super) summary: String,
}

/// A figure of one period.
#[derive(Debug, Clone)]
pub(super) struct ChartPeriod {
    /// As in `config.buckets`: `2026-05`, `2026-W19`.
    pub(super) label: String,
    /// The figure; for a duration the median.
    pub(super) value: Option<f64>,
    pub(super) p75: Option<f64>,
    pub(super) p90: Option<f64>,
    /// The period is not over, or was not collected as a whole.
    pub(super) is_partial: bool,
    /// The figure in words, shown while the pointer is on its mark.
    pub(super) hint: String,
}

/// Return a chart of this size with its title and summary.
fn svg(head: &ChartHead, width: f64, height: f64, body: &Markup) -> Markup {
    let (title, summary) = (format!("{}-t", head.id), format!("{}-d", head.id));
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            role="img" aria-labelledby=(format!("{title} {summary}"))
            font-family="system-ui, sans-serif" font-size="11" fill="currentColor" {
            title id=(title) { (head.title) }
            desc id=(summary) { (head.summary) }
            (body)
        }
    }
}

/// Return a coordinate with at most one decimal.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Return a row of colours with their names, from the left.
fn legend(entries: &[(ChartColour, &str)], y: f64) -> Markup {
    let mut end = 0.0;
    let places = entries.iter().map(|(_, name)| {
        let x = end;
        end += 28.0 + 6.2 * name.chars().count() as f64;
        x
    });
    html! {
        @for ((colour, name), x) in entries.iter().zip(places) {
            rect class=(colour.class) x=(at(x)) y=(at(y - 9.0)) width="10" height="10" rx="2" fill=(colour.light) {}
            text x=(at(x + 14.0)) y=(at(y)) { (name) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([at(1.0), at(1.25), at(-0.04)], ["1", "1.2", "-0"]);
    }

    #[test]
    fn a_chart_is_an_image_with_a_title_and_a_summary() {
        let head = ChartHead {
            id: "x".to_owned(),
            title: "A & B".to_owned(),
            summary: "Two <bars>.".to_owned(),
        };
        let text = svg(&head, 10.0, 10.0, &html! {}).into_string();
        assert!(
            text.contains(r#"role="img" aria-labelledby="x-t x-d""#),
            "{text}"
        );
        assert!(
            text.contains(r#"<title id="x-t">A &amp; B</title>"#),
            "{text}"
        );
        assert!(text.contains("Two &lt;bars&gt;."), "{text}");
    }
}
