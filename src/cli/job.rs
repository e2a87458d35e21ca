//! The frame of every command that writes the lake: lock the lake, name the run, work until the end or a signal, write the
//! report.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};

use super::context::{CliContext, CommandOutcome};
use super::lineage::LineageEmitter;
use super::output::{print, print_json};
use super::run_report::{RunHead, RunReport};
use super::run_summary::{summary, warn};
use super::signals::SignalListener;
use super::watch::{CollectWatch, watch_transform};
use crate::bitbucket::Limits;
use crate::clock;
use crate::collect::{self, CollectEvent, CollectOptions, Shard, StopReason, StopSignal};
use crate::config::Config;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{DEFAULT_LEASE, Lake, LakeLock, Retention, SharedFiles, layout, rollback};
use crate::scratch;
use crate::telemetry::LogFormat;
use crate::transform::{self, TransformOptions, TransformReport};

/// The time within which collectors must save their records after a signal. Orchestrators kill a process after thirty
/// seconds.
const GRACE: Duration = Duration::from_secs(20);

/// The options of a collection on the command line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CollectSettings {
    pub(super) deadline: Option<Duration>,
    pub(super) full: bool,
    pub(super) shard: Option<Shard>,
}

/// A run in progress, which holds the lake's lock.
pub(super) struct Job<'a> {
    context: &'a CliContext,
    config: &'a Config,
    pub(super) lake: Lake,
    lock: LakeLock,
    signals: SignalListener,
    lineage: LineageEmitter,
    report: RunReport,
}

impl<'a> Job<'a> {
    /// Lock the lake and start a run.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when another run holds the lake, it cannot be written, or its store lacks conditional writes.
    pub(super) async fn start(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
    ) -> Result<Self> {
        let signals = SignalListener::start()?;
        Self::start_with(context, config, command, signals, Lake::lock).await
    }

    /// Start a run of a caller that listens for signals itself.
    ///
    /// # Errors
    /// As [`Job::start`].
    pub(super) async fn start_with_signals(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
        signals: SignalListener,
    ) -> Result<Self> {
        Self::start_with(context, config, command, signals, Lake::lock).await
    }

    /// Start a run that shares the lake with others, for the collection of one shard.
    ///
    /// # Errors
    /// As [`Job::start`].
    pub(super) async fn start_shared(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
    ) -> Result<Self> {
        let signals = SignalListener::start()?;
        Self::start_with(context, config, command, signals, Lake::lock_shared).await
    }

    async fn start_with(
        context: &'a CliContext,
        config: &'a Config,
        command: &str,
        signals: SignalListener,
        lock: fn(&Lake) -> Result<LakeLock>,
    ) -> Result<Self> {
        let lake = Lake::create(&config.lake.url, &config.lake.options)?
            .with_lease(config.lake.lease.unwrap_or(DEFAULT_LEASE));
        let mut lock = lock(&lake)?;
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
            interrupted: None,
        };
        let owner = serde_json::to_string(&head);
        lock.set_owner(&owner.or_error(ErrorKind::Internal, "cannot name the run")?)?;
        let report = RunReport {
            head,
            expiring: config.expiring(),
            collect: None,
            transform: None,
            phases: BTreeMap::new(),
        };
        let lineage = LineageEmitter::from_environment(context);
        lineage.start(config, &lake, &report).await;
        Ok(Self {
            context,
            config,
            lake,
            lock,
            signals,
            lineage,
            report,
        })
    }

    /// Collect, and publish the tables that are complete.
    pub(super) async fn run(
        &mut self,
        settings: &CollectSettings,
        options: &TransformOptions,
    ) -> Result<()> {
        match self.collect(settings).await? {
            // After a signal the process must end within seconds, but a transform takes minutes.
            Some(StopReason::Interrupted) => Ok(()),
            _ => self.transform(options).await,
        }
    }

    /// Collect. Return the reason when the collection stopped early.
    pub(super) async fn collect(
        &mut self,
        settings: &CollectSettings,
    ) -> Result<Option<StopReason>> {
        let watch = CollectWatch::new(&self.context.progress);
        let listener = |event: CollectEvent<'_>| watch.show(event);
        let stop = StopSignal::new(settings.deadline);
        let options = CollectOptions {
            run_id: &self.report.head.run_id,
            now: self.report.head.started_at,
            limits: Limits::default(),
            stop: &stop,
            full: settings.full,
            shard: settings.shard,
            listener: &listener,
        };
        let work = collect::collect(self.config, &self.context.env, &self.lake, &options);
        let began = Instant::now();
        let report = tokio::select! {
            report = work => report,
            error = stop_overdue(&stop, &self.signals) => Err(error),
        };
        self.report.phases.insert("collect", began.elapsed());
        self.report.collect = Some(report?);
        Ok(stop.reason())
    }

    /// Compute the tables and publish them.
    pub(super) async fn transform(&mut self, options: &TransformOptions) -> Result<()> {
        self.lineage.set_queries(options.queries.clone());
        let head = &self.report.head;
        let options = &TransformOptions {
            listener: watch_transform(&self.context.progress),
            ..options.clone()
        };
        let work = transform::transform(
            self.config,
            &self.lake,
            &self.lock,
            &head.run_id,
            head.started_at,
            options,
        );
        let began = Instant::now();
        let report = tokio::select! {
            report = work => report,
            error = self.signals.interrupted() => Err(error),
        };
        self.report.phases.insert("transform", began.elapsed());
        if report.is_err() && !options.workers.is_empty() {
            // A signal may end the transform at any point.
            let head = &self.report.head;
            SharedFiles::new(&self.lake, &head.run_id).remove().await;
        }
        self.report.transform = Some(report?);
        Ok(())
    }

    /// Publish the tables as they were after the run `target`.
    pub(super) async fn rollback(&mut self, target: &str) -> Result<()> {
        let head = &self.report.head;
        let now = head.started_at;
        let work = rollback(&self.lake, &self.lock, &head.run_id, now, target);
        let published = tokio::select! {
            published = work => published?,
            error = self.signals.interrupted() => return Err(error),
        };
        self.report.transform = Some(TransformReport {
            published,
            ..TransformReport::default()
        });
        Ok(())
    }

    /// Return the limits of kept run reports: the configuration's, or else the defaults.
    fn retention(&self) -> Retention {
        let standard = Retention::default();
        let keep_runs = self.config.lake.keep_runs;
        Retention {
            runs: keep_runs.map_or(standard.runs, |runs| runs as usize),
            days: self.config.lake.keep_run_days.unwrap_or(standard.days),
        }
    }

    /// Write the report, show warnings and summary, and return the outcome of the work.
    pub(super) async fn finish(self, result: Result<()>) -> Result<CommandOutcome> {
        self.finish_with_report(result).await.0
    }

    /// Do the same as [`Job::finish`], and return the report.
    pub(super) async fn finish_with_report(
        mut self,
        result: Result<()>,
    ) -> (Result<CommandOutcome>, RunReport) {
        let outcome = self.conclude(result).await;
        (outcome, self.report)
    }

    async fn conclude(&mut self, result: Result<()>) -> Result<CommandOutcome> {
        let outcome = match &self.report.collect {
            Some(report) if report.stopped.is_some() => CommandOutcome::Unfinished,
            Some(report) if report.is_incomplete() => CommandOutcome::Incomplete,
            _ => CommandOutcome::Complete,
        };
        let error = result.as_ref().err().map(Error::kind);
        let is_interrupted = self.report.is_interrupted(error);
        let head = &mut self.report.head;
        head.finished_at = clock::now();
        head.exit_code = error.map_or(outcome.exit_code(), ErrorKind::exit_code);
        head.error = result.as_ref().err().map(ToString::to_string);
        head.interrupted = Some(is_interrupted);
        if error == Some(ErrorKind::Interrupted)
            && let Err(error) = self.lake.release_lease(&head.run_id).await
        {
            tracing::debug!("cannot release the lease: {error}");
        }
        let path = layout::run_file(&self.report.head.run_id);
        let written = self.lake.put_json(&path, &self.report).await;
        if written.is_ok() && !matches!(error, Some(ErrorKind::Interrupted | ErrorKind::Quota)) {
            self.clean().await;
        }
        // The summary and the lineage must not report success for a command that fails.
        if let (Ok(()), Err(error)) = (&result, &written) {
            self.report.head.exit_code = error.kind().exit_code();
            self.report.head.error = Some(error.to_string());
        }
        self.lineage
            .finish(self.config, &self.lake, &self.report)
            .await;
        warn(&self.report);
        self.context.progress.finish();
        if self.context.global.log_format == LogFormat::Json {
            let summary = serde_json::to_string(&self.report)
                .or_error(ErrorKind::Internal, "cannot write the summary")?;
            print_json(&summary)?;
        } else if result.is_ok() && !self.context.global.quiet {
            print(&summary(&self.report, &self.lake.url()))?;
        }
        result.and(written)?;
        Ok(outcome)
    }

    /// Remove files that earlier runs left. A failure is only logged: the next run tries again.
    async fn clean(&self) {
        let (retention, now) = (self.retention(), self.report.head.started_at);
        if let Err(error) = self.lake.clean(&self.lock, retention, now).await {
            tracing::warn!("cannot remove files that earlier runs left: {error}");
        }
    }
}

/// Create the id of a run. Ids sort by time, and the ids of two runs within one second differ.
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

/// Forward a signal to the collectors. Return an error when they do not end within [`GRACE`] after they must stop for any
/// reason. Their checkpoints so far are in the lake.
async fn stop_overdue(stop: &StopSignal, signals: &SignalListener) -> Error {
    let error = tokio::select! {
        error = signals.interrupted() => {
            stop.request(StopReason::Interrupted);
            error
        }
        () = stop.wait() => {
            Error::new(ErrorKind::Quota, "the deadline has passed").hint("run again to resume")
        }
    };
    tokio::time::sleep(GRACE).await;
    error
}
