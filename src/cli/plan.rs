//! `bitlake plan`: what the next run and a usual day cost, before they are spent.

use std::collections::BTreeSet;

use super::args::{PlanArgs as Args, PlanFormat};
use super::context::{CliContext, CommandOutcome};
use super::output::{print, print_json};
use super::rows;
use super::watch::duration;
use crate::bitbucket::Limits;
use crate::clock;
use crate::collect::plan::{Plan, VisitKind, plan, total};
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::Lake;

pub(super) async fn run(context: &CliContext, args: Args) -> Result<CommandOutcome> {
    let config = context.config()?;
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let _lock = lake.lock()?;
    let plan = plan(
        &config,
        &context.env,
        &lake,
        &Limits::default(),
        clock::now(),
    )
    .await?;
    match args.format {
        PlanFormat::Table => print(&table(&plan))?,
        PlanFormat::Json => print_json(
            &serde_json::to_string(&plan).or_error(ErrorKind::Internal, "cannot write the plan")?,
        )?,
    }
    let incomplete = plan.repositories.iter().any(|one| one.reason.is_some());
    Ok(match incomplete {
        true => CommandOutcome::Incomplete,
        false => CommandOutcome::Complete,
    })
}

fn table(plan: &Plan) -> String {
    let (next, usual) = (plan.next(), plan.usual_day());
    let mut lines = vec![["list", "next run", "usual day"].map(String::from).to_vec()];
    for list in next.keys().chain(usual.keys()).collect::<BTreeSet<_>>() {
        let cell =
            |of: &crate::collect::plan::Requests| whole(of.get(list).copied().unwrap_or_default());
        lines.push(vec![list.clone(), cell(&next), cell(&usual)]);
    }
    lines.push(vec![
        "all".to_owned(),
        whole(total(&next)),
        whole(total(&usual)),
    ]);
    let mut text = rows::aligned(&lines);

    let mut lines = vec![
        ["repository", "kind", "next run", "usual day", ""]
            .map(String::from)
            .to_vec(),
    ];
    for one in &plan.repositories {
        let kind = match one.kind {
            VisitKind::FirstLoad => "first load",
            VisitKind::Unfinished => "unfinished",
            VisitKind::Update => "update",
            VisitKind::Deferred => "deferred",
        };
        lines.push(vec![
            one.repository.clone(),
            kind.to_owned(),
            whole(total(&one.next)),
            whole(total(&one.usual_day)),
            one.reason.clone().unwrap_or_default(),
        ]);
    }
    text.push_str(&format!("\n{}\n", rows::aligned(&lines)));
    for budget in &plan.budgets {
        text.push_str(&format!(
            "{}: {} requests an hour, {} left of this one; the next run waits {} for them, a usual day {}\n",
            budget.connection,
            budget.requests_per_hour,
            budget.left,
            waits(budget.hours),
            waits(budget.usual_day_hours),
        ));
    }
    text.push_str(&format!("planning took {} requests\n", plan.spent));
    text
}

fn waits(hours: f64) -> String {
    match hours > 0.0 {
        true => duration(hours),
        false => "not at all".to_owned(),
    }
}

/// Rounded; what comes now and then is not nothing.
fn whole(requests: f64) -> String {
    match requests > 0.0 && requests < 0.5 {
        true => "< 1".to_owned(),
        false => format!("{requests:.0}"),
    }
}
