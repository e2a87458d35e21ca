//! The command line: one file per command, each a short story in calls.
//!
//! ```text
//! args (what was said) ─▶ CliContext (what every command needs) ─▶ the command ─▶ CommandOutcome or Error ─▶ exit code
//! ```

mod args;
mod check;
mod ddl;
mod demo;
mod init;
mod job;
mod limits;
pub mod output;
mod plan;
mod query;
mod rebuild;
mod repos;
mod rollback;
mod rows;
mod run;
mod sandbox;
mod schedule;
mod status;
mod tables;
mod watch;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

pub use args::Cli;
use args::{Command, GlobalArgs};

use crate::config::Config;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::escape::escape;
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::telemetry::{self, LogFormat};
use crate::transform;

const DEFAULT_CONFIG: &str = "bitlake.toml";
/// Bytes of a thread's stack, of which only what is used takes memory: room for the deepest SQL that is taken.
const STACK: usize = 64 << 20;
/// How long tasks that were left may take when the command has ended.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOutcome {
    Complete,
    /// Something was skipped or is stale; the command has said what.
    Incomplete,
    /// The deadline or the quota came first; state is saved, and the next run goes on.
    Unfinished,
}

impl CommandOutcome {
    fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Unfinished => 4,
        }
    }
}

/// What every command needs.
#[derive(Debug, Clone)]
pub struct CliContext {
    pub global: GlobalArgs,
    /// The process's environment.
    pub env: BTreeMap<String, String>,
    pub progress: Progress,
}

impl CliContext {
    fn new(global: GlobalArgs) -> Self {
        let quiet = global.no_progress || global.quiet || global.log_format == LogFormat::Json;
        let progress = if quiet {
            Progress::hidden()
        } else {
            Progress::on_terminal()
        };
        // A variable that is no UTF-8 cannot be one that the configuration names.
        let unicode = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            global,
            env: std::env::vars_os().filter_map(unicode).collect(),
            progress,
        }
    }

    pub fn config_path(&self) -> PathBuf {
        let given = self.global.config.as_deref();
        given.unwrap_or(Path::new(DEFAULT_CONFIG)).to_path_buf()
    }

    /// The configuration, which must be there.
    pub fn config(&self) -> Result<Config> {
        let config = Config::load(&self.config_path(), &self.env, &self.overrides())?;
        // Before the first request: a mistake in the layout must not cost a night's quota.
        transform::contracts(&config)?;
        Ok(config)
    }

    /// The configuration for commands that only read a lake: without a file, `--lake` is enough.
    pub fn config_for_reading(&self) -> Result<Config> {
        if self.global.config.is_some() {
            return self.config();
        }
        Config::load_if_present(&self.config_path(), &self.env, &self.overrides())
    }

    fn overrides(&self) -> Vec<(&'static str, String)> {
        let GlobalArgs {
            lake, memory_limit, ..
        } = &self.global;
        let given = [("lake.url", lake), ("lake.memory_limit", memory_limit)];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect()
    }
}

/// Runs the command and says how it went.
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
    // To the end of the process, after everything that has temporary files.
    let _scratch = Scratch::open();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let result = on_deep_stack(|| {
        let runtime = runtime()?;
        let result = runtime.block_on(run(&context, command));
        // A query that was stopped may never yield, and its files are to go if it does.
        runtime.shutdown_timeout(LAST_STEPS);
        result
    });
    context.progress.finish();
    match result {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            // Not `eprintln!`, which panics when nobody listens; the exit code still tells.
            let _ = writeln!(std::io::stderr(), "{}", shown(&error, format));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Runs `work` on a thread whose stack does not depend on the shell's limits. A panic is an error like any other.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("bitlake".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .or_error(ErrorKind::Internal, "cannot start a thread")?;
        let panicked = |_| Error::new(ErrorKind::Internal, "bitlake made a mistake of its own");
        thread.join().map_err(panicked)?
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .or_error(ErrorKind::Internal, "cannot start the runtime")
}

async fn run(context: &CliContext, command: Command) -> Result<CommandOutcome> {
    match command {
        Command::Init => init::run(context),
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
        Command::Ddl(args) => ddl::run(context, args).await,
        Command::Sandbox(args) => sandbox::run(context, args).await,
    }
}

/// One line, whatever the format.
fn shown(error: &Error, format: LogFormat) -> String {
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
    fn an_error_is_one_line_in_both_formats() {
        let error = Error::new(ErrorKind::Quota, "the \"quota\" is used up");
        assert_eq!(
            shown(&error, LogFormat::Text),
            "error: the \"quota\" is used up"
        );
        let hostile = Error::new(ErrorKind::Api, "the server says \u{1b}[2J\nok");
        assert_eq!(
            shown(&hostile, LogFormat::Text),
            "error: the server says \\u{1b}[2J\\nok"
        );
        assert_eq!(
            shown(&error, LogFormat::Json),
            r#"{"level":"ERROR","kind":"Quota","message":"the \"quota\" is used up","exit_code":4}"#
        );
    }
}
