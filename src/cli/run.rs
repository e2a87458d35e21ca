//! `bitlake run`, and its two steps as commands of their own: `collect` and `transform`.

use std::time::Instant;

use super::args::{CollectArgs, CollectingArgs, RunArgs, TransformArgs};
use super::context::{CliContext, CommandOutcome};
use super::job::{CollectSettings, Job};
use super::output::{print, print_data};
use super::run_report::RunReport;
use super::signals::SignalListener;
use super::{query, report, textfile};
use crate::clock;
use crate::cluster::check_workers;
use crate::collect::Shard;
use crate::config::Config;
use crate::error::Result;
use crate::lake::Lake;
use crate::telemetry::LogFormat;
use crate::transform::TransformOptions;

pub(super) async fn run(context: &CliContext, args: RunArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let (outcome, lake) = run_once(context, &config, &args, SignalListener::start()?).await?;
    if !context.global.quiet && context.global.log_format == LogFormat::Text {
        print("\n")?;
        print_overview(context, &lake, config.lake.memory_limit).await?;
    }
    Ok(outcome)
}

/// Print the DORA metrics of each project.
pub(super) async fn print_overview(
    context: &CliContext,
    lake: &Lake,
    memory_limit: Option<u64>,
) -> Result<()> {
    context.progress.start_phase("reading the metrics");
    let overview = query::render_overview(lake, memory_limit).await;
    context.progress.finish();
    print_data(&overview?)
}

/// Collect and publish once, and write the metrics. `signals` is the caller's listener, which started before the run.
pub(super) async fn run_once(
    context: &CliContext,
    config: &Config,
    args: &RunArgs,
    signals: SignalListener,
) -> Result<(CommandOutcome, Lake)> {
    let started_at = clock::now();
    let mut report = None;
    let result = run_and_report(context, config, args, signals, &mut report).await;
    textfile::write_configured(config, started_at, report.as_ref(), result).await
}

/// Collect and publish once. Leave the run report in `kept` if the run began.
async fn run_and_report(
    context: &CliContext,
    config: &Config,
    args: &RunArgs,
    signals: SignalListener,
    kept: &mut Option<RunReport>,
) -> Result<(CommandOutcome, Lake)> {
    let mut job = Job::start_with_signals(context, config, "run", signals).await?;
    let lake = job.lake.clone();
    let options = TransformOptions {
        full: args.collecting.full,
        queries: args.transforming.queries.clone(),
        workers: args.transforming.workers(config),
        may_lack_workers: true,
        ..TransformOptions::default()
    };
    let result = async {
        // Check before the first request, so that a refused publish or worker costs no quota.
        lake.ensure_no_other_publish(clock::now()).await?;
        check_workers(&options.workers).await?;
        job.run(&collect_settings(&args.collecting, None), &options)
            .await
    };
    let result = result.await;
    let (outcome, run_report) = job.finish_with_report(result).await;
    let run_report = kept.insert(run_report);
    let mut outcome = outcome?;
    if run_report.transform.is_some() {
        let began = Instant::now();
        let written = report::write_configured(context, config, &lake, outcome).await;
        if config.report.is_some() {
            run_report.phases.insert("report", began.elapsed());
        }
        outcome = written?;
    }
    Ok((outcome, lake))
}

pub(super) async fn collect(context: &CliContext, args: CollectArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut job = match args.shard {
        None => Job::start(context, &config, "collect").await?,
        Some(_) => Job::start_shared(context, &config, "collect").await?,
    };
    let result = job
        .collect(&collect_settings(&args.collecting, args.shard))
        .await;
    job.finish(result.map(drop)).await
}

fn collect_settings(args: &CollectingArgs, shard: Option<Shard>) -> CollectSettings {
    CollectSettings {
        deadline: args.deadline,
        full: args.full,
        shard,
    }
}

pub(super) async fn transform(context: &CliContext, args: TransformArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "transform").await?;
    let only = Some(args.only.into_iter().collect())
        .filter(|only: &std::collections::BTreeSet<_>| !only.is_empty());
    let options = TransformOptions {
        only,
        full: args.full,
        workers: args.transforming.workers(&config),
        queries: args.transforming.queries,
        ..TransformOptions::default()
    };
    let result = async {
        if config.tables.is_empty() && job.lake.states().await?.is_empty() {
            tracing::warn!(
                "the lake has no collected records, so that the tables are empty: run `bitlake run`"
            );
        }
        job.transform(&options).await
    };
    let result = result.await;
    job.finish(result).await
}
