//! `bitlake run`, `collect` and `transform`: the main job and its two halves.

use chrono::Utc;

use super::args::{Transform, Transforming};
use super::job::Job;
use super::output::print;
use super::{Context, Outcome, query};
use crate::error::Result;
use crate::telemetry::LogFormat;
use crate::transform::Options;

pub(super) async fn run(context: &Context, args: Transforming) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "run")?;
    let lake = job.lake.clone();
    let options = Options {
        queries: args.queries,
        ..Options::default()
    };
    let result = async {
        // Before the first request: a publish that is refused must not cost a night's quota.
        lake.ensure_free(Utc::now()).await?;
        job.collect().await?;
        job.transform(&options).await
    };
    let result = result.await;
    let outcome = job.finish(result).await?;
    if !context.global.quiet && context.global.log_format == LogFormat::Text {
        print("\n")?;
        query::print_overview(&lake, config.lake.memory_limit).await?;
    }
    Ok(outcome)
}

pub(super) async fn collect(context: &Context) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "collect")?;
    let result = job.collect().await;
    job.finish(result).await
}

pub(super) async fn transform(context: &Context, args: Transform) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "transform")?;
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
