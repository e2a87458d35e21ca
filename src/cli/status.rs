//! `bitlake status`: the run in progress, the last runs, and the lists of every repository.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::args::{ReportFormat, StatusArgs};
use super::context::{CliContext, CommandOutcome};
use super::output::{print, print_json, terminal_width};
use super::remaining::format_requests_left;
use super::run_report::{FormerRun, RunHead};
use super::table::{ColumnKind, TextTable};
use crate::clock;
use crate::config::CredentialExpiry;
use crate::error::{ErrorKind, OrError, Result};
use crate::escape::escape;
use crate::lake::{Lake, ListStatus, RepositoryState, layout};

/// The most runs that are read.
const RUNS_READ: usize = 50;
/// The most runs that are printed.
const RUNS_SHOWN: usize = 10;

/// The content of `status`.
#[derive(Debug, Serialize)]
struct LakeStatus {
    lake: String,
    /// The run in progress. In a bucket it is known only while it publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<RunningRun>,
    /// The last runs, the newest first.
    runs: Vec<RunHead>,
    repositories: Vec<RepositoryStatus>,
    /// The estimated requests of the next run, if it continues a load; 0 when everything is loaded.
    requests_left: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expiring: Vec<CredentialExpiry>,
    /// The requests of the last run that collected.
    #[serde(skip)]
    last_requests: u64,
    /// The number of commands that failed before they changed the lake.
    #[serde(skip)]
    failed_attempts: usize,
}

#[derive(Debug, Serialize)]
struct RunningRun {
    run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
}

/// The lists of one repository or workspace.
#[derive(Debug, Serialize)]
struct RepositoryStatus {
    connection_id: i64,
    repository: String,
    lists: Vec<RepositoryList>,
}

#[derive(Debug, Clone, Serialize)]
struct RepositoryList {
    list: String,
    status: ListStatus,
    /// Null if it is complete from the beginning.
    complete_from: Option<DateTime<Utc>>,
    complete_through: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Show the last runs and all lists. The outcome is incomplete when a list is stale or failed.
///
/// # Errors
/// As [`Lake::open`].
pub(super) async fn run(context: &CliContext, args: &StatusArgs) -> Result<CommandOutcome> {
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    if let Some(max_age) = args.max_age {
        return check_freshness(&lake, max_age, clock::now()).await;
    }
    let status = LakeStatus::read(&lake, config.expiring()).await?;
    match args.format {
        ReportFormat::Table => print(&status.text(clock::now(), terminal_width()))?,
        ReportFormat::Json => {
            let json = serde_json::to_string(&status);
            print_json(&json.or_error(ErrorKind::Internal, "cannot write the status")?)?;
        }
    }
    let mut lists = status.repositories.iter().flat_map(|one| &one.lists);
    let is_bad =
        |list: &RepositoryList| matches!(list.status, ListStatus::Failed | ListStatus::Stale);
    Ok(match lists.any(is_bad) {
        true => CommandOutcome::Incomplete,
        false => CommandOutcome::Complete,
    })
}

/// Show the newest run that published. The outcome is incomplete when it finished longer than `max_age` ago.
async fn check_freshness(
    lake: &Lake,
    max_age: Duration,
    now: DateTime<Utc>,
) -> Result<CommandOutcome> {
    let Some(run) = last_publish(lake).await? else {
        print("stale: no run has published yet\n")?;
        return Ok(CommandOutcome::Incomplete);
    };
    let is_fresh = (now - run.finished_at).to_std().unwrap_or_default() <= max_age;
    let word = if is_fresh { "fresh" } else { "stale" };
    let at = format_time(run.finished_at);
    print(&format!(
        "{word}: the last publish ended at {at} (run {})\n",
        escape(&run.run_id)
    ))?;
    Ok(match is_fresh {
        true => CommandOutcome::Complete,
        false => CommandOutcome::Incomplete,
    })
}

/// Return the newest run that published, also one that found all tables unchanged.
pub(super) async fn last_publish(lake: &Lake) -> Result<Option<RunHead>> {
    for path in lake.list(layout::RUNS).await?.iter().rev() {
        let run = lake.get_json::<FormerRun>(path).await?;
        if let Some(run) = run.filter(FormerRun::has_published) {
            return Ok(Some(run.head));
        }
    }
    Ok(None)
}

impl LakeStatus {
    async fn read(lake: &Lake, expiring: Vec<CredentialExpiry>) -> Result<Self> {
        let states = lake.states().await?;
        let mut status = Self {
            lake: lake.url(),
            running: running(lake).await?,
            runs: Vec::new(),
            repositories: states.iter().map(RepositoryStatus::of).collect(),
            requests_left: 0,
            expiring,
            last_requests: 0,
            failed_attempts: 0,
        };
        let mut collected: Option<(String, u64)> = None;
        let paths = lake.list(layout::RUNS).await?;
        for path in paths.iter().rev().take(RUNS_READ) {
            let Some(run) = lake.get_json::<FormerRun>(path).await? else {
                continue;
            };
            if let (Some(report), None) = (&run.collect, &collected) {
                let requests = report.requests.values().copied();
                status.last_requests = requests.fold(0, u64::saturating_add);
                collected = Some((run.head.run_id.clone(), report.requests_left));
            }
            match run.is_failed_attempt() {
                true => status.failed_attempts += 1,
                false => status.runs.push(run.head),
            }
        }
        status.requests_left = requests_left(&states, collected);
        Ok(status)
    }

    fn text(&self, now: DateTime<Utc>, width: Option<usize>) -> String {
        let mut text = String::new();
        if let Some(running) = &self.running {
            text.push_str(&format!("{}\n\n", running.text(now)));
        }
        match (self.runs.is_empty(), &self.running) {
            (true, None) => text.push_str("no run has collected yet: start with `bitlake run`\n"),
            (true, Some(_)) => text.push_str("no run has finished yet\n"),
            (false, _) => text.push_str(&self.runs_text(width)),
        }
        for repository in &self.repositories {
            text.push_str(&format!("\n{}\n", escape(&repository.repository)));
            for line in repository.table().render(width.map(|it| it - 2)).lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        for expiry in &self.expiring {
            text.push_str(&format!("\n{expiry}: renew it\n"));
        }
        if self.requests_left > 0 && self.running.is_none() {
            let left = format_requests_left(self.requests_left, self.last_requests);
            text.push_str(&format!("\n{left}\n"));
        }
        text
    }

    fn runs_text(&self, width: Option<usize>) -> String {
        let kinds = [
            ("run", ColumnKind::Text),
            ("command", ColumnKind::Text),
            ("started", ColumnKind::Time),
            ("seconds", ColumnKind::Number),
            ("exit", ColumnKind::Number),
            ("error", ColumnKind::Text),
        ];
        let mut table = TextTable::new(kinds.map(|(name, kind)| (name.to_owned(), kind)));
        for run in self.runs.iter().take(RUNS_SHOWN) {
            table.push(vec![
                run.run_id.clone(),
                run.command.clone(),
                format_time(run.started_at),
                (run.finished_at - run.started_at).num_seconds().to_string(),
                run.exit_code.to_string(),
                run.error.clone().unwrap_or_default(),
            ]);
        }
        let mut text = table.render(width);
        if self.failed_attempts > 0 {
            let n = self.failed_attempts;
            text.push_str(&format!(
                "and {n} commands that failed before they changed the lake\n"
            ));
        }
        text
    }
}

/// Return the run that holds the lock of the lake, or that publishes to a bucket.
async fn running(lake: &Lake) -> Result<Option<RunningRun>> {
    if let Some(owner) = lake.lock_owner() {
        let head: Option<RunHead> = serde_json::from_str(&owner).ok();
        return Ok(Some(match head {
            Some(head) => RunningRun {
                run_id: head.run_id,
                command: Some(head.command),
                started_at: Some(head.started_at),
            },
            None => RunningRun {
                run_id: String::new(),
                command: None,
                started_at: None,
            },
        }));
    }
    let intent = lake.manifest().await?.intent;
    let intent = intent.filter(|it| lake.folder().is_none() && it.expires_at > clock::now());
    Ok(intent.map(|intent| RunningRun {
        run_id: intent.run_id,
        command: None,
        started_at: None,
    }))
}

/// Return the estimated requests of the next run if it continues a load. `collected`: the last run that collected, and its
/// estimate. After a killed run, only the pages that the state names are known.
fn requests_left(states: &[RepositoryState], collected: Option<(String, u64)>) -> u64 {
    let last = states
        .iter()
        .filter_map(|state| state.collected_by.as_ref());
    match (last.max(), collected) {
        (Some(last), Some((run, left))) if *last <= run => left,
        (None, Some((_, left))) => left,
        _ => {
            let left = states.iter().map(RepositoryState::requests_left);
            left.fold(0, u64::saturating_add)
        }
    }
}

impl RunningRun {
    fn text(&self, now: DateTime<Utc>) -> String {
        let command = self.command.as_deref().unwrap_or("a run");
        let since = self.started_at.map(|at| {
            let minutes = (now - at).num_minutes().max(0);
            format!(" since {} ({minutes} min)", format_time(at))
        });
        let run = match self.run_id.is_empty() {
            true => String::new(),
            false => format!(" (run {})", escape(&self.run_id)),
        };
        let command = escape(command);
        format!("in progress: {command}{}{run}", since.unwrap_or_default())
    }
}

impl RepositoryStatus {
    fn of(state: &RepositoryState) -> Self {
        let lists = state.entities.iter().map(|(table, list)| RepositoryList {
            list: table.clone(),
            status: list.status,
            complete_from: list.complete_from,
            complete_through: list.complete_through,
            reason: list.reason.clone(),
        });
        Self {
            connection_id: state.connection_id,
            repository: state.full_name.clone(),
            lists: lists.collect(),
        }
    }

    /// Return one row for the lists with the same status, reason and beginning, up to their earliest end.
    fn table(&self) -> TextTable {
        let mut groups = BTreeMap::<_, Vec<&RepositoryList>>::new();
        for list in &self.lists {
            let reason = list.reason.as_deref().unwrap_or_default();
            let key = (list.status.as_str(), reason, list.complete_from);
            groups.entry(key).or_default().push(list);
        }
        let rows = groups.into_iter().map(|((status, reason, from), lists)| {
            let names: Vec<_> = lists.iter().map(|list| list.list.as_str()).collect();
            let until = lists.iter().filter_map(|list| list.complete_through).min();
            let window = until.map(|until| match from {
                Some(from) => format!("{} to {}", from.format("%Y-%m-%d"), format_time(until)),
                None => format!("beginning to {}", format_time(until)),
            });
            let window = window.unwrap_or_default();
            let detail = match (window.is_empty(), reason.is_empty()) {
                (false, false) => format!("{window}: {reason}"),
                _ => format!("{window}{reason}"),
            };
            vec![status.to_owned(), detail, names.join(", ")]
        });
        TextTable::of_lines(&rows.collect::<Vec<_>>())
    }
}

fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn list(name: &str, status: ListStatus, reason: Option<&str>) -> RepositoryList {
        RepositoryList {
            list: name.to_owned(),
            status,
            complete_from: None,
            complete_through: reason.is_none().then(|| at("2026-11-20T02:00:00Z")),
            reason: reason.map(str::to_owned),
        }
    }

    fn status(running: Option<RunningRun>, repositories: Vec<RepositoryStatus>) -> LakeStatus {
        LakeStatus {
            lake: "lake".to_owned(),
            running,
            runs: Vec::new(),
            repositories,
            requests_left: 0,
            expiring: Vec::new(),
            last_requests: 0,
            failed_attempts: 0,
        }
    }

    #[test]
    fn a_fresh_lake_and_a_run_in_progress_are_told_from_each_other() {
        let now = at("2026-11-20T02:05:30Z");
        let fresh = status(None, Vec::new()).text(now, Some(80));
        assert_eq!(
            fresh,
            "no run has collected yet: start with `bitlake run`\n"
        );
        let running = RunningRun {
            run_id: "20261120T020000Z-0a1b2c".to_owned(),
            command: Some("run".to_owned()),
            started_at: Some(at("2026-11-20T02:00:00Z")),
        };
        assert_eq!(
            status(Some(running), Vec::new()).text(now, Some(80)),
            "in progress: run since 2026-11-20T02:00:00Z (5 min) (run 20261120T020000Z-0a1b2c)\n\n\
             no run has finished yet\n"
        );
    }

    #[test]
    fn lists_of_one_status_and_reason_are_one_row_that_fits_the_terminal() {
        let disabled = Some("issue tracker disabled");
        let web = RepositoryStatus {
            connection_id: 1,
            repository: "acme/web".to_owned(),
            lists: vec![
                list("commits", ListStatus::Complete, None),
                list("issues", ListStatus::Unavailable, disabled),
                list("issue_comments", ListStatus::Unavailable, disabled),
                list("tags", ListStatus::Complete, None),
            ],
        };
        let text = status(None, vec![web]).text(at("2026-11-20T03:00:00Z"), Some(60));
        let shown = "
acme/web
  absent    issue tracker disabled    issues, issue_comments
  complete  beginning to              commits, tags
            2026-11-20T02:00:00Z
";
        assert!(text.ends_with(shown), "{text}");
    }

    #[test]
    fn the_requests_left_are_those_that_the_last_run_has_estimated() {
        let state: RepositoryState = serde_json::from_value(serde_json::json!({
            "format_version": 1, "connection_id": 1, "uuid": "{u}", "full_name": "acme/web", "bitbucket_project": null,
            "since": "2026-01-01T00:00:00Z", "since_setting": "2026-01-01", "entities": {}, "collected_by": "r2",
        }))
        .unwrap();
        let states = [state];
        assert_eq!(requests_left(&states, Some(("r2".to_owned(), 40))), 40);
        // The run r2 was killed: the report is that of the run before it.
        assert_eq!(requests_left(&states, Some(("r1".to_owned(), 40))), 0);
    }
}
