//! `bitlake rollback`: restores the tables that a former run published.

use super::args::RollbackArgs;
use super::context::{CliContext, CommandOutcome};
use super::job::Job;
use crate::error::Result;

pub(super) async fn run(context: &CliContext, args: &RollbackArgs) -> Result<CommandOutcome> {
    let config = context.config_for_reading()?;
    let mut job = Job::start(context, &config, "rollback").await?;
    let result = job.rollback(&args.run).await;
    job.finish(result).await
}
