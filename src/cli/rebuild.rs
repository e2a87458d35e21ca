//! `bitlake rebuild`: the source layer decoded and redacted again from the payloads that it keeps, then everything made
//! from it.

use super::args::RebuildArgs;
use super::job::Job;
use super::{CliContext, CommandOutcome};
use crate::collect;
use crate::error::Result;
use crate::transform::TransformOptions;

pub(super) async fn run(context: &CliContext, args: RebuildArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "rebuild").await?;
    let options = TransformOptions {
        queries: args.transforming.queries,
        rebuild: true,
        accept_loss: args.accept_loss,
        masker: collect::masker(&config, &context.env),
        ..TransformOptions::default()
    };
    let result = job.transform(&options).await;
    job.finish(result).await
}
