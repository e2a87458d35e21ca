//! The metrics of a run for Prometheus, `[metrics] textfile`: one file in the text format, which the textfile collector of
//! node_exporter reads.
//!
//! ```text
//! run report ──┐
//! former runs ─┼─▶ MetricsText ─▶ bitlake.prom.part ─▶ bitlake.prom
//! states ──────┘
//! ```
//!
//! All metrics are gauges, because each run replaces them. The file has times instead of ages, because it does not change
//! until the next run; `time() - bitlake_published_timestamp_seconds` is an age.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::context::CommandOutcome;
use super::output::replace_file;
use super::run_report::RunReport;
use super::status::last_publish;
use crate::clock;
use crate::collect::CollectReport;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::lake::{Lake, ListStatus, RepositoryState};

/// The time within which the lake must be read. Orchestrators kill a process half a minute after a signal.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A finished run.
struct FinishedRun<'a> {
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    exit_code: u8,
    /// `None` if the run failed before it began, for example because another run holds the lake.
    report: Option<&'a RunReport>,
}

/// The state of the lake after a run.
#[derive(Default)]
struct LakeFreshness {
    /// The end of the last run that published or found all tables unchanged.
    published_at: Option<DateTime<Utc>>,
    /// The oldest watermark of all repositories, by list.
    complete_through: BTreeMap<String, DateTime<Utc>>,
    /// The number of repositories, by list and status.
    repositories: BTreeMap<(String, &'static str), u64>,
}

/// Write the file that the configuration names, and return the result of the run. If the file cannot be written, a complete
/// run becomes incomplete.
///
/// # Errors
/// The error of `result`.
pub(super) async fn write_configured(
    config: &Config,
    started_at: DateTime<Utc>,
    report: Option<&RunReport>,
    result: Result<(CommandOutcome, Lake)>,
) -> Result<(CommandOutcome, Lake)> {
    let Some(out) = &config.textfile else {
        return result;
    };
    let exit_code = match &result {
        Ok((outcome, _)) => outcome.exit_code(),
        Err(error) => error.kind().exit_code(),
    };
    let run = FinishedRun {
        started_at,
        finished_at: clock::now(),
        exit_code,
        report,
    };
    let freshness = match tokio::time::timeout(READ_TIMEOUT, LakeFreshness::read(config)).await {
        Ok(Ok(freshness)) => freshness,
        Ok(Err(error)) => without_freshness(&error),
        Err(elapsed) => without_freshness(&elapsed),
    };
    match replace_file(out, &metrics(&run, &freshness)) {
        Ok(()) => {
            tracing::info!(file = %out.display(), "wrote the metrics");
            result
        }
        Err(error) => {
            let file = out.display();
            tracing::warn!(
                "the metrics are not written: {error} (file={file}): create its folder and allow writing there"
            );
            result.map(|(outcome, lake)| (outcome.or_incomplete(), lake))
        }
    }
}

fn without_freshness(reason: &dyn Display) -> LakeFreshness {
    tracing::info!("the metrics do not describe the lake: {reason}");
    LakeFreshness::default()
}

impl LakeFreshness {
    async fn read(config: &Config) -> Result<Self, Error> {
        let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
        let published = last_publish(&lake).await?;
        let states = lake.states().await?;
        Ok(Self {
            published_at: published.map(|run| run.finished_at),
            ..Self::of(&selected(config, &states))
        })
    }

    fn of(states: &[&RepositoryState]) -> Self {
        let mut freshness = Self::default();
        for (name, list) in states.iter().flat_map(|state| &state.entities) {
            let key = (name.clone(), list.status.as_str());
            *freshness.repositories.entry(key).or_default() += 1;
            let watermark = list.complete_through;
            if let Some(at) = watermark.filter(|_| list.status != ListStatus::Unavailable) {
                let oldest = freshness.complete_through.entry(name.clone());
                oldest.and_modify(|it| *it = at.min(*it)).or_insert(at);
            }
        }
        freshness
    }
}

/// Return the states of the repositories that a run collects, and of their workspaces. The states of deleted and no longer
/// selected repositories never change again.
fn selected<'a>(config: &Config, states: &'a [RepositoryState]) -> Vec<&'a RepositoryState> {
    let is_collected = |state: &&RepositoryState| {
        state.missing_since.is_none() && config.is_selected(state.connection_id, &state.full_name)
    };
    let repositories: Vec<_> = states.iter().filter(is_collected).collect();
    let is_used = |workspace: &&RepositoryState| {
        workspace.is_workspace()
            && repositories.iter().any(|it| {
                let owner = it.full_name.split_once('/').map(|(owner, _)| owner);
                it.connection_id == workspace.connection_id
                    && owner == Some(workspace.full_name.as_str())
            })
    };
    let workspaces: Vec<_> = states.iter().filter(is_used).collect();
    [repositories, workspaces].concat()
}

/// Return the text of the file.
fn metrics(run: &FinishedRun<'_>, freshness: &LakeFreshness) -> String {
    let mut text = MetricsText::default();
    text.gauge(
        "bitlake_run_start_timestamp_seconds",
        "Time when the last run began.",
        [([], run.started_at.timestamp())],
    );
    text.gauge(
        "bitlake_run_end_timestamp_seconds",
        "Time when the last run ended.",
        [([], run.finished_at.timestamp())],
    );
    text.gauge(
        "bitlake_run_exit_code",
        "Exit code of the last run: 0 is complete.",
        [([], run.exit_code)],
    );
    if let Some(report) = run.report {
        let phases = report.phases.iter();
        text.gauge(
            "bitlake_run_duration_seconds",
            "Duration of each phase of the last run.",
            phases.map(|(phase, it)| ([("phase", *phase)], format!("{:.3}", it.as_secs_f64()))),
        );
        if let Some(report) = &report.collect {
            add_collection(&mut text, report);
        }
        if let Some(report) = &report.transform {
            let rows = report.rows.iter();
            text.gauge(
                "bitlake_table_rows",
                "Rows of each table that the last run computed or checked.",
                rows.map(|(table, rows)| ([("table", table.as_str())], *rows)),
            );
        }
    }
    add_freshness(&mut text, freshness);
    text.0
}

fn add_collection(text: &mut MetricsText, report: &CollectReport) {
    let requests = report.requests.iter();
    text.gauge(
        "bitlake_run_requests",
        "Requests of the last run, retries included.",
        requests.map(|(list, requests)| ([("list", list.as_str())], *requests)),
    );
    let mut records = BTreeMap::<&str, u64>::new();
    for (list, entity) in report.repositories.iter().flat_map(|one| &one.entities) {
        *records.entry(list).or_default() += entity.records;
    }
    text.gauge(
        "bitlake_run_records",
        "Records that the last run collected.",
        records
            .iter()
            .map(|(list, records)| ([("list", *list)], *records)),
    );
    text.gauge(
        "bitlake_requests_left",
        "Estimated requests of the next run, if it continues a load; 0 when everything is loaded.",
        [([], report.requests_left)],
    );
    let rooms = report.head_rooms.iter();
    text.gauge(
        "bitlake_request_budget_remaining",
        "Requests that could be sent immediately when the collection ended.",
        rooms
            .clone()
            .map(|(connection, room)| ([("connection", connection.as_str())], room.left)),
    );
    text.gauge(
        "bitlake_request_budget_limit",
        "Requests that can be sent in an hour.",
        rooms.map(|(connection, room)| ([("connection", connection.as_str())], room.limit)),
    );
}

fn add_freshness(text: &mut MetricsText, freshness: &LakeFreshness) {
    let published_at = freshness.published_at.iter();
    text.gauge(
        "bitlake_published_timestamp_seconds",
        "Time when the last run that published ended.",
        published_at.map(|at| ([], at.timestamp())),
    );
    let oldest = freshness.complete_through.iter();
    text.gauge(
        "bitlake_list_complete_timestamp_seconds",
        "Time up to which a list is complete in all repositories.",
        oldest.map(|(list, at)| ([("list", list.as_str())], at.timestamp())),
    );
    let repositories = freshness.repositories.iter();
    text.gauge(
        "bitlake_list_repositories",
        "Repositories and workspaces by the status of a list.",
        repositories
            .map(|((list, status), n)| ([("list", list.as_str()), ("status", *status)], *n)),
    );
}

/// Metrics in Prometheus' text format, version 0.0.4.
#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    /// Add a gauge with a value for each set of labels. A gauge without values is left out.
    fn gauge<'a, const LABELS: usize, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'a str, &'a str); LABELS], V)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let labels = labels.map(|(label, text)| format!("{label}=\"{}\"", escape_label(text)));
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

/// Escape the value of a label, which can hold any UTF-8 text.
fn escape_label(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(full_name: &str, lists: serde_json::Value) -> RepositoryState {
        serde_json::from_value(serde_json::json!({
            "format_version": 1, "connection_id": 1, "uuid": "{u}", "full_name": full_name, "bitbucket_project": null,
            "since": "2026-01-01T00:00:00Z", "since_setting": "2026-01-01", "entities": lists,
        }))
        .unwrap()
    }

    #[test]
    fn a_hostile_name_is_one_escaped_value() {
        let mut text = MetricsText::default();
        let name = "a\\b\"} 1\nforged 2\u{1b}";
        text.gauge("m", "Help.", [([("table", name), ("list", "é")], 3)]);
        assert_eq!(
            text.0,
            "# HELP m Help.\n# TYPE m gauge\nm{table=\"a\\\\b\\\"} 1\\nforged 2\u{1b}\",list=\"é\"} 3\n"
        );
    }

    #[test]
    fn the_time_of_a_list_is_that_of_the_repository_that_is_furthest_behind() {
        let list = |day: &str, status: &str| {
            let at = format!("2026-11-{day}T00:00:00Z");
            serde_json::json!({"status": status, "complete_from": null, "complete_through": at})
        };
        let states = [
            state(
                "acme/web",
                serde_json::json!({"commits": list("20", "complete")}),
            ),
            state(
                "acme/api",
                serde_json::json!({"commits": list("12", "failed")}),
            ),
            state(
                "acme/old",
                serde_json::json!({"commits": list("01", "absent")}),
            ),
        ];
        let freshness = LakeFreshness::of(&states.iter().collect::<Vec<_>>());
        let oldest = "2026-11-12T00:00:00Z".parse().unwrap();
        assert_eq!(
            freshness.complete_through,
            BTreeMap::from([("commits".to_owned(), oldest)])
        );
        let counts = ["absent", "complete", "failed"].map(|it| (("commits".to_owned(), it), 1));
        assert_eq!(freshness.repositories, BTreeMap::from(counts));
    }

    #[test]
    fn lists_of_repositories_that_no_run_collects_are_left_out() {
        let toml = "[lake]\nurl = \"lake\"\n[[connection]]\nid = 1\nname = \"acme\"\nauth = \"none\"\n\
            [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n";
        let path = std::path::Path::new("bitlake.toml");
        let config = Config::parse(toml, path, &BTreeMap::new(), &[]).unwrap();
        let mut states = ["acme", "acme/gone", "acme/web", "other", "other/web"]
            .map(|name| state(name, serde_json::json!({})));
        states[1].missing_since = Some(states[1].since);
        let names: Vec<_> = selected(&config, &states)
            .iter()
            .map(|it| it.full_name.as_str())
            .collect();
        assert_eq!(names, ["acme/web", "acme"]);
    }

    #[test]
    fn a_run_that_never_began_has_an_exit_code() {
        let at = DateTime::UNIX_EPOCH;
        let run = FinishedRun {
            started_at: at,
            finished_at: at,
            exit_code: 5,
            report: None,
        };
        let text = metrics(&run, &LakeFreshness::default());
        assert!(text.ends_with("gauge\nbitlake_run_exit_code 5\n"), "{text}");
    }
}
