//! `bitlake rebuild`: the source layer decoded and redacted again from the payloads that it keeps, then everything made
//! from it.

use super::args::Transforming;
use super::job::Job;
use super::{Context, Outcome};
use crate::collect;
use crate::error::Result;
use crate::transform::Options;

pub(super) async fn run(context: &Context, args: Transforming) -> Result<Outcome> {
    let config = context.config()?;
    let mut job = Job::start(context, &config, "rebuild")?;
    let options = Options {
        queries: args.queries,
        rebuild: true,
        masker: collect::masker(&config, &context.env),
        ..Options::default()
    };
    let result = job.transform(&options).await;
    job.finish(result).await
}
