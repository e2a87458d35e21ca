//! `bitlake sandbox`: serves the demo workspace over a local API that behaves like Bitbucket Cloud.

use std::io::Write;

use bitlake_sandbox::{Builder, Sandbox, SandboxError};

use super::args::SandboxArgs;
use super::context::{CliContext, CommandOutcome};
use super::demo::config_for;
use super::output::print;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Serve the demo until Ctrl-C. Print the endpoint to stdout, and a configuration that uses it to stderr, where all other
/// lines are comments of TOML.
pub(super) async fn run(context: &CliContext, args: SandboxArgs) -> Result<CommandOutcome> {
    let sandbox = start(Sandbox::builder().demo(), args.port).await?;
    print(&format!("{}\n", sandbox.endpoint()))?;
    if !context.global.quiet {
        let config = config_for(&sandbox.endpoint(), "lake");
        // The server continues when stderr is closed.
        let _ = writeln!(
            std::io::stderr(),
            "# Write this to bitlake.toml (`bitlake sandbox 2> bitlake.toml`), then try `bitlake run` in another terminal.\n\
             # Ctrl-C stops the sandbox.\n\n{config}"
        );
    }
    tokio::signal::ctrl_c()
        .await
        .or_error(ErrorKind::Internal, "cannot wait for ctrl-c")?;
    sandbox.stop().await;
    Ok(CommandOutcome::Complete)
}

/// Start a sandbox on `port`; 0 lets the system choose.
///
/// # Errors
/// A usage error when the port is taken or the fixtures cannot be read.
pub(super) async fn start(builder: Builder, port: u16) -> Result<Sandbox> {
    builder.start(port).await.map_err(|error| {
        let is_port = matches!(error, SandboxError::Listen { .. });
        let error = Error::new(ErrorKind::Usage, "cannot start the sandbox").source(error);
        match is_port {
            true => error.hint("choose another port with --port, or 0 for any free one"),
            false => error,
        }
    })
}
