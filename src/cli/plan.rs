//! `bitlake plan`: the estimated requests of the next run and of a usual day.

use std::collections::BTreeSet;

use super::args::{PlanArgs, ReportFormat};
use super::context::{CliContext, CommandOutcome};
use super::output::{print, print_json};
use super::remaining::format_hours;
use super::rows;
use crate::bitbucket::Limits;
use crate::clock;
use crate::collect::plan::{Plan, Requests, VisitKind, plan, total};
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::Lake;
use crate::plural::counted;

pub(super) async fn run(context: &CliContext, args: PlanArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let _lock = lake.lock()?;
    context.progress.start_phase("planning");
    let plan = plan(
        &config,
        &context.env,
        &lake,
        &Limits::default(),
        clock::now(),
    )
    .await;
    context.progress.finish();
    let plan = plan?;
    match args.format {
        ReportFormat::Table => print(&format_plan(&plan))?,
        ReportFormat::Json => print_json(
            &serde_json::to_string(&plan).or_error(ErrorKind::Internal, "cannot write the plan")?,
        )?,
    }
    let incomplete = plan.repositories.iter().any(|one| one.reason.is_some());
    Ok(match incomplete {
        true => CommandOutcome::Incomplete,
        false => CommandOutcome::Complete,
    })
}

fn format_plan(plan: &Plan) -> String {
    let mut text = format_lists(plan);
    text.push_str(&format!("\n{}\n", format_repositories(plan)));
    for budget in &plan.budgets {
        text.push_str(&format!(
            "{}: {} requests an hour, {} left of this one; wait for more: {} in the next run, {} on a usual day\n",
            budget.connection,
            budget.requests_per_hour,
            budget.left,
            format_wait(budget.hours),
            format_wait(budget.usual_day_hours),
        ));
    }
    text.push_str(&format!(
        "planning took {}\n",
        counted(plan.spent, "request")
    ));
    text
}

fn format_lists(plan: &Plan) -> String {
    let (next, usual) = (plan.next(), plan.usual_day());
    let mut lines = vec![["list", "next run", "usual day"].map(String::from).to_vec()];
    for list in next.keys().chain(usual.keys()).collect::<BTreeSet<_>>() {
        let cell = |of: &Requests| format_requests(of.get(list).copied().unwrap_or_default());
        lines.push(vec![list.clone(), cell(&next), cell(&usual)]);
    }
    lines.push(vec![
        "all".to_owned(),
        format_requests(total(&next)),
        format_requests(total(&usual)),
    ]);
    rows::aligned(&lines)
}

fn format_repositories(plan: &Plan) -> String {
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
            format_requests(total(&one.next)),
            format_requests(total(&one.usual_day)),
            one.reason.clone().unwrap_or_default(),
        ]);
    }
    rows::aligned(&lines)
}

fn format_wait(hours: f64) -> String {
    match hours > 0.0 {
        true => format_hours(hours),
        false => "none".to_owned(),
    }
}

/// Round requests. A list that is read on some days only does not show as 0.
fn format_requests(requests: f64) -> String {
    match requests > 0.0 && requests < 0.5 {
        true => "< 1".to_owned(),
        false => format!("{requests:.0}"),
    }
}
