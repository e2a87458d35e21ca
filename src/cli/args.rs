//! What can be said on the command line; what it means is in the file of each command.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::collect::Shard;
use crate::engine::Dialect;
use crate::schema::LAYERS;
use crate::schema::ddl::DdlDialect;
use crate::telemetry::LogFormat;

const ENVIRONMENT_AND_EXIT_CODES: &str = "\
Environment:
  BITLAKE_CONFIG            the configuration file, as --config
  BITLAKE__SECTION__KEY     overrides one key of the configuration: BITLAKE__LAKE__URL, BITLAKE__SYNC__SINCE
  RUST_LOG                  log filter, as in `bitlake=debug`; overrides -v and -q
  NO_COLOR                  no colours in logs
  HTTPS_PROXY, NO_PROXY     the proxy of connections that name none
  and the variables that the configuration names for its credentials

Exit codes:
  0  complete
  1  finished, but something failed, is stale or could not be reached; the report names it
  2  usage or configuration
  3  credentials
  4  deadline or quota reached, or interrupted; state is saved, run again
  5  the lake could not be written or is damaged, another run holds it, or data broke a contract

Results go to stdout; progress, logs and warnings go to stderr.";

/// Bitbucket Cloud to Apache DevLake's domain tables and DORA metrics, as partitioned Parquet
#[derive(Debug, Parser)]
#[command(name = "bitlake", version, after_long_help = ENVIRONMENT_AND_EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// The configuration [default: bitlake.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BITLAKE_CONFIG",
        hide_env = true
    )]
    pub config: Option<PathBuf>,
    /// The lake, in the place of the configuration's: a folder or s3://bucket/prefix
    #[arg(long, global = true, value_name = "URL")]
    pub lake: Option<String>,
    /// How much memory the process may use, in the place of the configuration's: "4 GiB" [default: 2 GiB]
    #[arg(long, global = true, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// How logs, errors and the run's summary are written
    #[arg(long, global = true, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Says more; twice for details, three times for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Says nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Draws no progress, not even on a terminal
    #[arg(long, global = true)]
    pub no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Export a made-up workspace, without account or network, and show its DORA table
    Demo(DemoArgs),
    /// Write a commented configuration
    Init,
    /// Test the connections: credentials, scopes, repositories, quota and lake
    Check(CheckArgs),
    /// List the repositories that the credentials can see
    Repos(ReposArgs),
    /// Tell what the next run and a usual day cost in requests and hours, before they are spent
    Plan(PlanArgs),
    /// Collect, transform and publish: the main job
    Run(RunArgs),
    /// Collect only: from Bitbucket to the source layer
    Collect(CollectArgs),
    /// Transform only: from the source layer to the others, without network
    Transform(TransformArgs),
    /// Decode every collected record again under today's schemas, then transform
    Rebuild(RebuildArgs),
    /// Put back what was published after a run, from the versions that the bucket keeps
    Rollback(RollbackArgs),
    /// Show the last runs, each repository's state, and what is stale or skipped and why
    Status(StatusArgs),
    /// Show the data dictionary: tables, columns, types, units
    Tables(TablesArgs),
    /// Run a bundled query, or your own, over the lake
    Query(QueryArgs),
    /// Print the statements that create a warehouse's tables and load the lake into them
    Ddl(DdlArgs),
    /// Stay up and run on the dates of `[sync] cron`
    Schedule(ScheduleArgs),
    /// Serve the demo workspace as Bitbucket Cloud would, to try things out
    Sandbox(SandboxArgs),
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The folder to export to
    #[arg(long, value_name = "DIR", default_value = "bitlake-demo")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Asks for the lists of every repository, and not of three in each workspace
    #[arg(long)]
    pub all: bool,
    /// Read every published file and compare its SHA-256 with the manifest's
    #[arg(long)]
    pub deep: bool,
}

#[derive(Debug, Args)]
pub struct ReposArgs {
    /// Only those whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// One workspace [default: those of the configuration]
    pub workspace: Option<String>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// How the plan is written
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlanFormat {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub collecting: CollectingArgs,
    #[command(flatten)]
    pub transforming: TransformingArgs,
}

#[derive(Debug, Args)]
pub struct CollectArgs {
    #[command(flatten)]
    pub collecting: CollectingArgs,
    /// Only one part of the repositories, on one of several machines that share the lake: 2/3 for the second of three
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<Shard>,
}

/// What `run` and `collect` share.
#[derive(Debug, Args)]
pub struct CollectingArgs {
    /// Collect no longer than this, as 90m or 2h: publish what is complete, save the rest, exit with 4
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Read again what was read long ago, to find what vanished
    #[arg(long)]
    pub full: bool,
}

/// What `run` and `transform` share.
#[derive(Debug, Args)]
pub struct TransformingArgs {
    /// A folder of LAYER/TABLE.sql that adds steps or replaces bundled ones
    #[arg(long, value_name = "DIR")]
    pub queries: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TransformArgs {
    /// Only these layers, from the lake's tables of the others
    #[arg(
        long,
        value_name = "LAYER",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(["domain", "dora", "metrics"])
    )]
    pub only: Vec<String>,
    #[command(flatten)]
    pub transforming: TransformingArgs,
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Go on without damaged files that nothing can make again; their rows are gone
    #[arg(long)]
    pub accept_loss: bool,
    #[command(flatten)]
    pub transforming: TransformingArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The lake must be in a bucket that keeps versions. Every version that is needed is looked for and compared before anything
is touched. The source layer (bitbucket/) and the state of the collection stay, so the next run publishes the newer
figures again: until their cause is mended, stop the schedule.")]
pub struct RollbackArgs {
    /// The run, as `status` shows it; one that published nothing stands for the last one before it that did
    #[arg(value_name = "RUN")]
    pub run: String,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only says whether the last publish is younger than this, as 26h, and exits with 1 if not: for probes
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_age: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct TablesArgs {
    /// One table with its columns, as layer.table, or a layer; `history` is one, where it is kept
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["name", "sql", "list"]))]
pub struct QueryArgs {
    /// A bundled query, as group/name
    pub name: Option<String>,
    /// A parameter of the bundled query; a list takes commas, or the option several times
    #[arg(
        long = "param",
        value_name = "KEY=VALUE",
        value_parser = key_value,
        conflicts_with_all = ["sql", "list"]
    )]
    pub params: Vec<(String, String)>,
    /// Your own SQL over the lake's tables, as layer.table
    #[arg(long, value_name = "TEXT")]
    pub sql: Option<String>,
    /// Show the bundled queries with the question that each answers
    #[arg(long)]
    pub list: bool,
    /// Show the query's SQL with the parameters' values in it, instead of running it
    #[arg(long, requires = "name", conflicts_with_all = ["sql", "list", "out"])]
    pub print: bool,
    /// With --print: as this database writes it
    #[arg(long, value_enum, requires = "print")]
    pub dialect: Option<Dialect>,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
    /// In a CSV, puts a ' before every text that a spreadsheet would compute (= + - @)
    #[arg(long)]
    pub csv_safe: bool,
    /// Stops a query that takes longer, as 90s or 2h; --memory-limit stops one that takes more memory
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub timeout: Duration,
    /// Where the rows go [default: stdout; parquet needs a file]
    #[arg(long, value_name = "FILE", required_if_eq("format", "parquet"))]
    pub out: Option<PathBuf>,
    /// A folder of LAYER/TABLE.sql and reports/GROUP/NAME.sql beside the bundled ones
    #[arg(long, value_name = "DIR")]
    pub queries: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    #[default]
    Table,
    Csv,
    /// One JSON object per line
    Json,
    Parquet,
}

#[derive(Debug, Args)]
pub struct DdlArgs {
    /// Where the statements are to run
    #[arg(long, value_enum, value_name = "NAME")]
    pub dialect: DdlDialect,
    /// Only what the lake changed since this run, for tables that hold it as that run left it
    #[arg(long, value_name = "RUN", conflicts_with = "create")]
    pub changed_since: Option<String>,
    /// Only the create statements, of all tables; needs no lake
    #[arg(long)]
    pub create: bool,
    /// Only these layers
    #[arg(
        long,
        value_name = "LAYER",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(LAYERS)
    )]
    pub only: Vec<String>,
    /// Stands before each layer's name: bitlake_ makes bitlake_domain of domain
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub schema_prefix: String,
    /// Where the warehouse finds the lake [default: where it is]
    #[arg(long, value_name = "URL")]
    pub location: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A run that ends with 4 is gone on with an hour later; a lake that another run holds is tried again after ten minutes;
anything else waits for the next date. However many dates pass during a run, or while the machine or this process is
down, one run makes up for them. The configuration is read again before each run. SIGTERM and Ctrl-C end it: a run under
way saves what it has, and the exit code is 4, or 0 between runs.")]
pub struct ScheduleArgs {
    #[command(flatten)]
    pub collecting: CollectingArgs,
    #[command(flatten)]
    pub transforming: TransformingArgs,
    /// Runs at once as well
    #[arg(long)]
    pub now: bool,
}

#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The port on loopback; 0 for any free one
    #[arg(long, value_name = "N", default_value_t = 8090)]
    pub port: u16,
}

/// `45s`, `90m`, `2h`.
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
        None => Err("write seconds, minutes or hours, as in 45s, 90m, 2h".to_owned()),
    }
}

/// `2/3`.
fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((number, of)) if number >= 1 && number <= of => Ok(Shard { number, of }),
        _ => Err("write I/N with I from 1 to N, as in 2/3".to_owned()),
    }
}

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
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn long_help_explains_environment_and_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("BITLAKE__LAKE__URL") && help.contains("Exit codes:"));
    }

    #[test]
    fn global_flags_may_stand_behind_the_command() {
        let cli = parse("bitlake status --lake out -vv --log-format json").unwrap();
        assert_eq!(cli.global.lake.as_deref(), Some("out"));
        assert_eq!(cli.global.verbose, 2);
        assert_eq!(cli.global.log_format, LogFormat::Json);
        assert!(parse("bitlake status -q -v").is_err());
    }

    #[test]
    fn a_query_is_a_name_or_sql_or_the_list() {
        assert!(parse("bitlake query").is_err());
        assert!(parse("bitlake query dora/overview --list").is_err());
        assert!(parse("bitlake query --sql x --param a=b").is_err());
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
    fn durations_and_shards_are_read_or_refused() {
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
    fn ddl_names_its_dialect() {
        assert!(parse("bitlake ddl").is_err());
        assert!(parse("bitlake ddl --dialect duckdb --create --changed-since x").is_err());
        let cli = parse("bitlake ddl --dialect bigquery --only dora,metrics").unwrap();
        let Command::Ddl(ddl) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!((ddl.dialect, ddl.only.len()), (DdlDialect::BigQuery, 2));
    }

    #[test]
    fn only_takes_layers_separated_by_commas() {
        let cli = parse("bitlake transform --only domain,dora").unwrap();
        let Command::Transform(transform) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(transform.only, ["domain", "dora"]);
        assert!(parse("bitlake transform --only bitbucket").is_err());
    }
}
