//! `bitlake run`, `collect` and `transform`: the main job and its two halves.

use super::args::{Transform, Transforming};
use super::job::Job;
use super::{Context, Outcome};
use crate::error::Result;
use crate::transform::Options;

pub(super) async fn run(context: &Context, args: Transforming) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "run")?;
    let options = Options {
        only: None,
        queries: args.queries,
    };
    let result = match job.collect().await {
        Ok(()) => job.transform(&options).await,
        Err(error) => Err(error),
    };
    job.finish(result).await
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
        })
        .await;
    job.finish(result).await
}
