//! `bitlake run`, and its two parts `bitlake collect` and `bitlake transform`.

use super::args::{CollectArgs, CollectingArgs, RunArgs, TransformArgs};
use super::context::{CliContext, CommandOutcome};
use super::job::{self, Job};
use super::output::print;
use super::query;
use crate::collect::Shard;
use crate::config::Config;
use crate::error::Result;
use crate::lake::Lake;
use crate::telemetry::LogFormat;
use crate::transform::TransformOptions;

pub(super) async fn run(context: &CliContext, args: RunArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let (outcome, lake) = run_once(context, &config, &args).await?;
    if !context.global.quiet && context.global.log_format == LogFormat::Text {
        print("\n")?;
        query::print_overview(&lake, config.lake.memory_limit).await?;
    }
    Ok(outcome)
}

/// Collect, transform and publish once, and return the lake.
///
/// # Errors
/// The error that ended the run, which its report also contains.
pub(super) async fn run_once(
    context: &CliContext,
    config: &Config,
    args: &RunArgs,
) -> Result<(CommandOutcome, Lake)> {
    let mut job = Job::start(context, config, "run").await?;
    let lake = job.lake.clone();
    let options = TransformOptions {
        queries: args.transforming.queries.clone(),
        ..TransformOptions::default()
    };
    let result = async {
        // Check before the first request, so that a refused publish costs no quota.
        lake.ensure_free(Utc::now()).await?;
        job.run(&collection_of(&args.collecting, None), &options)
            .await
    };
    let result = result.await;
    let outcome = job.finish(result).await?;
    Ok((outcome, lake))
}

pub(super) async fn collect(context: &CliContext, args: CollectArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut job = match args.shard {
        None => Job::start(context, &config, "collect").await?,
        Some(_) => Job::start_beside(context, &config, "collect").await?,
    };
    let result = job
        .collect(&collection_of(&args.collecting, args.shard))
        .await;
    job.finish(result.map(drop)).await
}

fn collection_of(args: &CollectingArgs, shard: Option<Shard>) -> job::Collecting {
    job::Collecting {
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
    let result = job
        .transform(&TransformOptions {
            only,
            queries: args.transforming.queries,
            ..TransformOptions::default()
        })
        .await;
    job.finish(result).await
}
