//! `bitlake worker`: runs parts of the steps of a transform that another machine coordinates.

use super::args::WorkerArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::print;
use super::signals::SignalListener;
use crate::cluster::WorkerServer;
use crate::error::Result;
use crate::scratch;
use crate::transform::worker_engine;

/// Serve until SIGTERM or Ctrl-C. Print the URL to stdout.
pub(super) async fn run(context: &CliContext, args: WorkerArgs) -> Result<CommandOutcome> {
    let signals = SignalListener::start()?;
    let config = context.config_for_reading()?;
    scratch::sweep();
    let engine = worker_engine(&config.lake)?;
    let server = WorkerServer {
        session: engine.worker_session(),
        memory_limit: engine.memory_limit(),
    };
    let worker = server.listen(&args.listen).await?;
    let address = worker.address();
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "the worker requires no credentials: any client that reaches this address can read the lake and the files of this machine"
        );
    }
    print(&format!("http://{address}\n"))?;
    let stop = async {
        signals.interrupted().await;
    };
    worker.serve(stop).await?;
    tracing::info!("worker stopped");
    Ok(CommandOutcome::Complete)
}
