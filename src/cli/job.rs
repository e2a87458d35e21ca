//! What every command that writes the lake does around its work: take the lake, name the run, leave a report.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::output::{print, print_line};
use super::{Context, Outcome};
use crate::bitbucket::Limits;
use crate::collect::{self, CollectReport, Event};
use crate::config::Config;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{LEASE, Lake, LakeLock, layout, rollback};
use crate::telemetry::LogFormat;
use crate::transform::{self, TransformReport};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    collect: Option<CollectReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<TransformReport>,
}

/// What `status` shows of a run.
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
        // Before the first request: a mistake in the layout must not cost a night's quota.
        transform::contracts(config)?;
        let lake = Lake::create(&config.lake.url, &config.lake.options)?
            .with_lease(config.lake.lease.unwrap_or(LEASE));
        let lock = lake.lock()?;
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

    pub(super) async fn collect(&mut self) -> Result<()> {
        let progress = &self.context.progress;
        let shown = std::sync::Mutex::new(std::collections::BTreeMap::new());
        let listener = |event: Event<'_>| {
            let Ok(mut shown) = shown.lock() else { return };
            match event {
                Event::Discovered { repositories } => {
                    tracing::info!(repositories, "discovered");
                }
                Event::Page {
                    repository,
                    entity,
                    records,
                } => {
                    let bar = shown
                        .entry(repository.to_owned())
                        .or_insert_with(|| progress.repository(repository));
                    bar.entity(entity);
                    bar.inc(records, 1);
                }
                Event::Finished { repository } => {
                    tracing::info!(repository, "collected");
                    if let Some(bar) = shown.remove(repository) {
                        bar.finish();
                    }
                }
            }
        };
        let options = collect::Options {
            run_id: &self.report.head.run_id,
            now: self.report.head.started_at,
            limits: Limits::default(),
            listener: &listener,
        };
        let work = collect::collect(self.config, &self.context.env, &self.lake, &options);
        let report = tokio::select! {
            report = work => report?,
            signal = interrupted() => return Err(signal?),
        };
        self.report.collect = Some(report);
        Ok(())
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
        let incomplete = self
            .report
            .collect
            .as_ref()
            .is_some_and(CollectReport::is_incomplete);
        let head = &mut self.report.head;
        head.finished_at = Utc::now();
        head.exit_code = match &result {
            Err(error) => error.kind().exit_code(),
            Ok(()) => u8::from(incomplete),
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
            print_line(&summary)?;
        } else if result.is_ok() && !self.context.global.quiet {
            print(&self.summary())?;
        }
        result.and(written)?;
        Ok(if incomplete {
            Outcome::Incomplete
        } else {
            Outcome::Complete
        })
    }

    fn warn(&self) {
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
            text.push_str(&format!(
                "collected   {records} records of {} repositories and workspaces in {requests} requests\n",
                report.repositories.len(),
            ));
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

/// Resolves to the error of an interrupted run when somebody asks to stop.
async fn interrupted() -> Result<Error> {
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
