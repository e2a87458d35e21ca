//! `bitlake run`, `collect` and `transform`: the main job and its two halves.

use chrono::Utc;

use super::args::{Collect, Collecting, Run, Transform};
use super::job::{self, Job};
use super::output::print;
use super::{Context, Outcome, query};
use crate::collect::Shard;
use crate::config::Config;
use crate::error::Result;
use crate::lake::Lake;
use crate::telemetry::LogFormat;
use crate::transform::Options;

pub(super) async fn run(context: &Context, args: Run) -> Result<Outcome> {
    let config = context.config()?;
    let (outcome, lake) = once(context, &config, &args).await?;
    if !context.global.quiet && context.global.log_format == LogFormat::Text {
        print("\n")?;
        query::print_overview(&lake, config.lake.memory_limit).await?;
    }
    Ok(outcome)
}

pub(super) async fn once(
    context: &Context,
    config: &Config,
    args: &Run,
) -> Result<(Outcome, Lake)> {
    let mut job = Job::start(context, config, "run").await?;
    let lake = job.lake.clone();
    let options = Options {
        queries: args.transforming.queries.clone(),
        ..Options::default()
    };
    let result = async {
        // Before the first request: a publish that is refused must not cost a night's quota.
        lake.ensure_no_other_publish(Utc::now()).await?;
        job.run(&collecting(&args.collecting, None), &options).await
    };
    let result = result.await;
    let outcome = job.finish(result).await?;
    Ok((outcome, lake))
}

pub(super) async fn collect(context: &Context, args: Collect) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = match args.shard {
        None => Job::start(context, &config, "collect").await?,
        Some(_) => Job::start_beside(context, &config, "collect").await?,
    };
    let result = job.collect(&collecting(&args.collecting, args.shard)).await;
    job.finish(result.map(drop)).await
}

fn collecting(args: &Collecting, shard: Option<Shard>) -> job::Collecting {
    job::Collecting {
        deadline: args.deadline,
        full: args.full,
        shard,
    }
}

pub(super) async fn transform(context: &Context, args: Transform) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "transform").await?;
    let only = Some(args.only.into_iter().collect())
        .filter(|only: &std::collections::BTreeSet<_>| !only.is_empty());
    let result = job
        .transform(&Options {
            only,
            queries: args.transforming.queries,
            ..Options::default()
        })
        .await;
    job.finish(result).await
}
