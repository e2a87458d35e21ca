//! What every command that writes the lake does around its work: take the lake, name the run, leave a report.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::output::{print, print_json};
use super::status::left_over;
use super::watch::Watch;
use super::{Context, Outcome};
use crate::bitbucket::Limits;
use crate::collect::{self, CollectReport, Event, Reason, Shard, Stop};
use crate::config::{Config, Expiry};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::escape::escape;
use crate::lake::{LEASE, Lake, LakeLock, layout, rollback};
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
    context: &'a Context,
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
    expiring: Vec<Expiry>,
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
        said.is_some_and(|said| said.starts_with(&Reason::Interrupted.to_string()))
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
    /// [`ErrorKind::Lake`] when another run holds the lake or it cannot be written.
    pub(super) fn start(context: &'a Context, config: &'a Config, command: &str) -> Result<Self> {
        Self::start_with(context, config, command, Lake::lock)
    }

    /// The same beside others: for a collection of a part of the repositories.
    pub(super) fn start_beside(
        context: &'a Context,
        config: &'a Config,
        command: &str,
    ) -> Result<Self> {
        Self::start_with(context, config, command, Lake::lock_shared)
    }

    fn start_with(
        context: &'a Context,
        config: &'a Config,
        command: &str,
        lock: fn(&Lake) -> Result<LakeLock>,
    ) -> Result<Self> {
        let lake = Lake::create(&config.lake.url, &config.lake.options)?
            .with_lease(config.lake.lease.unwrap_or(LEASE));
        let lock = lock(&lake)?;
        let now = Utc::now();
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
        options: &transform::Options,
    ) -> Result<()> {
        match self.collect(collecting).await? {
            // Whoever interrupts wants an end, and not another quarter of an hour.
            Some(Reason::Interrupted) => Ok(()),
            _ => self.transform(options).await,
        }
    }

    /// Collects; the reason, when it ended before its work did.
    pub(super) async fn collect(&mut self, options: &Collecting) -> Result<Option<Reason>> {
        let watch = Watch::new(&self.context.progress);
        let listener = |event: Event<'_>| watch.see(event);
        let stop = Stop::new(options.deadline);
        let options = collect::Options {
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

    pub(super) async fn transform(&mut self, options: &transform::Options) -> Result<()> {
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

    /// Writes the report, says what the reader should know, and passes the result on.
    pub(super) async fn finish(mut self, result: Result<()>) -> Result<Outcome> {
        let outcome = match &self.report.collect {
            Some(report) if report.stopped.is_some() => Outcome::Unfinished,
            Some(report) if report.is_incomplete() => Outcome::Incomplete,
            _ => Outcome::Complete,
        };
        let head = &mut self.report.head;
        head.finished_at = Utc::now();
        head.exit_code = match &result {
            Err(error) => error.kind().exit_code(),
            Ok(()) => outcome.exit_code(),
        };
        head.error = result.as_ref().err().map(ToString::to_string);
        if let Err(error) = &result
            && error.kind() == ErrorKind::Interrupted
            && let Err(error) = self.lake.release(&head.run_id).await
        {
            tracing::debug!("cannot end the intent: {error}");
        }
        let path = layout::run_file(&head.run_id);
        let written = self.lake.put_json(&path, &self.report).await;
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
            for (repository, entity, known) in report.incomplete() {
                let reason = known.reason.as_deref().unwrap_or("unknown reason");
                let status = known.status.map_or("failed", |status| status.as_str());
                tracing::warn!(repository, entity, status, "{reason}");
            }
        }
        if let Some(report) = &self.report.transform {
            for warning in &report.warnings {
                tracing::warn!(
                    repository = warning.repository,
                    n = warning.n,
                    "{}",
                    warning.kind
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
            if let Some(reason) = &report.stopped {
                let left = left_over(report.requests_left, requests);
                text.push_str(&format!("stopped     {}; {left}\n", escape(reason)));
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
        }
        text.push_str(&format!("lake        {}\n", self.lake.url()));
        text
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
async fn overdue(stop: &Stop) -> Result<Error> {
    let reason = tokio::select! {
        signal = interrupted() => {
            let error = signal?;
            stop.ask(Reason::Interrupted);
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
