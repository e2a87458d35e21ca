//! `bitlake status`: the last runs, and how far each repository is known.

use chrono::{DateTime, SecondsFormat, Utc};

use super::job::RunHead;
use super::output::print;
use super::{Context, Outcome, rows};
use crate::error::Result;
use crate::lake::{EntityState, EntityStatus, Lake, layout};

const RUNS_SHOWN: usize = 5;

/// # Errors
/// As [`Lake::open`]; the outcome is incomplete when something is stale or failed.
pub(super) async fn run(context: &Context) -> Result<Outcome> {
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    print(&runs(&lake).await?)?;

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
    let mut outcome = Outcome::Complete;
    for (state, _) in lake.states().await? {
        for (entity, known) in &state.entities {
            if matches!(known.status, EntityStatus::Failed | EntityStatus::Stale) {
                outcome = Outcome::Incomplete;
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
    Ok(outcome)
}

async fn runs(lake: &Lake) -> Result<String> {
    let mut lines = vec![
        ["run", "command", "started", "seconds", "exit", "error"]
            .map(String::from)
            .to_vec(),
    ];
    let paths = lake.list(layout::RUNS).await?;
    for path in paths.iter().rev().take(RUNS_SHOWN) {
        if let Some(run) = lake.get_json::<RunHead>(path).await? {
            lines.push(vec![
                run.run_id,
                run.command,
                time(run.started_at),
                (run.finished_at - run.started_at).num_seconds().to_string(),
                run.exit_code.to_string(),
                run.error.unwrap_or_default(),
            ]);
        }
    }
    Ok(format!("{}\n", rows::aligned(&lines)))
}

fn from(known: &EntityState) -> String {
    match (known.complete_from, known.complete_through) {
        (Some(from), _) => time(from),
        (None, Some(_)) => "beginning".to_owned(),
        (None, None) => String::new(),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
