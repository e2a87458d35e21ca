//! `bitlake rollback`: the tables as they were after a former run.

use super::args::Rollback;
use super::job::Job;
use super::{Context, Outcome};
use crate::error::Result;

pub(super) async fn run(context: &Context, args: &Rollback) -> Result<Outcome> {
    let config = context.config_for_reading()?;
    let mut job = Job::start(context, &config, "rollback").await?;
    let result = job.rollback(&args.run).await;
    job.finish(result).await
}
