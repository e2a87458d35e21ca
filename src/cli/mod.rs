//! The command line: one file for each command.
//!
//! ```text
//! args (parsed arguments) ─▶ CliContext (flags, environment, progress) ─▶ command ─▶ CommandOutcome or Error ─▶ exit code
//! ```

mod args;
mod check;
mod column_names;
mod completions;
mod context;
mod ddl;
mod demo;
mod help;
mod init;
mod job;
mod limits;
mod lineage;
mod output;
mod plan;
mod query;
mod rebuild;
mod remaining;
mod report;
mod repos;
mod rollback;
mod rows;
mod run;
mod run_report;
mod run_summary;
mod sandbox;
mod schedule;
mod signals;
mod status;
mod steps;
mod table;
mod tables;
mod textfile;
mod watch;
mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

pub use args::Cli;
use args::Command;
use clap::Parser;
use clap::builder::StyledStr;
use context::{CliContext, CommandOutcome};

use crate::error::{Error, ErrorKind, OrError, Result};
use crate::escape::escape;
use crate::scratch::Scratch;
use crate::telemetry::{self, LogFormat};

/// The stack size of each thread in bytes, enough for the most nested SQL that is accepted. Unused stack takes no memory.
const STACK_SIZE: usize = 64 << 20;
/// The time that remaining tasks may take after the command.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Parse the command line.
///
/// # Errors
/// The exit code, if help, the version or a usage error was printed instead.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(args).map_err(|error| {
        match error.use_stderr() {
            true => {
                let _ = error.print();
            }
            false => print_help(&error.render()),
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// Print help, wrapped within the terminal.
fn print_help(help: &StyledStr) {
    let text = match console::colors_enabled() {
        true => help.ansi().to_string(),
        false => help.to_string(),
    };
    let width = output::terminal_width();
    let text = width.map_or(text.clone(), |width| help::wrap(&text, width));
    let _ = output::print_data(text.as_bytes());
}

/// Run the command, print its error if there is one, and return the exit code.
pub fn main(cli: Cli) -> ExitCode {
    let Cli { global, command } = cli;
    let format = global.log_format;
    let verbosity = if global.quiet {
        -1
    } else {
        i8::try_from(global.verbose).unwrap_or(i8::MAX)
    };
    let context = CliContext::new(global);
    telemetry::init(format, verbosity, &context.progress);
    // Dropped at the end of the process, after everything that uses temporary files.
    let _scratch = Scratch::open();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let result = run_on_large_stack(|| {
        let runtime = runtime()?;
        let result = runtime.block_on(run(&context, command));
        // A cancelled query may never yield; if it does, it removes its temporary files.
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        result
    });
    context.progress.finish();
    match result {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            // `eprintln!` panics if stderr is closed; the exit code reports the error even then.
            let _ = writeln!(std::io::stderr(), "{}", format_error(&error, format));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Run `work` on a thread whose stack does not depend on the shell's limits. A panic becomes an error.
fn run_on_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("bitlake".to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, work)
            .or_error(ErrorKind::Internal, "cannot start a thread")?;
        let panicked = |_| Error::new(ErrorKind::Internal, "bitlake has a defect");
        thread.join().map_err(panicked)?
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_SIZE)
        .enable_all()
        .build()
        .or_error(ErrorKind::Internal, "cannot start the runtime")
}

async fn run(context: &CliContext, command: Command) -> Result<CommandOutcome> {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Demo(args) => demo::run(context, args).await,
        Command::Check(args) => check::run(context, &args).await,
        Command::Repos(args) => repos::run(context, args).await,
        Command::Plan(args) => plan::run(context, args).await,
        Command::Run(args) => run::run(context, args).await,
        Command::Collect(args) => run::collect(context, args).await,
        Command::Transform(args) => run::transform(context, args).await,
        Command::Rebuild(args) => rebuild::run(context, args).await,
        Command::Rollback(args) => rollback::run(context, &args).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::Schedule(args) => schedule::run(context, args).await,
        Command::Tables(args) => tables::run(context, &args),
        Command::Query(args) => query::run(context, args).await,
        Command::Report(args) => report::run(context, args).await,
        Command::Ddl(args) => ddl::run(context, args).await,
        Command::Steps(args) => steps::run(context, &args).await,
        Command::Sandbox(args) => sandbox::run(context, args).await,
        Command::Worker(args) => worker::run(context, args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::write_man_pages(&args),
    }
}

/// Return the error as one line of text or JSON.
fn format_error(error: &Error, format: LogFormat) -> String {
    match format {
        LogFormat::Text => format!("error: {}", escape(&error.to_string())),
        LogFormat::Json => serde_json::json!({
            "level": "ERROR",
            "kind": format!("{:?}", error.kind()),
            "message": error.to_string(),
            "exit_code": error.kind().exit_code(),
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_in_each_format() {
        let error = Error::new(ErrorKind::Quota, "the \"quota\" is used up");
        assert_eq!(
            format_error(&error, LogFormat::Text),
            "error: the \"quota\" is used up"
        );
        let hostile = Error::new(ErrorKind::Api, "the server says \u{1b}[2J\nok");
        assert_eq!(
            format_error(&hostile, LogFormat::Text),
            "error: the server says \\u{1b}[2J\\nok"
        );
        assert_eq!(
            format_error(&error, LogFormat::Json),
            r#"{"level":"ERROR","kind":"Quota","message":"the \"quota\" is used up","exit_code":4}"#
        );
    }
}
