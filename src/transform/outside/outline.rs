//! Finds the projects and the time span of the outside tables, before any step runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;

use super::super::steps::BASE;
use super::GIVEN;
use crate::config::Since;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::Contract;

/// The projects and the time span of the outside tables.
#[derive(Default)]
pub(in crate::transform) struct Outline {
    /// The projects of an outside `domain.project_mapping`, with the default clock.
    pub clocks: BTreeMap<String, (Tz, Weekday)>,
    /// The first and the last time of a deployment, a change or an incident.
    pub times: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// The tables of deployments, changes and incidents, or of rows that become such, with the condition on their rows and
/// their columns of times. No other times start a period: a repository created in 1999 has no metrics for that year.
const TIME_COLUMNS: [(&str, &str, &[&str]); 6] = [
    ("pull_requests", "true", &["created_date", "merged_date"]),
    ("cicd_pipelines", "true", &["created_date", "finished_date"]),
    (
        "cicd_deployments",
        "true",
        &["created_date", "finished_date"],
    ),
    (
        "cicd_deployment_commits",
        "true",
        &["created_date", "finished_date"],
    ),
    ("incidents", "true", &["created_date", "resolution_date"]),
    (
        "issues",
        "type = 'INCIDENT'",
        &["created_date", "resolution_date"],
    ),
];

/// Read `parts`, which are tables of [`GIVEN`].
///
/// # Errors
/// [`ErrorKind::Configuration`], naming the rows, when more than `longest` lies between the first and the last time.
pub(in crate::transform) async fn outline(
    engine: &Engine,
    parts: &[(Arc<Contract>, String)],
    longest: Since,
) -> Result<Outline> {
    let mut outline = Outline::default();
    let mut bounds: Option<(TimeBound, TimeBound)> = None;
    let domain = parts
        .iter()
        .filter(|(contract, _)| ["domain", BASE].contains(&contract.layer.as_str()));
    for (contract, part) in domain {
        if contract.table == "project_mapping" {
            let sql = format!("SELECT DISTINCT project_name FROM {GIVEN}.{part}");
            for name in engine.query_texts(&sql).await? {
                outline.clocks.insert(name, (Tz::UTC, Weekday::Mon));
            }
        }
        let counted = TIME_COLUMNS
            .iter()
            .filter(|(table, ..)| *table == contract.table);
        for (_, rows, columns) in counted {
            for column in *columns {
                for end in ["min", "max"] {
                    let event = TimeBound::find(engine, contract, part, rows, column, end).await?;
                    let Some(event) = event else { continue };
                    bounds = Some(match bounds.take() {
                        None => (event.clone(), event),
                        Some((first, last)) if event.time < first.time => (event, last),
                        Some((first, last)) if event.time > last.time => (first, event),
                        Some(known) => known,
                    });
                }
            }
        }
    }
    if let Some((first, last)) = bounds {
        if longest.is_exceeded(first.time, last.time) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the times of the [[table]]s span more than `longest_span`",
            )
            .with("first", first.describe(engine).await?)
            .with("last", last.describe(engine).await?)
            .hint("correct the row whose time is wrong, or raise `longest_span` of [lake]"));
        }
        outline.times = Some((first.time, last.time));
    }
    Ok(outline)
}

/// The first or the last time of a column.
#[derive(Clone)]
struct TimeBound {
    time: DateTime<Utc>,
    table: String,
    column: String,
    /// A query that returns the key of a row with this time.
    rows: String,
}

impl TimeBound {
    async fn find(
        engine: &Engine,
        contract: &Contract,
        part: &str,
        rows: &str,
        column: &str,
        end: &str,
    ) -> Result<Option<Self>> {
        let from = format!("FROM {GIVEN}.{part} WHERE {rows}");
        let found = engine
            .query_texts(&format!("SELECT cast({end}({column}) AS varchar) {from}"))
            .await?;
        let Some(text) = found.first() else {
            return Ok(None);
        };
        let key: Vec<_> = contract
            .primary_key
            .iter()
            .map(|name| format!("cast(\"{name}\" AS varchar)"))
            .collect();
        Ok(Some(Self {
            time: text
                .parse()
                .or_error(ErrorKind::Internal, "cannot parse a time")?,
            table: format!("domain.{}", contract.table),
            column: column.to_owned(),
            rows: format!(
                "SELECT concat_ws(' ', {}) AS key {from} AND cast({column} AS varchar) = '{text}' ORDER BY key LIMIT 1",
                key.join(", ")
            ),
        }))
    }

    /// Describe the time as `2026-05-01T10:00:00Z in domain.incidents.created_date of i1`.
    async fn describe(&self, engine: &Engine) -> Result<String> {
        let keys = engine.query_texts(&self.rows).await?;
        let time = self
            .time
            .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        let key = keys.first().map_or("", String::as_str);
        Ok(format!("{time} in {}.{} of {key}", self.table, self.column))
    }
}
