//! The definition of the command line. The file of each command implements its arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use url::Url;

use super::help;
use crate::collect::Shard;
use crate::config::{Config, worker_url};
use crate::engine::Dialect;
use crate::report::ReportInterval;
use crate::schema::LAYERS;
use crate::schema::ddl::DdlDialect;
use crate::telemetry::LogFormat;

/// Export Bitbucket Cloud data as Apache DevLake's domain tables and DORA metrics in partitioned Parquet
#[derive(Debug, Parser)]
#[command(
    name = "bitlake",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    styles = help::STYLES,
    after_help = help::EXAMPLES,
    after_long_help = format!("{}\n\n{}", help::EXAMPLES, help::ENVIRONMENT_AND_EXIT_CODES)
)]
pub struct Cli {
    /// The flags of every command
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// The command
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command accepts.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Read the configuration from this file [default: bitlake.toml]
    #[arg(
        long,
        global = true,
        help_heading = help::GLOBAL,
        value_name = "FILE",
        env = "BITLAKE_CONFIG",
        hide_env = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// Use this lake instead of the configuration's: a folder, s3://…, gs://… or az://…
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "URL")]
    pub(crate) lake: Option<String>,
    /// Limit the memory of the process, such as "4 GiB"; overrides the configuration [default: 2 GiB]
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "SIZE")]
    pub(crate) memory_limit: Option<String>,
    /// Write logs, errors and the run's summary in this format
    #[arg(long, global = true, help_heading = help::GLOBAL, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Increase verbosity (-v, -vv, -vvv)
    #[arg(short, long, global = true, help_heading = help::GLOBAL, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print errors only
    #[arg(short, long, global = true, help_heading = help::GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show no progress, even on a terminal
    #[arg(long, global = true, help_heading = help::GLOBAL)]
    pub(crate) no_progress: bool,
    /// Print help; -h prints a summary
    #[arg(short, long, global = true, help_heading = help::GLOBAL, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(short = 'V', long, help_heading = help::GLOBAL, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The memory limit of a command that needs little memory. The command accepts the flag, but its help does not show it.
#[derive(Debug, Args)]
pub(crate) struct UnusedMemoryLimit {
    #[arg(long = "memory-limit", value_name = "SIZE", hide = true)]
    memory_limit: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a lake of synthetic data, without an account or network
    Demo(DemoArgs),
    /// Write a commented configuration
    Init(InitArgs),
    /// Check configuration, credentials, quota and lake, with fixes
    Check(CheckArgs),
    /// List the repositories that the credentials can read
    Repos(ReposArgs),
    /// Estimate the requests of the next run and of a usual day
    Plan(PlanArgs),
    /// Collect, transform and publish
    Run(RunArgs),
    /// Collect from Bitbucket, without transforming
    Collect(CollectArgs),
    /// Compute the tables from the collected records, without network
    Transform(TransformArgs),
    /// Decode every collected record again, then transform
    Rebuild(RebuildArgs),
    /// Restore the tables as a former run published them
    Rollback(RollbackArgs),
    /// Print the last runs, and the lists of each repository
    Status(StatusArgs),
    /// Print the data dictionary: tables, columns, types, units
    Tables(TablesArgs),
    /// Run a bundled query or your own SQL over the lake
    Query(QueryArgs),
    /// Write each project's DORA metrics and reviews as one HTML file, without scripts or requests
    Report(ReportArgs),
    /// Print the statements that load the lake into a warehouse
    Ddl(DdlArgs),
    /// Write the SQL steps as a project that computes the tables in another engine
    Steps(StepsArgs),
    /// Keep running, and start a run at each time of `[sync] cron`
    Schedule(ScheduleArgs),
    /// Compute parts of a transform that another machine coordinates
    Worker(WorkerArgs),
    /// Serve the demo workspace on loopback, with an API like Bitbucket's
    Sandbox(SandboxArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write a man page for each command
    Man(ManArgs),
}

#[derive(Debug, Args)]
#[command(after_help = help::INIT)]
pub(crate) struct InitArgs {
    /// Print the JSON Schema of the configuration, for editors, and write nothing
    #[arg(long)]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Export to this folder
    #[arg(long, value_name = "DIR", default_value = "bitlake-demo")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = help::CHECK)]
pub(crate) struct CheckArgs {
    /// Request the lists of every repository instead of three in each workspace
    #[arg(long)]
    pub(crate) all: bool,
    /// Read every published file and compare its SHA-256 with the manifest's
    #[arg(long)]
    pub(crate) deep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReposArgs {
    /// List only repositories whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// List this workspace [default: the workspaces of the configuration]
    pub(crate) workspace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Write the plan in this format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
}

/// The format of a plan or status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ReportFormat {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = help::RUN)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) collecting: CollectingArgs,
    #[command(flatten)]
    pub(crate) transforming: TransformingArgs,
}

#[derive(Debug, Args)]
#[command(after_help = help::COLLECT)]
pub(crate) struct CollectArgs {
    #[command(flatten)]
    pub(crate) collecting: CollectingArgs,
    /// Collect only one of N parts of the repositories, for N machines that share the lake: 2/3 is the second of three
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,
}

/// Flags of `run` and `collect`.
#[derive(Debug, Args)]
#[command(next_help_heading = help::COLLECTING)]
pub(crate) struct CollectingArgs {
    /// Stop collecting after this time, such as 90m or 2h; publish complete data, save the rest, exit with 4
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// Read every list again in full, to find deleted records; if the command transforms, compute every table again too
    #[arg(long)]
    pub(crate) full: bool,
}

/// Flags of `run` and `transform`.
#[derive(Debug, Args)]
#[command(next_help_heading = help::TRANSFORMING)]
pub(crate) struct TransformingArgs {
    /// Add or replace steps with the files LAYER/TABLE.sql of this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) queries: Option<PathBuf>,
    /// Compute the tables on these workers, each as HOST:PORT, separated by commas; overrides the configuration
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = worker_url)]
    workers: Vec<Url>,
}

impl TransformingArgs {
    /// Return the workers of the flag, or else of the configuration.
    pub(crate) fn workers(&self, config: &Config) -> Vec<Url> {
        match self.workers.is_empty() {
            true => config.cluster.workers.clone(),
            false => self.workers.clone(),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = help::TRANSFORM)]
pub(crate) struct TransformArgs {
    /// Transform only these layers, and read the other layers from the lake
    #[arg(
        long,
        value_name = "LAYER",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(["domain", "dora", "metrics"])
    )]
    pub(crate) only: Vec<String>,
    /// Compute every table again, even if its inputs did not change
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) transforming: TransformingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Continue without damaged files that cannot be restored, and lose their rows
    #[arg(long)]
    pub(crate) accept_loss: bool,
    #[command(flatten)]
    pub(crate) transforming: TransformingArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The lake must be in a bucket with versioning. bitlake finds and compares every required version before it changes a file.
If the run published nothing, the last publish before it is restored. The source layer (bitbucket/) and the state of the
collection are kept, so that the next run publishes the newer metrics again: stop the schedule until the cause is fixed.")]
pub(crate) struct RollbackArgs {
    /// Restore the tables as they were after this run; `status` prints the runs
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

#[derive(Debug, Args)]
#[command(after_help = help::STATUS)]
pub(crate) struct StatusArgs {
    /// Print only whether the last publish is younger than this, such as 26h, and exit with 1 if not; for probes
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_age: Option<Duration>,
    /// Write the status in this format
    #[arg(long, value_enum, default_value_t, conflicts_with = "max_age")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
#[command(after_help = help::TABLES)]
pub(crate) struct TablesArgs {
    /// Print one table (layer.table) with its columns, or the tables of one layer [default: all tables]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    _memory: UnusedMemoryLimit,
}

#[derive(Debug, Args)]
#[command(
    after_help = help::QUERY,
    disable_help_flag = true,
    override_usage = "bitlake query [OPTIONS] <NAME|--sql <TEXT>|--list [TEXT]|--search <TEXT>>",
    group = ArgGroup::new("what").args(["name", "sql", "list", "search"])
)]
pub(crate) struct QueryArgs {
    /// Run this bundled query, as group/name; a group alone lists its queries
    #[arg(required_unless_present_any = ["sql", "list", "search", "help"])]
    pub(crate) name: Option<String>,
    /// Set a parameter of the query; separate the values of a list by commas, or repeat the flag
    #[arg(
        long = "param",
        value_name = "KEY=VALUE",
        value_parser = key_value,
        conflicts_with_all = ["list", "search"]
    )]
    pub(crate) params: Vec<(String, String)>,
    /// Run this SQL over the lake's tables, named layer.table; @FILE reads the SQL from a file, - from stdin. SHOW TABLES
    /// and DESCRIBE layer.table print names
    #[arg(long, value_name = "TEXT")]
    pub(crate) sql: Option<String>,
    /// List the bundled queries with their questions: all, a group, or the queries that contain all words of a text
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "")]
    pub(crate) list: Option<String>,
    /// List the bundled queries whose name, question or notes contain all words of this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Print help; after NAME, the parameters of that query, an example and related queries
    #[arg(short, long, help_heading = help::GLOBAL, action = ArgAction::SetTrue)]
    pub(crate) help: bool,
    /// Print the query's SQL with the parameters' values, without running it
    #[arg(long, requires = "name", conflicts_with_all = ["sql", "list", "search", "out"])]
    pub(crate) print: bool,
    /// Print the SQL in the dialect of this database [default: bitlake's own]
    #[arg(long, value_enum, requires = "print")]
    pub(crate) dialect: Option<Dialect>,
    /// Write the rows in this format [default: the format of --out's extension, else table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<OutputFormat>,
    /// Put a ' before CSV texts that a spreadsheet would evaluate (= + - @)
    #[arg(long)]
    pub(crate) csv_safe: bool,
    /// Stop the query after this time, such as 90s or 2h; --memory-limit stops a query that needs more memory
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub(crate) timeout: Duration,
    /// Write the rows to this file; .csv, .json, .ndjson, .md and .parquet choose the format [default: stdout]
    #[arg(long, value_name = "FILE", required_if_eq("format", "parquet"))]
    pub(crate) out: Option<PathBuf>,
    /// Add or replace queries with the files reports/GROUP/NAME.sql of this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) queries: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns that fit the terminal; in a pipe or file, nothing is shortened
    #[default]
    Table,
    /// A table of GitHub's Markdown
    Markdown,
    Csv,
    /// One JSON object per line, as ndjson
    Json,
    /// One JSON object per line
    Ndjson,
    Parquet,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Show this project; repeat the flag for several [default: all projects]
    #[arg(long = "project", value_name = "NAME")]
    pub(crate) projects: Vec<String>,
    /// Show only periods that begin at or after this time, such as 2026-05 [default: the whole collected time]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Show only periods that end by this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Draw the figures with periods of this length
    #[arg(long, value_enum, default_value_t)]
    pub(crate) interval: ReportInterval,
    /// Write the page to this file
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = help::STEPS)]
pub(crate) struct StepsArgs {
    /// Write a project for this program
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub(crate) export: StepsExport,
    /// Write the SQL for this engine
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) dialect: Dialect,
    /// Write to this folder, and replace the files of a former export
    #[arg(long, value_name = "DIR", default_value = "bitlake-dbt")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) transforming: TransformingArgs,
}

/// The program that runs exported steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepsExport {
    /// A dbt project: models, sources, tests and descriptions
    Dbt,
}

#[derive(Debug, Args)]
#[command(after_help = help::DDL)]
pub(crate) struct DdlArgs {
    /// Write the statements for this warehouse
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) dialect: DdlDialect,
    /// Load only the changes since this run, into tables that were loaded from the lake of this run
    #[arg(long, value_name = "RUN", conflicts_with = "create")]
    pub(crate) changed_since: Option<String>,
    /// Print only the create statements of all tables; needs no lake
    #[arg(long)]
    pub(crate) create: bool,
    /// Print the statements of these layers only [default: all layers]
    #[arg(
        long,
        value_name = "LAYER",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(LAYERS)
    )]
    pub(crate) only: Vec<String>,
    /// Prefix the name of each layer's schema: with bitlake_, domain becomes bitlake_domain
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) schema_prefix: String,
    /// Load the lake from this URL [default: the lake's own]
    #[arg(long, value_name = "URL")]
    pub(crate) location: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A run that exits with 4 resumes after one hour. If another run holds the lake, the run starts again after ten minutes.
After every other exit code, the next run starts at the next scheduled time. One run makes up for all scheduled times that
pass during a run, or while the machine or this process is down. The configuration is loaded again before each run.
SIGTERM and Ctrl-C stop the process: a run in progress saves its state and exits with 4; between runs the exit code is 0.")]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    pub(crate) collecting: CollectingArgs,
    #[command(flatten)]
    pub(crate) transforming: TransformingArgs,
    /// Start a run immediately, in addition to the scheduled ones
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
#[command(after_help = help::WORKER)]
pub(crate) struct WorkerArgs {
    /// Listen at this address; port 0 selects a free one. A worker requires no credentials: any client that reaches it can
    /// read the lake
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    pub(crate) listen: String,
}

#[derive(Debug, Args)]
#[command(after_help = help::SANDBOX)]
pub(crate) struct SandboxArgs {
    /// Listen on this loopback port; 0 selects a free port
    #[arg(long, value_name = "N", default_value_t = 8090)]
    pub(crate) port: u16,
    #[command(flatten)]
    _memory: UnusedMemoryLimit,
}

#[derive(Debug, Args)]
#[command(after_help = help::COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
    #[command(flatten)]
    _memory: UnusedMemoryLimit,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write the pages to this folder
    #[arg(long, value_name = "DIR", default_value = "man")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    _memory: UnusedMemoryLimit,
}

/// Parse a duration such as `45s`, `90m` or `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm', 'h'])));
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    match number
        .zip(seconds)
        .and_then(|(n, unit)| n.checked_mul(unit))
    {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("write seconds, minutes or hours, such as 45s, 90m, 2h".to_owned()),
    }
}

/// Parse a shard such as `2/3`.
fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((number, of)) if number >= 1 && number <= of => Ok(Shard { number, of }),
        _ => Err("write I/N with I from 1 to N, such as 2/3".to_owned()),
    }
}

/// Parse `KEY=VALUE`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definitions_of_the_command_line_are_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn long_help_explains_environment_and_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("BITLAKE__LAKE__URL") && help.contains("Exit codes:"));
    }

    #[test]
    fn global_flags_are_accepted_after_the_command() {
        let cli = parse("bitlake status --lake out -vv --log-format json").unwrap();
        assert_eq!(cli.global.lake.as_deref(), Some("out"));
        assert_eq!(cli.global.verbose, 2);
        assert_eq!(cli.global.log_format, LogFormat::Json);
        assert!(parse("bitlake status -q -v").is_err());
    }

    #[test]
    fn query_requires_exactly_one_of_name_sql_and_list() {
        assert!(parse("bitlake query").is_err());
        assert!(parse("bitlake query dora/overview --list").is_err());
        assert!(parse("bitlake query --search x --param a=b").is_err());
        for line in [
            "--sql x --param a=b",
            "--list",
            "--list dora",
            "--search x",
            "--help",
            "dora/overview -h",
        ] {
            assert!(parse(&format!("bitlake query {line}")).is_ok(), "{line}");
        }
        assert!(parse("bitlake query dora/overview --format parquet").is_err());
        let cli = parse("bitlake query dora/overview --param a=b=c --param d=").unwrap();
        let Command::Query(query) = cli.command else {
            panic!("{cli:?}")
        };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(query.params, [pair("a", "b=c"), pair("d", "")]);
        assert!(parse("bitlake query x --param novalue").is_err());
    }

    #[test]
    fn durations_and_shards_are_parsed_or_refused() {
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        for text in [
            "",
            "m",
            "0h",
            "90",
            "1d",
            "-1h",
            "99999999999999999999h",
            "1µ",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(shard("2/3"), Ok(Shard { number: 2, of: 3 }));
        for text in ["0/3", "4/3", "1", "1/", "a/b", "1/0"] {
            assert!(shard(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ddl_requires_a_dialect() {
        assert!(parse("bitlake ddl").is_err());
        assert!(parse("bitlake ddl --dialect duckdb --create --changed-since x").is_err());
        let cli = parse("bitlake ddl --dialect bigquery --only dora,metrics").unwrap();
        let Command::Ddl(ddl) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!((ddl.dialect, ddl.only.len()), (DdlDialect::BigQuery, 2));
    }

    #[test]
    fn only_accepts_layers_separated_by_commas() {
        let cli = parse("bitlake transform --only domain,dora").unwrap();
        let Command::Transform(transform) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(transform.only, ["domain", "dora"]);
        assert!(parse("bitlake transform --only bitbucket").is_err());
    }
}
