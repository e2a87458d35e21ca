//! The rows that the page shows, read by bundled queries.

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;

use super::rows::{QueryCall, ReportCalendar, ReportRow};
use super::{ReportInterval, ReportOptions};
use crate::engine::{Engine, unknown_value_error};
use crate::error::Result;

/// The most rows of a list of pull requests.
const LISTED: usize = 10;
/// The most failed deployments that are listed.
const LISTED_FAILURES: usize = 20;

/// The rows of one query, and the call that prints them.
#[derive(Debug, Clone)]
pub(super) struct ReportRows {
    pub(super) call: QueryCall,
    pub(super) rows: Vec<ReportRow>,
}

/// All rows of one project that the page shows.
#[derive(Debug)]
pub(super) struct ProjectRows {
    pub(super) name: String,
    /// A row of `report/projects`.
    pub(super) about: ReportRow,
    pub(super) zone: Tz,
    pub(super) figures: ReportRows,
    pub(super) over_time: ReportRows,
    pub(super) cycle_time: ReportRows,
    pub(super) lead_times: ReportRows,
    pub(super) timeline: ReportRows,
    pub(super) deployments: ReportRows,
    pub(super) failures: ReportRows,
    pub(super) slowest: ReportRows,
    pub(super) oldest: ReportRows,
    pub(super) coverage: ReportRows,
    pub(super) completeness: ReportRows,
}

/// The rows of the page.
#[derive(Debug)]
pub(super) struct PageRows {
    pub(super) projects: Vec<ProjectRows>,
    /// Rows of the lake that no project has, by figure and reason.
    pub(super) without_project: ReportRows,
}

/// Read the rows of the chosen projects.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for an unknown project or a malformed time; as [`QueryCall::rows`].
pub(super) async fn read(engine: &Engine, options: &ReportOptions) -> Result<PageRows> {
    let anywhere = ReportCalendar {
        zone: Tz::UTC,
        now: DateTime::UNIX_EPOCH,
    };
    let known = QueryCall::new("report/projects");
    let known = known.rows(engine, anywhere).await?;
    check_names(&known, &options.projects)?;
    let ends = known.iter().filter_map(|row| row.instant("ends")).max();
    // The noon of the last day that has begun, as for `bitlake query`.
    let now = ends.unwrap_or(DateTime::UNIX_EPOCH) - TimeDelta::hours(12);
    let mut projects = Vec::new();
    for row in &known {
        let name = row.text("project");
        if options.projects.is_empty() || options.projects.iter().any(|it| it == name) {
            let reader = ProjectReader {
                engine,
                options,
                name,
                calendar: ReportCalendar {
                    zone: row.text("time zone").parse().unwrap_or(Tz::UTC),
                    now,
                },
            };
            projects.extend(reader.read().await?);
        }
    }
    let call = QueryCall::new("report/coverage");
    let mut rows = call.rows(engine, anywhere).await?;
    rows.retain(|row| row.text("project").is_empty());
    Ok(PageRows {
        projects,
        without_project: ReportRows { call, rows },
    })
}

fn check_names(known: &[ReportRow], chosen: &[String]) -> Result<()> {
    let known: Vec<_> = known.iter().map(|row| row.text("project")).collect();
    match chosen.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(unknown_value_error("project", name, &known, "the lake has")),
        None => Ok(()),
    }
}

/// Reads the rows of one project.
struct ProjectReader<'a> {
    engine: &'a Engine,
    options: &'a ReportOptions,
    name: &'a str,
    calendar: ReportCalendar,
}

impl ProjectReader<'_> {
    /// Read the rows; `None` if no day of the project is in the chosen time.
    async fn read(&self) -> Result<Option<ProjectRows>> {
        let about = self.rows(self.in_span("report/projects")).await?.rows;
        let Some(about) = about.into_iter().next() else {
            return Ok(None);
        };
        let n = |n: usize| Some(n.to_string());
        let failures = self.in_span("dora/failures").with("n", n(LISTED_FAILURES));
        let slowest = self.call("pull_requests/slowest_reviews");
        let slowest = slowest
            .with("from", self.month(&about, "last month begins"))
            .with("to", self.month(&about, "last month ends"))
            .with("n", n(LISTED));
        let oldest = self.call("pull_requests/oldest_open").with("n", n(LISTED));
        let mut coverage = self.rows(self.call("report/coverage")).await?;
        coverage.rows.retain(|row| row.text("project") == self.name);
        Ok(Some(ProjectRows {
            name: self.name.to_owned(),
            about,
            zone: self.calendar.zone,
            figures: self.rows(self.by_period("report/figures")).await?,
            over_time: self.rows(self.by_period("report/over_time")).await?,
            cycle_time: self.rows(self.by_period("report/cycle_time")).await?,
            lead_times: self.rows(self.in_span("report/lead_times")).await?,
            timeline: self.rows(self.in_span("report/timeline")).await?,
            deployments: self.rows(self.by_period("report/deployments")).await?,
            failures: self.rows(failures).await?,
            slowest: self.rows(slowest).await?,
            oldest: self.rows(oldest).await?,
            coverage,
            completeness: self.rows(self.call("report/completeness")).await?,
        }))
    }

    fn call(&self, name: &'static str) -> QueryCall {
        QueryCall::new(name).with("project", Some(self.name))
    }

    /// Return the call of a query over the chosen time.
    fn in_span(&self, name: &'static str) -> QueryCall {
        let call = self.call(name).with("from", self.options.from.clone());
        call.with("to", self.options.to.clone())
    }

    /// Return the call of a query over the chosen time, by the chosen periods.
    fn by_period(&self, name: &'static str) -> QueryCall {
        let interval = self.options.interval;
        let interval = (interval != ReportInterval::default()).then(|| interval.as_str());
        self.in_span(name).with("interval", interval)
    }

    /// Return the month of an instant, as a parameter takes it.
    fn month(&self, about: &ReportRow, column: &str) -> Option<String> {
        let local = about.instant(column)?.with_timezone(&self.calendar.zone);
        Some(local.format("%Y-%m").to_string())
    }

    async fn rows(&self, call: QueryCall) -> Result<ReportRows> {
        let rows = call.rows(self.engine, self.calendar).await?;
        Ok(ReportRows { call, rows })
    }
}
