//! `bitlake status`: the last runs, and how far each repository is known.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::args::StatusArgs;
use super::context::{CliContext, CommandOutcome};
use super::job::{FormerRun, RunHead};
use super::output::print;
use super::rows;
use crate::error::Result;
use crate::escape::escape;
use crate::lake::{Lake, ListState, ListStatus, RepositoryState, layout};

const RUNS_SHOWN: usize = 10;

/// # Errors
/// As [`Lake::open`]; the outcome is incomplete when something is stale or failed.
pub(super) async fn run(context: &CliContext, args: &StatusArgs) -> Result<CommandOutcome> {
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    if let Some(max_age) = args.max_age {
        return freshness(&lake, max_age, clock::now()).await;
    }
    let (runs, spent) = runs(&lake).await?;
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
        for (entity, known) in &state.entities {
            if matches!(known.status, ListStatus::Failed | ListStatus::Stale) {
                outcome = CommandOutcome::Incomplete;
            }
            lines.push(vec![
                state.full_name.clone(),
                entity.clone(),
                known.status.as_str().to_owned(),
                from(known),
                known.complete_through.map(time).unwrap_or_default(),
                known.reason.clone().unwrap_or_default(),
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
        print(&format!("\n{}\n", left_over(left, spent)))?;
    }
    Ok(outcome)
}

/// One line about the newest run that published, and whether it ended within `max_age`.
async fn freshness(lake: &Lake, max_age: Duration, now: DateTime<Utc>) -> Result<CommandOutcome> {
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
        let fresh = (now - finished_at).to_std().unwrap_or_default() <= max_age;
        let word = if fresh { "fresh" } else { "stale" };
        let at = time(finished_at);
        print(&format!(
            "{word}: the last publish ended at {at} (run {})\n",
            escape(&run_id)
        ))?;
        return Ok(match fresh {
            true => CommandOutcome::Complete,
            false => CommandOutcome::Incomplete,
        });
    }
    print("stale: nothing was ever published\n")?;
    Ok(CommandOutcome::Incomplete)
}

/// What the first load still needs; `spent`: the requests of the last run that collected.
pub(super) fn left_over(left: u64, spent: u64) -> String {
    let runs = match spent {
        0 => "run again to go on".to_owned(),
        spent if left <= spent => "one more run like the last one".to_owned(),
        spent => format!("{} more runs like the last one", left.div_ceil(spent)),
    };
    format!("about {left} requests are left to load: {runs}")
}

/// The last runs, and what the last one of them that collected spent.
async fn runs(lake: &Lake) -> Result<(String, u64)> {
    let mut lines = vec![
        ["run", "command", "started", "seconds", "exit", "error"]
            .map(String::from)
            .to_vec(),
    ];
    let mut spent = None;
    let paths = lake.list(layout::RUNS).await?;
    for path in paths.iter().rev().take(RUNS_SHOWN) {
        if let Some(run) = lake.get_json::<FormerRun>(path).await? {
            if let Some(collected) = &run.collect {
                let requests = collected.requests.values().copied();
                spent.get_or_insert(requests.fold(0, u64::saturating_add));
            }
            lines.push(vec![
                run.head.run_id,
                run.head.command,
                time(run.head.started_at),
                (run.head.finished_at - run.head.started_at)
                    .num_seconds()
                    .to_string(),
                run.head.exit_code.to_string(),
                run.head.error.unwrap_or_default(),
            ]);
        }
    }
    let text = format!("{}\n", rows::aligned(&lines));
    Ok((text, spent.unwrap_or_default()))
}

fn from(known: &ListState) -> String {
    match (known.complete_from, known.complete_through) {
        (Some(from), _) => time(from),
        (None, Some(_)) => "beginning".to_owned(),
        (None, None) => String::new(),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_runs() {
        assert!(left_over(2400, 1000).ends_with(": 3 more runs like the last one"));
        assert!(left_over(1000, 1000).ends_with(": one more run like the last one"));
        assert!(left_over(5, 0).ends_with(": run again to go on"));
    }
}
