//! `bitlake completions` and `bitlake man`: shell completions and man pages, generated from the definition of the command
//! line.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::context::CommandOutcome;
use super::output::{print, print_data};
use crate::error::{ErrorKind, OrError, Result};

/// Print the completions of a shell.
pub(super) fn run(args: &CompletionsArgs) -> Result<CommandOutcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bitlake", &mut script);
    print_data(&script)?;
    Ok(CommandOutcome::Complete)
}

/// Write `bitlake.1` and a page for each command, such as `bitlake-run.1`.
///
/// # Errors
/// [`ErrorKind::Usage`] when the folder cannot be written.
pub(super) fn write_man_pages(args: &ManArgs) -> Result<CommandOutcome> {
    let failed = "cannot write the man pages";
    let written = std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.out));
    written
        .or_error(ErrorKind::Usage, failed)
        .map_err(|error| error.with("folder", args.out.display()))?;
    print(&format!("wrote the man pages to {}\n", args.out.display()))?;
    Ok(CommandOutcome::Complete)
}
