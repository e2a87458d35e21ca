//! Draws deployments along time, one lane for each repository, with failures and their durations.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{ACCENT, ChartHead, FAILED, ROLLBACK, WIDE, WIDTH, at, svg};

/// The outcome of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum MarkState {
    Deployed,
    Failed,
    Rollback,
    NotInProduction,
}

/// One deployment.
#[derive(Debug, Clone)]
pub(in crate::report) struct DeploymentMark {
    pub(in crate::report) lane: String,
    pub(in crate::report) finished: DateTime<Utc>,
    pub(in crate::report) recovered: Option<DateTime<Utc>>,
    pub(in crate::report) state: MarkState,
    /// The deployment in words, shown while the pointer is on its mark.
    pub(in crate::report) hint: String,
}

/// The time that is drawn, with the first instants of its periods.
#[derive(Debug, Clone)]
pub(in crate::report) struct TimelineSpan {
    pub(in crate::report) begins: DateTime<Utc>,
    pub(in crate::report) ends: DateTime<Utc>,
    pub(in crate::report) periods: Vec<(DateTime<Utc>, String)>,
}

/// Repositories that have a lane of their own; the others share the last lane.
const LANES: usize = 8;
const LANE_HEIGHT: f64 = 40.0;
/// Units above the first lane, for a row of the legend.
const LEGEND: f64 = 22.0;
/// The distance of a mark from the edge.
const MARGIN: f64 = 8.0;
/// The width of a period's label.
const LABEL: f64 = 40.0;

/// Draw the deployments with the width of the page, or of a phone.
pub(in crate::report) fn timeline_chart(
    head: &ChartHead,
    span: &TimelineSpan,
    marks: &[DeploymentMark],
    is_narrow: bool,
) -> Markup {
    let width = if is_narrow { WIDTH } else { WIDE };
    let scale = TimeScale { span, width };
    let lanes = lanes(marks);
    let top = if is_narrow { 2.0 * LEGEND } else { LEGEND };
    let foot = top + LANE_HEIGHT * lanes.len() as f64;
    let body = html! {
        (timeline_legend(is_narrow))
        (scale.labels(foot))
        @for (n, (name, marks)) in lanes.iter().enumerate() {
            (lane(&scale, top + LANE_HEIGHT * n as f64, name, marks))
        }
    };
    svg(head, width, foot + 24.0, &body)
}

/// Group the marks by lane: the repositories with most deployments, by name, then the others.
fn lanes(marks: &[DeploymentMark]) -> Vec<(String, Vec<&DeploymentMark>)> {
    let mut by_name: BTreeMap<&str, Vec<&DeploymentMark>> = BTreeMap::new();
    for mark in marks {
        by_name.entry(&mark.lane).or_default().push(mark);
    }
    let mut names: Vec<_> = by_name.iter().map(|(name, it)| (it.len(), *name)).collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let fits = names.len() <= LANES;
    let own = names.iter().take(if fits { LANES } else { LANES - 1 });
    let own: BTreeSet<&str> = own.map(|(_, name)| *name).collect();
    let mut lanes = Vec::new();
    let mut others = Vec::new();
    for (name, marks) in by_name {
        match own.contains(name) {
            true => lanes.push((name.to_owned(), marks)),
            false => others.extend(marks),
        }
    }
    if !fits {
        others.sort_by_key(|mark| mark.finished);
        let name = format!("{} other repositories", names.len() - own.len());
        lanes.push((name, others));
    }
    lanes
}

fn lane(scale: &TimeScale<'_>, top: f64, name: &str, marks: &[&DeploymentMark]) -> Markup {
    let middle = top + 26.0;
    let of = |state| marks.iter().filter(move |mark| mark.state == state);
    html! {
        text x="0" y=(at(top + 12.0)) font-size="11" { (name) }
        (scale.grid(middle))
        line x1="0" x2=(scale.width) y1=(at(middle)) y2=(at(middle)) stroke="currentColor" stroke-opacity="0.13" {}
        path class=(ACCENT.class) d=(ticks(scale, middle, of(MarkState::Deployed))) stroke=(ACCENT.light)
            stroke-width="1.5" stroke-opacity="0.75" {}
        @for mark in of(MarkState::NotInProduction) {
            circle cx=(at(scale.x(mark.finished))) cy=(at(middle)) r="3.5" fill="none" stroke="currentColor"
                stroke-opacity="0.6" stroke-width="1.5" { title { (mark.hint) } }
        }
        @for mark in of(MarkState::Rollback) {
            path class=(ROLLBACK.class) d=(triangle(scale.x(mark.finished), middle - 9.0)) fill=(ROLLBACK.light) {
                title { (mark.hint) }
            }
        }
        @for mark in of(MarkState::Failed) { (failure(scale, middle, mark)) }
    }
}

/// Return a path of vertical lines. Deployments on the same tenth of a unit share a line, so that the size of the page does
/// not grow with their number.
fn ticks<'a>(
    scale: &TimeScale<'_>,
    middle: f64,
    marks: impl Iterator<Item = &'a &'a DeploymentMark>,
) -> String {
    let mut path = String::new();
    let mut before = String::new();
    for mark in marks {
        let x = at(scale.x(mark.finished));
        if x != before {
            path.push_str(&format!("M{x} {}v14", at(middle - 7.0)));
        }
        before = x;
    }
    path
}

fn triangle(x: f64, middle: f64) -> String {
    format!("M{} {}l9 -5.5v11z", at(x - 5.0), at(middle))
}

fn failure(scale: &TimeScale<'_>, middle: f64, mark: &DeploymentMark) -> Markup {
    let x = scale.x(mark.finished);
    let end = mark.recovered.map(|end| scale.x(end).max(x + 1.0));
    html! {
        g {
            title { (mark.hint) }
            @if let Some(end) = end {
                rect class=(FAILED.class) x=(at(x)) y=(at(middle - 1.5)) width=(at(end - x)) height="3"
                    fill=(FAILED.light) {}
                path class=(FAILED.class) d=(format!("M{} {}v11", at(end), at(middle - 5.5))) stroke=(FAILED.light)
                    stroke-width="1.5" {}
            }
            circle class=(FAILED.class) cx=(at(x)) cy=(at(middle)) r="4.5" fill=(FAILED.light) {}
        }
    }
}

fn timeline_legend(is_narrow: bool) -> Markup {
    let (x, y) = if is_narrow {
        (3.5, 8.0 + LEGEND * 0.8)
    } else {
        (274.0, 8.0)
    };
    html! {
        path class=(ACCENT.class) d="M3 2v12" stroke=(ACCENT.light) stroke-width="1.5" {}
        text x="9" y="12" { "deployed" }
        circle class=(FAILED.class) cx="70" cy="8" r="4.5" fill=(FAILED.light) {}
        rect class=(FAILED.class) x="70" y="6.5" width="14" height="3" fill=(FAILED.light) {}
        path class=(FAILED.class) d="M84 2.5v11" stroke=(FAILED.light) stroke-width="1.5" {}
        text x="90" y="12" { "failed, recovered" }
        path class=(ROLLBACK.class) d=(triangle(201.0, 8.0)) fill=(ROLLBACK.light) {}
        text x="211" y="12" { "rollback" }
        circle cx=(x) cy=(at(y)) r="3.5" fill="none" stroke="currentColor" stroke-opacity="0.6" stroke-width="1.5" {}
        text x=(at(x + 8.0)) y=(at(y + 4.0)) { "not in production" }
    }
}

/// The scale that gives instants their positions.
struct TimeScale<'a> {
    span: &'a TimelineSpan,
    width: f64,
}

impl TimeScale<'_> {
    fn x(&self, time: DateTime<Utc>) -> f64 {
        let seconds = |time: DateTime<Utc>| (time - self.span.begins).num_seconds() as f64;
        let whole = seconds(self.span.ends).max(1.0);
        let share = (seconds(time) / whole).clamp(0.0, 1.0);
        MARGIN + (self.width - 2.0 * MARGIN) * share
    }

    /// Return the periods that have room for a label, with their positions.
    fn labelled(&self) -> impl Iterator<Item = (f64, &str)> {
        let room = ((self.width / LABEL) as usize).max(1);
        let every = self.span.periods.len().div_ceil(room).max(1);
        let periods = self.span.periods.iter().step_by(every);
        periods.map(|(begins, label)| (self.x(*begins), label.as_str()))
    }

    /// Return a line at the beginning of each labelled period, across one lane.
    fn grid(&self, middle: f64) -> Markup {
        html! {
            @for (x, _) in self.labelled() {
                line x1=(at(x)) x2=(at(x)) y1=(at(middle - 10.0)) y2=(at(middle + 10.0)) stroke="currentColor"
                    stroke-opacity="0.13" {}
            }
        }
    }

    fn labels(&self, foot: f64) -> Markup {
        html! {
            @for (x, label) in self.labelled().filter(|(x, _)| *x < self.width - LABEL * 0.75) {
                text x=(at(x)) y=(at(foot + 14.0)) fill-opacity="0.75" { (label) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(lane: &str, finished: &str) -> DeploymentMark {
        DeploymentMark {
            lane: lane.to_owned(),
            finished: finished.parse().unwrap(),
            recovered: None,
            state: MarkState::Deployed,
            hint: String::new(),
        }
    }

    #[test]
    fn many_repositories_share_the_last_lane() {
        let names: Vec<_> = (0..12).map(|n| format!("r{n:02}")).collect();
        let mut marks: Vec<_> = names
            .iter()
            .map(|it| mark(it, "2026-05-01T00:00:00Z"))
            .collect();
        marks.push(mark("r11", "2026-05-02T00:00:00Z"));
        let lanes = lanes(&marks);
        assert_eq!(lanes.len(), LANES);
        assert_eq!(lanes[LANES - 2].0, "r11");
        assert_eq!(lanes[LANES - 1].0, "5 other repositories");
        assert_eq!(
            lanes.iter().map(|(_, it)| it.len()).sum::<usize>(),
            marks.len()
        );
    }

    #[test]
    fn the_size_does_not_follow_the_number_of_deployments() {
        let span = TimelineSpan {
            begins: "2026-01-01T00:00:00Z".parse().unwrap(),
            ends: "2027-01-01T00:00:00Z".parse().unwrap(),
            periods: Vec::new(),
        };
        let scale = TimeScale {
            span: &span,
            width: WIDE,
        };
        let start: DateTime<Utc> = span.begins;
        let marks: Vec<_> = (0..50_000)
            .map(|n| {
                let time = start + chrono::TimeDelta::minutes(10 * n);
                mark("r", &time.to_rfc3339())
            })
            .collect();
        let marks: Vec<_> = marks.iter().collect();
        let path = ticks(&scale, 10.0, marks.iter());
        assert!(path.len() < 150_000, "{}", path.len());
    }
}
