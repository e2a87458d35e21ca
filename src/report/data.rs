//! The rows that the page shows, read by bundled queries.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::ReportOptions;
use super::rows::{QueryCall, ReportRow};
use crate::engine::{Engine, unknown_value_error};
use crate::error::Result;

/// How many rows a list of pull requests has.
const LISTED: usize = 10;
/// How many failed deployments are listed.
const LISTED_FAILURES: usize = 20;

/// The rows of one query, and the call that prints them.
#[derive(Debug, Clone)]
pub(super) struct ReportRows {
    pub(super) call: QueryCall,
    pub(super) rows: Vec<ReportRow>,
}

/// Everything that the page shows of one project.
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
    check_names(engine, &options.projects).await?;
    let reader = Reader { engine, options };
    let about = reader.span("report/projects").rows(engine).await?;
    let mut groups = BTreeMap::new();
    for name in GROUPED {
        groups.insert(name, reader.grouped(name).await?);
    }
    let mut projects = Vec::new();
    for about in about {
        projects.push(reader.project(about, &mut groups).await?);
    }
    let coverage = groups.remove("report/coverage").unwrap_or_default();
    let call = QueryCall::new("report/coverage");
    let rows = coverage.get("").cloned().unwrap_or_default();
    Ok(PageRows {
        projects,
        without_project: ReportRows { call, rows },
    })
}

async fn check_names(engine: &Engine, chosen: &[String]) -> Result<()> {
    let all = QueryCall::new("report/projects").rows(engine).await?;
    let known: Vec<_> = all.iter().map(|row| row.text("project")).collect();
    match chosen.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(unknown_value_error("project", name, &known, "the lake has")),
        None => Ok(()),
    }
}

/// The queries that are run once for all projects.
const GROUPED: [&str; 8] = [
    "report/figures",
    "report/over_time",
    "report/cycle_time",
    "report/lead_times",
    "report/timeline",
    "report/deployments",
    "report/coverage",
    "report/completeness",
];

/// The rows of each project.
type RowsByProject = BTreeMap<String, Vec<ReportRow>>;

struct Reader<'a> {
    engine: &'a Engine,
    options: &'a ReportOptions,
}

impl Reader<'_> {
    /// Return the call of a query with the chosen projects and span of time.
    fn span(&self, name: &'static str) -> QueryCall {
        let chosen = &self.options.projects;
        let projects = (!chosen.is_empty()).then(|| chosen.join(","));
        self.call(name, projects)
    }

    fn call(&self, name: &'static str, projects: Option<String>) -> QueryCall {
        let options = self.options;
        let mut call = QueryCall::new(name).with("project", projects);
        if !matches!(name, "report/coverage" | "report/completeness") {
            call = call
                .with("from", options.from.clone())
                .with("to", options.to.clone());
        }
        let has_interval = matches!(
            name,
            "report/figures" | "report/over_time" | "report/cycle_time" | "report/deployments"
        );
        let is_default = options.interval == super::ReportInterval::default();
        let interval = (has_interval && !is_default).then(|| options.interval.as_str());
        call.with("interval", interval)
    }

    async fn grouped(&self, name: &'static str) -> Result<RowsByProject> {
        let mut groups = RowsByProject::new();
        for row in self.span(name).rows(self.engine).await? {
            let project = row.text("project").to_owned();
            groups.entry(project).or_default().push(row);
        }
        Ok(groups)
    }

    async fn project(
        &self,
        about: ReportRow,
        groups: &mut BTreeMap<&'static str, RowsByProject>,
    ) -> Result<ProjectRows> {
        let name = about.text("project").to_owned();
        let mut take = |query: &'static str| {
            let rows = groups.get_mut(query).and_then(|it| it.remove(&name));
            ReportRows {
                call: self.call(query, Some(name.clone())),
                rows: rows.unwrap_or_default(),
            }
        };
        let listed = |query| QueryCall::new(query).with("project", Some(name.clone()));
        let (from, to) = (&self.options.from, &self.options.to);
        let failures = listed("dora/failures")
            .with("from", from.clone())
            .with("to", to.clone())
            .with("n", Some(LISTED_FAILURES.to_string()));
        let slowest = listed("pull_requests/slowest_reviews")
            .with("from", about.instant("last month begins").map(instant))
            .with("to", about.instant("last month ends").map(instant))
            .with("n", Some(LISTED.to_string()));
        let oldest = listed("pull_requests/oldest_open").with("n", Some(LISTED.to_string()));
        Ok(ProjectRows {
            zone: about.text("time zone").parse().unwrap_or(Tz::UTC),
            figures: take("report/figures"),
            over_time: take("report/over_time"),
            cycle_time: take("report/cycle_time"),
            lead_times: take("report/lead_times"),
            timeline: take("report/timeline"),
            deployments: take("report/deployments"),
            coverage: take("report/coverage"),
            completeness: take("report/completeness"),
            failures: self.listed(failures).await?,
            slowest: self.listed(slowest).await?,
            oldest: self.listed(oldest).await?,
            name,
            about,
        })
    }

    async fn listed(&self, call: QueryCall) -> Result<ReportRows> {
        let rows = call.rows(self.engine).await?;
        Ok(ReportRows { call, rows })
    }
}

/// Return an instant as a parameter takes it.
fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
