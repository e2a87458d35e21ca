//! The parts of the help beside the arguments: colours, groups, examples, environment and exit codes. No line is wider than
//! 80 columns.

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use console::{measure_text_width, strip_ansi_codes};

/// The heading of the options that every command has.
pub(super) const GLOBAL: &str = "Global options";
/// The headings of the options for the two parts of a run.
pub(super) const COLLECTING: &str = "Options of the collection";
pub(super) const TRANSFORMING: &str = "Options of the transform";

/// The colours of the help. A terminal without colours, a pipe and `NO_COLOR` get none.
pub(super) const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

pub(super) const ENVIRONMENT_AND_EXIT_CODES: &str = "\
Environment:
  BITLAKE_CONFIG         names the configuration file, as --config does
  BITLAKE__SECTION__KEY  overrides one key of the configuration, such as
                         BITLAKE__LAKE__URL or BITLAKE__SYNC__SINCE
  RUST_LOG               filters logs, as `bitlake=debug`; overrides -v, -q
  NO_COLOR               disables colours
  HTTPS_PROXY, NO_PROXY  set the proxy of connections without `proxy`
  The configuration names further variables for its credentials.

Exit codes:
  0  complete
  1  finished, but something failed, is stale, is missing or could not be
     reached; the report names it
  2  usage or configuration error
  3  credentials missing or refused
  4  deadline or quota reached, or interrupted; state is saved, run again
  5  the lake could not be written or is damaged, another run holds it,
     or data violated a contract

Results go to stdout; progress, logs and warnings go to stderr.";

pub(super) const EXAMPLES: &str = "\
Examples:
  bitlake demo                  create a lake of synthetic data
  bitlake init                  write a configuration to fill in
  bitlake check                 test the configuration before a run
  bitlake run                   collect, transform, publish
  bitlake query dora/overview   print the figures of each project";

pub(super) const INIT: &str = "\
Examples:
  bitlake init
  bitlake init --schema > bitlake.schema.json";

pub(super) const CHECK: &str = "\
Examples:
  bitlake check
  bitlake check --all --deep    check every repository and every file";

pub(super) const RUN: &str = "\
Examples:
  bitlake run
  bitlake run --deadline 5h     exit with 4 if records are left; run again later
  bitlake run -v                log the rows and time of each table";

pub(super) const COLLECT: &str = "\
Examples:
  bitlake collect --deadline 2h
  bitlake collect --shard 2/3   collect on the second of three machines";

pub(super) const TRANSFORM: &str = "\
Examples:
  bitlake transform --only dora,metrics
  bitlake transform --full --queries my-queries";

pub(super) const STATUS: &str = "\
Examples:
  bitlake status
  bitlake status --format json
  bitlake status --max-age 26h  for a probe: exit with 1 if the lake is older";

pub(super) const TABLES: &str = "\
Examples:
  bitlake tables
  bitlake tables dora           print the tables of one layer
  bitlake tables domain.repos   print the columns of one table";

pub(super) const QUERY: &str = "\
Examples:
  bitlake query --list dora
  bitlake query --search \"slow reviews\"
  bitlake query dora/lead_time --help
  bitlake query dora/lead_time --param project=checkout --param from=2026-10
  bitlake query dora/overview --out overview.csv
  bitlake query --sql 'SELECT name FROM domain.repos' --format markdown";

pub(super) const STEPS: &str = "\
A step becomes a model if the engine supports its SQL. Other tables are sources, which `bitlake ddl` loads; the
project's README.md lists them. Tables that a [[table]] of the configuration supplies are sources too.

Examples:
  bitlake --lake bitlake-demo steps --export dbt --dialect duckdb --out project
  bitlake steps --export dbt --dialect databricks --out project";

pub(super) const DDL: &str = "\
Examples:
  bitlake ddl --dialect duckdb > load.sql
  duckdb -bail warehouse.duckdb < load.sql
  bitlake ddl --dialect postgres > load.sql
  duckdb -bail < load.sql > /dev/null
  bitlake ddl --dialect snowflake --create --only metrics";

pub(super) const WORKER: &str = "\
Examples:
  bitlake worker --lake /shared/lake
  bitlake worker --listen 0.0.0.0:50051 --memory-limit \"8 GiB\"
  bitlake transform --workers worker-0:50051,worker-1:50051";

pub(super) const SANDBOX: &str = "\
Examples:
  bitlake sandbox               print the endpoint and a configuration for it
  bitlake sandbox --port 0 > endpoint";

pub(super) const COMPLETIONS: &str = "\
Examples:
  bitlake completions bash > ~/.local/share/bash-completion/completions/bitlake
  bitlake completions zsh > ~/.zfunc/_bitlake
  bitlake completions fish > ~/.config/fish/completions/bitlake.fish";

/// Wrap each line of the help that is wider than `width`, and indent its rest to the beginning of its text. A terminal alone
/// would wrap in the middle of words.
pub(super) fn wrap(help: &str, width: usize) -> String {
    let mut wrapped = String::new();
    for line in help.split_inclusive('\n') {
        let text = line.trim_end_matches('\n');
        match measure_text_width(text) <= width {
            true => wrapped.push_str(text),
            false => wrapped.push_str(&wrap_line(text, width)),
        }
        wrapped.push_str(line.strip_prefix(text).unwrap_or_default());
    }
    wrapped
}

fn wrap_line(line: &str, width: usize) -> String {
    let indent = text_begin(&strip_ansi_codes(line)).min(width / 2);
    let mut wrapped = String::new();
    let mut column = 0;
    for (n, word) in line.split(' ').enumerate() {
        let word_width = measure_text_width(word);
        if n > 0 && column + 1 + word_width > width && column > indent {
            wrapped.push_str(&format!("\n{}", " ".repeat(indent)));
            column = indent;
        } else if n > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += word_width;
    }
    wrapped
}

/// Return the column at which the text of a line begins: after the name of a command or option and its blanks, if there is
/// one.
fn text_begin(line: &str) -> usize {
    let is_blank = |c: &char| *c == ' ';
    let indent = line.chars().take_while(is_blank).count();
    let rest = line.get(indent..).unwrap_or_default();
    let Some(gap) = rest.find("  ").filter(|_| indent > 0) else {
        return indent;
    };
    let after = rest.get(gap..).unwrap_or_default();
    let name = rest.get(..gap).unwrap_or_default();
    indent + measure_text_width(name) + after.chars().take_while(is_blank).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_wrapped_under_the_beginning_of_its_text() {
        let help = "Usage\n  \u{1b}[32mdemo\u{1b}[0m   Export a synthetic workspace\n";
        assert_eq!(
            wrap(help, 24),
            "Usage\n  \u{1b}[32mdemo\u{1b}[0m   Export a\n         synthetic\n         workspace\n"
        );
        let help = "          Read the configuration from this file";
        assert_eq!(
            wrap(help, 40),
            "          Read the configuration from\n          this file"
        );
    }

    #[test]
    fn no_text_of_the_help_is_wider_than_80_columns() {
        for text in [
            EXAMPLES,
            CHECK,
            RUN,
            COLLECT,
            TRANSFORM,
            STATUS,
            TABLES,
            QUERY,
            DDL,
            WORKER,
            SANDBOX,
            COMPLETIONS,
            INIT,
            ENVIRONMENT_AND_EXIT_CODES,
        ] {
            let wide = text.lines().find(|line| line.len() > 80);
            assert_eq!(wide, None);
        }
    }
}
