//! `bitlake schedule`: repeats `run` at the times of `[sync] cron`, for machines without a scheduler.
//!
//! ```text
//! last run ─▶ next ─▶ wait ─▶ read the configuration ─▶ run ─▶ last run
//!               │       └─ SIGTERM, Ctrl-C: end, exit 0  └─ the same: save, exit 4
//!               ├─ exit 4: an hour after its end
//!               ├─ the lake was not available: ten minutes after its end, or at the next scheduled time
//!               └─ otherwise: at the next scheduled time, or immediately if one passed since the last run began
//! ```
//!
//! Runs are never concurrent. A process that starts reads the time of the last run from the lake, so that it also makes up
//! for a scheduled time that passed while the process was down.

mod next;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::args::{RunArgs, ScheduleArgs};
use super::context::{CliContext, CommandOutcome};
use super::run::run_once;
use super::run_report::FormerRun;
use super::signals::SignalListener;
use crate::clock;
use crate::config::{Config, Cron};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, layout};
use next::{LastRun, RunEnd, choose_next};

/// The interval in which a waiting process reads the clock again: the time left is wrong after the machine was suspended
/// or its clock was set.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Repeat `run` until a signal arrives.
///
/// # Errors
/// A configuration that is invalid at the start or has no cron expression. A later failure ends only its own run.
pub(super) async fn run(context: &CliContext, args: ScheduleArgs) -> Result<CommandOutcome> {
    let signals = SignalListener::start()?;
    let mut config = context.config()?;
    let mut last = last_run(&config).await?;
    let mut is_due = args.now;
    let args = RunArgs {
        collecting: args.collecting,
        transforming: args.transforming,
    };
    loop {
        if !is_due {
            tokio::select! {
                _ = signals.interrupted() => return Ok(CommandOutcome::Complete),
                waited = wait_for_next(&last, cron(&config)?) => waited?,
            }
        }
        is_due = false;
        config = reload(context, config);
        let started = clock::now();
        tracing::info!("run started");
        // The run shares the listener: a signal makes it save its records and end.
        let result = run_once(context, &config, &args, signals.clone()).await;
        let exit_code = match &result {
            Ok((outcome, _)) => outcome.exit_code(),
            Err(error) => error.kind().exit_code(),
        };
        if signals.is_received() {
            return result.map(|(outcome, _)| outcome);
        }
        match &result {
            Ok(_) => tracing::info!(exit_code, "run finished"),
            Err(error) => tracing::error!(exit_code, "run failed: {error}"),
        }
        let end = match &result {
            Err(error) if error.kind() == ErrorKind::Lake => RunEnd::LakeUnavailable,
            _ if exit_code == CommandOutcome::Unfinished.exit_code() => RunEnd::Unfinished,
            _ => RunEnd::Done,
        };
        last = LastRun {
            started,
            finished: clock::now(),
            end,
        };
    }
}

fn cron(config: &Config) -> Result<&Cron> {
    config.sync.cron.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Configuration, "there is no schedule")
            .with("file", config.path.display())
            .hint("add `cron = \"0 2 * * *\"` to [sync], with `timezone = \"Europe/Berlin\"` if it is not UTC")
    })
}

/// Read the configuration again. Keep the previous one when it is invalid.
fn reload(context: &CliContext, before: Config) -> Config {
    let fresh = context.config().and_then(|fresh| {
        cron(&fresh)?;
        Ok(fresh)
    });
    fresh.unwrap_or_else(|error| {
        tracing::error!("the configuration is invalid, the previous one is kept: {error}");
        before
    })
}

/// Wait until the next run is due.
async fn wait_for_next(last: &LastRun, cron: &Cron) -> Result<()> {
    let next = choose_next(clock::now(), last, cron)
        .ok_or_else(|| Error::new(ErrorKind::Configuration, "the schedule has no further time"))?;
    let local = next.at.with_timezone(&cron.zone());
    let at = local.to_rfc3339_opts(SecondsFormat::Secs, true);
    tracing::info!(at, why = %next.reason, "next run scheduled");
    while let Ok(left) = (next.at - clock::now()).to_std() {
        tokio::time::sleep(left.min(CLOCK_CHECK)).await;
    }
    Ok(())
}

/// Read the last `run` from the lake. A new lake has none, so there is no missed time to make up for.
async fn last_run(config: &Config) -> Result<LastRun> {
    let fresh = |now: DateTime<Utc>| LastRun {
        started: now,
        finished: now,
        end: RunEnd::Done,
    };
    let now = clock::now();
    let lake = match Lake::open(&config.lake.url, &config.lake.options).await {
        Err(error) if error.kind() == ErrorKind::Empty => return Ok(fresh(now)),
        lake => lake?,
    };
    for path in lake.list(layout::RUNS).await?.iter().rev() {
        if let Some(run) = lake.get_json::<FormerRun>(path).await?
            && run.head.command == "run"
        {
            let unfinished = run.head.exit_code == CommandOutcome::Unfinished.exit_code();
            return Ok(LastRun {
                started: run.head.started_at,
                finished: run.head.finished_at,
                end: match unfinished {
                    true if run.was_interrupted() => RunEnd::Interrupted,
                    true => RunEnd::Unfinished,
                    false => RunEnd::Done,
                },
            });
        }
    }
    Ok(fresh(now))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn an_invalid_configuration_leaves_the_previous_one_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bitlake.toml");
        let file = path.to_str().unwrap();
        let cli = Cli::parse_from(["bitlake", "--config", file, "schedule"]);
        let context = CliContext::new(cli.global);
        let write = |sync: &str| {
            std::fs::write(&path, format!("[lake]\nurl = \"out\"\n[sync]\n{sync}\n")).unwrap();
        };
        write("cron = \"0 2 * * *\"");
        let config = context.config().unwrap();
        for broken in ["cron = \"0 2 * *\"", "skip_failed = true"] {
            write(broken);
            assert_eq!(reload(&context, config.clone()).sync, config.sync);
        }
        write("cron = \"0 3 * * *\"");
        assert_ne!(reload(&context, config.clone()).sync, config.sync);
    }
}
