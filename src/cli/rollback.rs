//! `bitlake rollback`: the tables as they were after a former run.

use super::args::RollbackArgs;
use super::job::Job;
use super::{CliContext, CommandOutcome};
use crate::error::Result;

pub(super) async fn run(context: &CliContext, args: &RollbackArgs) -> Result<CommandOutcome> {
    let config = context.config_for_reading()?;
    let mut job = Job::start(context, &config, "rollback").await?;
    let result = job.rollback(&args.run).await;
    job.finish(result).await
}
