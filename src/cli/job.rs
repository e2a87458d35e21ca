//! What every command that writes the lake does around its work: take the lake, name the run, leave a report.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::context::{CliContext, CommandOutcome};
use super::output::{print, print_json};
use super::status::left_over;
use super::watch::Watch;
use crate::bitbucket::Limits;
use crate::clock;
use crate::collect::{
    self, CollectEvent, CollectReport, NewlyUnavailable, Shard, StopReason, StopSignal,
};
use crate::config::{Config, CredentialExpiry};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::escape::escape;
use crate::lake::{DEFAULT_LEASE, Lake, LakeLock, Retention, layout, rollback};
use crate::schema::SourceTable;
use crate::schema::times::{OddTimes, RANGE};
use crate::scratch;
use crate::telemetry::LogFormat;
use crate::transform::{self, TransformReport};

/// How long collectors may take to save what they have; orchestrators kill after thirty seconds.
const GRACE: Duration = Duration::from_secs(20);

/// What the command line says of a collection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Collecting {
    pub(super) deadline: Option<Duration>,
    pub(super) full: bool,
    pub(super) shard: Option<Shard>,
}

/// A run under way: the lake is ours.
pub(super) struct Job<'a> {
    context: &'a CliContext,
    config: &'a Config,
    pub(super) lake: Lake,
    lock: LakeLock,
    report: RunReport,
}

/// `_bitlake/runs/<run-id>.json`, and the summary that `--log-format json` prints.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    #[serde(flatten)]
    head: RunHead,
    /// Credentials that end soon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expiring: Vec<CredentialExpiry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collect: Option<CollectReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<TransformReport>,
}

/// What `status` reads of a run's report.
#[derive(Debug, Deserialize)]
pub(super) struct FormerRun {
    #[serde(flatten)]
    pub(super) head: RunHead,
    pub(super) collect: Option<Spent>,
    transform: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Spent {
    pub(super) requests: BTreeMap<String, u64>,
    stopped: Option<String>,
}

impl FormerRun {
    /// Whether it put newer tables on the lake.
    pub(super) fn has_published(&self) -> bool {
        let forward = self.head.command != "rollback";
        forward && self.transform.is_some() && self.head.error.is_none()
    }

    /// Whether somebody ended it.
    pub(super) fn was_interrupted(&self) -> bool {
        let stopped = self.collect.as_ref().and_then(|it| it.stopped.as_deref());
        let said = stopped.or(self.head.error.as_deref());
        said.is_some_and(|said| said.starts_with(&StopReason::Interrupted.to_string()))
    }
}

/// Of a run: which, when, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunHead {
    pub run_id: String,
    pub command: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub exit_code: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl<'a> Job<'a> {
    /// # Errors
    /// [`ErrorKind::Lake`] when another run holds the lake, it cannot be written, or its store is none for a lake.
    pub(super) async fn start(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
    ) -> Result<Self> {
        Self::start_with(context, config, command, Lake::lock).await
    }

    /// The same beside others: for a collection of a part of the repositories.
    pub(super) async fn start_beside(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
    ) -> Result<Self> {
        Self::start_with(context, config, command, Lake::lock_shared).await
    }

    async fn start_with(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
        lock: fn(&Lake) -> Result<LakeLock>,
    ) -> Result<Self> {
        let lake = Lake::create(&config.lake.url, &config.lake.options)?
            .with_lease(config.lake.lease.unwrap_or(DEFAULT_LEASE));
        let lock = lock(&lake)?;
        lake.ensure_conditional().await?;
        scratch::sweep();
        let now = clock::now();
        let head = RunHead {
            run_id: run_id(now)?,
            command: command.to_owned(),
            started_at: now,
            finished_at: now,
            exit_code: 0,
            error: None,
        };
        let report = RunReport {
            head,
            expiring: config.expiring(),
            collect: None,
            transform: None,
        };
        Ok(Self {
            context,
            config,
            lake,
            lock,
            report,
        })
    }

    /// Collects, and publishes what is complete.
    pub(super) async fn run(
        &mut self,
        collecting: &Collecting,
        options: &transform::TransformOptions,
    ) -> Result<()> {
        match self.collect(collecting).await? {
            // Whoever interrupts wants an end, and not another quarter of an hour.
            Some(StopReason::Interrupted) => Ok(()),
            _ => self.transform(options).await,
        }
    }

    /// Collects; the reason, when it ended before its work did.
    pub(super) async fn collect(&mut self, options: &Collecting) -> Result<Option<StopReason>> {
        let watch = Watch::new(&self.context.progress);
        let listener = |event: CollectEvent<'_>| watch.see(event);
        let stop = StopSignal::new(options.deadline);
        let options = collect::CollectOptions {
            run_id: &self.report.head.run_id,
            now: self.report.head.started_at,
            limits: Limits::default(),
            stop: &stop,
            full: options.full,
            shard: options.shard,
            listener: &listener,
        };
        let work = collect::collect(self.config, &self.context.env, &self.lake, &options);
        let report = tokio::select! {
            report = work => report?,
            error = overdue(&stop) => return Err(error?),
        };
        self.report.collect = Some(report);
        Ok(stop.reason())
    }

    pub(super) async fn transform(&mut self, options: &transform::TransformOptions) -> Result<()> {
        let head = &self.report.head;
        let work = transform::transform(
            self.config,
            &self.lake,
            &self.lock,
            &head.run_id,
            head.started_at,
            options,
        );
        let report = tokio::select! {
            report = work => report?,
            signal = interrupted() => return Err(signal?),
        };
        self.report.transform = Some(report);
        Ok(())
    }

    /// Publishes what was published after the run `target`.
    pub(super) async fn rollback(&mut self, target: &str) -> Result<()> {
        let head = &self.report.head;
        let now = head.started_at;
        let work = rollback(&self.lake, &self.lock, &head.run_id, now, target);
        let published = tokio::select! {
            published = work => published?,
            signal = interrupted() => return Err(signal?),
        };
        self.report.transform = Some(TransformReport {
            published,
            ..TransformReport::default()
        });
        Ok(())
    }

    /// Return which run reports are kept: the configuration's bounds, or else the defaults.
    fn retention(&self) -> Retention {
        let standard = Retention::default();
        let keep_runs = self.config.lake.keep_runs;
        Retention {
            runs: keep_runs.map_or(standard.runs, |runs| runs as usize),
            days: self.config.lake.keep_run_days.unwrap_or(standard.days),
        }
    }

    /// Writes the report, says what the reader should know, and passes the result on.
    pub(super) async fn finish(mut self, result: Result<()>) -> Result<CommandOutcome> {
        let outcome = match &self.report.collect {
            Some(report) if report.stopped.is_some() => CommandOutcome::Unfinished,
            Some(report) if report.is_incomplete() => CommandOutcome::Incomplete,
            _ => CommandOutcome::Complete,
        };
        let head = &mut self.report.head;
        head.finished_at = clock::now();
        head.exit_code = match &result {
            Err(error) => error.kind().exit_code(),
            Ok(()) => outcome.exit_code(),
        };
        head.error = result.as_ref().err().map(ToString::to_string);
        if let Err(error) = &result
            && error.kind() == ErrorKind::Interrupted
            && let Err(error) = self.lake.release_lease(&head.run_id).await
        {
            tracing::debug!("cannot end the intent: {error}");
        }
        let path = layout::run_file(&head.run_id);
        let written = self.lake.put_json(&path, &self.report).await;
        let interrupted =
            |error: &Error| matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Quota);
        if written.is_ok() && !result.as_ref().is_err_and(interrupted) {
            let cleaned =
                self.lake
                    .clean(&self.lock, self.retention(), self.report.head.started_at);
            if let Err(error) = cleaned.await {
                tracing::warn!("cannot remove what earlier runs left: {error}");
            }
        }
        self.warn();
        self.context.progress.finish();
        if self.context.global.log_format == LogFormat::Json {
            let summary = serde_json::to_string(&self.report)
                .or_error(ErrorKind::Internal, "cannot write the summary")?;
            print_json(&summary)?;
        } else if result.is_ok() && !self.context.global.quiet {
            print(&self.summary())?;
        }
        result.and(written)?;
        Ok(outcome)
    }

    fn warn(&self) {
        for expiry in &self.report.expiring {
            tracing::warn!("{expiry}: renew it");
        }
        if let Some(report) = &self.report.collect {
            for trouble in report.failures() {
                let (entity, dependents) = trouble.lists.split_first().unwrap_or((&"", &[]));
                let (repository, status) = (trouble.repository, trouble.status.as_str());
                let with_it = match dependents {
                    [] => String::new(),
                    dependents => format!("; with it: {}", dependents.join(", ")),
                };
                tracing::warn!(repository, entity, status, "{}{with_it}", trouble.reason);
            }
            for absence in report
                .newly_unavailable()
                .iter()
                .filter(|it| is_refused(it))
            {
                tracing::warn!(
                    "cannot read {}: `bitlake check` says what to do",
                    unread(absence)
                );
            }
            for repository in &report.repositories {
                for (entity, known) in &repository.entities {
                    warn_of_times(&repository.repository, entity, &known.odd_times);
                }
            }
        }
        if let Some(report) = &self.report.transform {
            for warning in &report.warnings {
                // A repository is named where the rows are of one.
                let repository = Some(&warning.repository).filter(|name| !name.is_empty());
                tracing::warn!(repository, n = warning.n, "{}", warning.kind);
            }
            for (table, odd) in &report.odd_times {
                warn_of_times("", table, odd);
            }
            for nulled in &report.nulled {
                tracing::warn!(
                    table = nulled.table,
                    column = nulled.column,
                    rows = nulled.rows,
                    values = nulled.values.join(", "),
                    location = nulled.location,
                    "null in the lake: {}",
                    nulled.reason
                );
            }
            for large in &report.large_files {
                tracing::warn!(
                    file = large.file,
                    megabytes = large.bytes / 1_000_000,
                    "a large file: `partition = \"{}\"` for its table in [lake.tables] makes smaller ones",
                    large.finer
                );
            }
        }
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        if let Some(report) = &self.report.collect {
            let entities = report
                .repositories
                .iter()
                .flat_map(|one| one.entities.values());
            let records: u64 = entities.map(|entity| entity.records).sum();
            let requests: u64 = report.requests.values().sum();
            let planned = match report.planned.values().sum::<u64>() {
                0 => String::new(),
                planned => format!(", {planned} were planned"),
            };
            let by_git = match report.git_operations {
                0 => String::new(),
                operations => format!(" and {operations} git operations"),
            };
            text.push_str(&format!(
                "collected   {records} records of {} repositories and workspaces in {requests} requests{planned}{by_git}\n",
                report.repositories.len(),
            ));
            for absence in report
                .newly_unavailable()
                .iter()
                .filter(|it| !is_refused(it))
            {
                text.push_str(&format!("not there   {}\n", unread(absence)));
            }
            if let Some(reason) = &report.stopped {
                let left = left_over(report.requests_left, requests);
                text.push_str(&format!(
                    "stopped     {}; {left}\n",
                    escape(&reason.to_string())
                ));
            }
        }
        if let Some(report) = &self.report.transform {
            let published = &report.published;
            text.push_str(&format!(
                "published   {} tables: {} files written, {} unchanged, {} removed\n",
                published.tables,
                published.files_written,
                published.files_unchanged,
                published.files_removed,
            ));
            if !report.repaired.is_empty() {
                text.push_str(&format!(
                    "repaired    {} files that were missing or damaged\n",
                    report.repaired.len()
                ));
            }
        }
        let notices = self.report.transform.iter().flat_map(|it| &it.notices);
        for notice in notices {
            text.push_str(&format!("note        {} (n = {})\n", notice.kind, notice.n));
        }
        text.push_str(&format!("lake        {}\n", self.lake.url()));
        text
    }
}

/// How many repositories a line names.
const NAMED: usize = 3;

/// Whether somebody can give the credentials what they lack. A repository's or project's token can never list the
/// members of a workspace, and accounts come from all other records too.
fn is_refused(absence: &NewlyUnavailable<'_>) -> bool {
    absence.status == 403 && absence.lists != [SourceTable::WorkspaceMembers.as_str()]
}

/// "pipelines, deployments of acme/web and acme/api: the token lacks …".
fn unread(absence: &NewlyUnavailable<'_>) -> String {
    let names = absence.repositories.iter().take(NAMED);
    let mut names = names.copied().collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = absence.repositories.len().checked_sub(NAMED) {
        names.push_str(&format!(" and {more} more"));
    }
    format!(
        "{} of {names}: {}",
        absence.lists.join(", "),
        absence.reason
    )
}

/// `repository`: empty where a whole table was read again.
fn warn_of_times(repository: &str, table: &str, odd: &BTreeMap<String, OddTimes>) {
    for (column, times) in odd {
        let values: Vec<_> = times.values.iter().map(String::as_str).collect();
        tracing::warn!(
            repository,
            table,
            column,
            rows = times.rows,
            values = values.join(", "),
            "null in the lake, and kept in _payload: times outside {RANGE}"
        );
    }
}

/// Sorts by time, and two runs of one second differ.
fn run_id(now: DateTime<Utc>) -> Result<String> {
    let mut random = [0; 3];
    getrandom::fill(&mut random).map_err(|error| {
        Error::new(ErrorKind::Internal, "no randomness").source(error.to_string())
    })?;
    let time = now
        .to_rfc3339_opts(SecondsFormat::Secs, true)
        .replace(['-', ':'], "");
    let [a, b, c] = random;
    Ok(format!("{time}-{a:02x}{b:02x}{c:02x}"))
}

/// Passes a signal on to the collectors. Resolves when they were asked to stop, for whatever reason, and do not come
/// to an end: what they saved so far is safe.
async fn overdue(stop: &StopSignal) -> Result<Error> {
    let reason = tokio::select! {
        signal = interrupted() => {
            let error = signal?;
            stop.request(StopReason::Interrupted);
            error
        }
        () = stop.wait() => {
            Error::new(ErrorKind::Quota, "the deadline has passed").hint("run again to go on")
        }
    };
    tokio::time::sleep(GRACE).await;
    Ok(reason)
}

/// Resolves to the error of an interrupted run when somebody asks to stop.
pub(super) async fn interrupted() -> Result<Error> {
    let failed = |source: std::io::Error| {
        Error::new(ErrorKind::Internal, "cannot listen for signals").source(source)
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map_err(failed)?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(failed)?;
    Ok(
        Error::new(ErrorKind::Interrupted, "interrupted")
            .hint("state is saved; run again to go on"),
    )
}
