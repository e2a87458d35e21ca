//! `bitlake sandbox`: the demo workspace as Bitbucket Cloud would serve it.

use super::args::Sandbox;
use super::{Context, Outcome};
use crate::error::Result;

pub(super) async fn run(_: &Context, args: Sandbox) -> Result<Outcome> {
    crate::sandbox::run(args.port, None).await?;
    Ok(Outcome::Complete)
}
