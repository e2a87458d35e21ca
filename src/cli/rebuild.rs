//! `bitlake rebuild`: decodes and redacts the payloads of the source layer again, then transforms.

use super::args::RebuildArgs;
use super::context::{CliContext, CommandOutcome};
use super::job::Job;
use crate::collect;
use crate::error::Result;
use crate::transform::TransformOptions;

pub(super) async fn run(context: &CliContext, args: RebuildArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "rebuild").await?;
    let options = TransformOptions {
        workers: args.transforming.workers(&config),
        queries: args.transforming.queries,
        rebuild: true,
        accept_loss: args.accept_loss,
        masker: collect::masker(&config, &context.env),
        ..TransformOptions::default()
    };
    let result = job.transform(&options).await;
    job.finish(result).await
}
