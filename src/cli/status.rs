//! `bitlake status`: the last runs, and the status of every list of every repository.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::args::StatusArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::print;
use super::remaining::format_requests_left;
use super::rows;
use super::run_report::{FormerRun, RunHead};
use crate::clock;
use crate::error::Result;
use crate::escape::escape;
use crate::lake::{Lake, ListState, ListStatus, RepositoryState, layout};

const RUNS_SHOWN: usize = 10;

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
    let (runs, last_run) = format_runs(&lake).await?;
    print(&runs)?;

    let mut lines = vec![
        [
            "repository",
            "entity",
            "status",
            "from",
            "through",
            "reason",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let mut outcome = CommandOutcome::Complete;
    let states = lake.states().await?;
    for state in &states {
        for (table, list) in &state.entities {
            if matches!(list.status, ListStatus::Failed | ListStatus::Stale) {
                outcome = CommandOutcome::Incomplete;
            }
            lines.push(vec![
                state.full_name.clone(),
                table.clone(),
                list.status.as_str().to_owned(),
                format_from(list),
                list.complete_through.map(format_time).unwrap_or_default(),
                list.reason.clone().unwrap_or_default(),
            ]);
        }
    }
    print(&rows::aligned(&lines))?;
    for expiry in config.expiring() {
        print(&format!("\n{expiry}: renew it\n"))?;
    }
    let left = states.iter().map(RepositoryState::requests_left);
    let left = left.fold(0, u64::saturating_add);
    if left > 0 {
        print(&format!("\n{}\n", format_requests_left(left, last_run)))?;
    }
    Ok(outcome)
}

/// Show the newest run that published. The outcome is incomplete when it finished longer than `max_age` ago.
async fn check_freshness(
    lake: &Lake,
    max_age: Duration,
    now: DateTime<Utc>,
) -> Result<CommandOutcome> {
    for path in lake.list(layout::RUNS).await?.iter().rev() {
        let run = lake.get_json::<FormerRun>(path).await?;
        let Some(run) = run.filter(FormerRun::has_published) else {
            continue;
        };
        let RunHead {
            run_id,
            finished_at,
            ..
        } = run.head;
        let is_fresh = (now - finished_at).to_std().unwrap_or_default() <= max_age;
        let word = if is_fresh { "fresh" } else { "stale" };
        let at = format_time(finished_at);
        print(&format!(
            "{word}: the last publish ended at {at} (run {})\n",
            escape(&run_id)
        ))?;
        return Ok(match is_fresh {
            true => CommandOutcome::Complete,
            false => CommandOutcome::Incomplete,
        });
    }
    print("stale: nothing was ever published\n")?;
    Ok(CommandOutcome::Incomplete)
}

/// Format the last runs. Return the text, and the requests of the newest of them that collected.
async fn format_runs(lake: &Lake) -> Result<(String, u64)> {
    let mut lines = vec![
        ["run", "command", "started", "seconds", "exit", "error"]
            .map(String::from)
            .to_vec(),
    ];
    let mut last_run = None;
    let paths = lake.list(layout::RUNS).await?;
    for path in paths.iter().rev().take(RUNS_SHOWN) {
        if let Some(run) = lake.get_json::<FormerRun>(path).await? {
            if let Some(collected) = &run.collect {
                let requests = collected.requests.values().copied();
                last_run.get_or_insert(requests.fold(0, u64::saturating_add));
            }
            lines.push(vec![
                run.head.run_id,
                run.head.command,
                format_time(run.head.started_at),
                (run.head.finished_at - run.head.started_at)
                    .num_seconds()
                    .to_string(),
                run.head.exit_code.to_string(),
                run.head.error.unwrap_or_default(),
            ]);
        }
    }
    let text = format!("{}\n", rows::aligned(&lines));
    Ok((text, last_run.unwrap_or_default()))
}

fn format_from(list: &ListState) -> String {
    match (list.complete_from, list.complete_through) {
        (Some(from), _) => format_time(from),
        (None, Some(_)) => "beginning".to_owned(),
        (None, None) => String::new(),
    }
}

fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
