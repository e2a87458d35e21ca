//! `bitlake schedule`: `run`, again and again, on the dates of `[sync] cron`, for machines without a scheduler.
//!
//! ```text
//! last run ─▶ next ─▶ wait ─▶ read the configuration ─▶ run ─▶ last run
//!               │       └─ SIGTERM, Ctrl-C: end, exit 0  └─ the same: save, exit 4
//!               ├─ exit 4: an hour after its end
//!               ├─ the lake was not to be had: ten minutes after its end, or the next date
//!               └─ anything else: the next date; one that has passed meanwhile comes at once, and once
//! ```
//!
//! Runs do not overlap, because there is one at a time. A process that starts again reads from the lake when the last
//! run was, so a date that passed while it was down is made up for too.

mod next;

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::args::{RunArgs, ScheduleArgs};
use super::context::{CliContext, CommandOutcome};
use super::job::{FormerRun, interrupted};
use super::run::run_once;
use crate::config::{Config, Cron};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, layout};
use next::{End, Last, next};

/// A suspended machine or a clock that is set makes the time left wrong: it is looked at this often.
const GLANCE: Duration = Duration::from_secs(30);

/// # Errors
/// A configuration that is wrong at the start or has no cron expression. Once it is up, a failing run ends only itself.
pub(super) async fn run(context: &CliContext, args: ScheduleArgs) -> Result<CommandOutcome> {
    let mut config = context.config()?;
    let mut last = last_run(&config).await?;
    let mut due = args.now;
    let args = RunArgs {
        collecting: args.collecting,
        transforming: args.transforming,
    };
    let mut asked_to_end = pin!(interrupted());
    loop {
        if !due {
            tokio::select! {
                signal = &mut asked_to_end => {
                    signal?;
                    return Ok(CommandOutcome::Complete);
                }
                waited = wait(&last, cron(&config)?) => waited?,
            }
        }
        due = false;
        config = reread(context, config);
        let started = clock::now();
        let (result, ended) = {
            let mut run = pin!(run_once(context, &config, &args));
            // The run listens for signals too, and saves what it has.
            tokio::select! {
                result = &mut run => (result, false),
                signal = &mut asked_to_end => {
                    signal?;
                    (run.await, true)
                }
            }
        };
        let exit_code = match &result {
            Ok((outcome, _)) => outcome.exit_code(),
            Err(error) => error.kind().exit_code(),
        };
        if ended {
            return result.map(|(outcome, _)| outcome);
        }
        match &result {
            Ok(_) => tracing::info!(exit_code, "the run has ended"),
            Err(error) => tracing::error!(exit_code, "the run has failed: {error}"),
        }
        let end = match &result {
            Err(error) if error.kind() == ErrorKind::Lake => End::NoLake,
            _ if exit_code == CommandOutcome::Unfinished.exit_code() => End::Unfinished,
            _ => End::Over,
        };
        last = Last {
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

/// The configuration as it is now; the one before, while it is wrong.
fn reread(context: &CliContext, before: Config) -> Config {
    let fresh = context.config().and_then(|fresh| {
        cron(&fresh)?;
        Ok(fresh)
    });
    fresh.unwrap_or_else(|error| {
        tracing::error!("the configuration cannot be used, the one before stays: {error}");
        before
    })
}

/// Resolves when it is time for the next run.
async fn wait(last: &Last, cron: &Cron) -> Result<()> {
    let next = next(clock::now(), last, cron)
        .ok_or_else(|| Error::new(ErrorKind::Configuration, "the schedule has no further date"))?;
    let local = next.at.with_timezone(&cron.zone());
    let at = local.to_rfc3339_opts(SecondsFormat::Secs, true);
    tracing::info!(at, why = %next.why, "the next run");
    while let Ok(left) = (next.at - clock::now()).to_std() {
        tokio::time::sleep(left.min(GLANCE)).await;
    }
    Ok(())
}

/// The newest run that the lake knows; on a new lake there is nothing to make up for.
async fn last_run(config: &Config) -> Result<Last> {
    let fresh = |now: DateTime<Utc>| Last {
        started: now,
        finished: now,
        end: End::Over,
    };
    let now = clock::now();
    let lake = match Lake::open(&config.lake.url, &config.lake.options).await {
        Err(error) if error.kind() == ErrorKind::Configuration => return Ok(fresh(now)),
        lake => lake?,
    };
    for path in lake.list(layout::RUNS).await?.iter().rev() {
        if let Some(run) = lake.get_json::<FormerRun>(path).await?
            && run.head.command == "run"
        {
            let unfinished = run.head.exit_code == CommandOutcome::Unfinished.exit_code();
            return Ok(Last {
                started: run.head.started_at,
                finished: run.head.finished_at,
                end: match unfinished {
                    true if run.was_interrupted() => End::Interrupted,
                    true => End::Unfinished,
                    false => End::Over,
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
    fn a_configuration_that_breaks_leaves_the_one_before() {
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
            assert_eq!(reread(&context, config.clone()).sync, config.sync);
        }
        write("cron = \"0 3 * * *\"");
        assert_ne!(reread(&context, config.clone()).sync, config.sync);
    }
}
