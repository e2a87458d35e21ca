//! Writes logs to stderr, as text or JSON.
//!
//! The run report describes what happened to the data. Logs report what an operator may have to act on, so that without
//! `-v` only warnings are written.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::escape::escape;
use crate::progress::Progress;

/// The format of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines of text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Install the subscriber of the process. `verbosity` is -1 for `-q` and the number of `-v` otherwise; `RUST_LOG`
/// overrides it.
pub fn init(format: LogFormat, verbosity: i8, progress: &Progress) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(verbosity)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(BesideBars(progress.clone()));
    // Installing a second subscriber fails, which happens in tests only; the first one is kept.
    let terminal = io::stderr().is_terminal();
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if terminal => {
            let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            builder
                .without_time()
                .with_target(false)
                .with_ansi(colour)
                .fmt_fields(debug_fn(write_field).delimited(" "))
                .try_init()
        }
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(false)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .try_init(),
    };
}

/// Write a field as `name=value`, and the message without its name. Values are escaped, which the subscriber's own
/// formatter does not do.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = escape(&value);
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => writer.write_str(&value),
        (name, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"),
        (name, false) => write!(writer, "{name}={value}"),
    }
}

/// Return the log filter of a verbosity. Libraries log warnings only, unless everything is asked for.
fn directives(verbosity: i8) -> &'static str {
    match verbosity {
        i8::MIN..=-1 => "error",
        0 => "warn,bitlake::cli::schedule=info",
        1 => "warn,bitlake=info",
        2 => "warn,bitlake=debug",
        _ => "info,bitlake=trace",
    }
}

/// Writes each event while the progress lines are hidden.
struct BesideBars(Progress);

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

struct Line<'a>(&'a Progress);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer whose lines a test can read.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_line_is_one_line_and_cannot_control_the_terminal() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_writer(move || writer.clone())
            .finish();
        let hostile = "\u{1b}[2J\n\u{202e}";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(repository = hostile, entity = %hostile, n = 3, "failed: {hostile}");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let shown = "\\u{1b}[2J\\n\\u{202e}";
        assert_eq!(
            text,
            format!(" WARN failed: {shown} repository=\"{shown}\" entity={shown} n=3\n")
        );
    }

    #[test]
    fn every_verbosity_has_a_valid_filter() {
        for verbosity in [-1, 0, 1, 2, 3, i8::MAX] {
            let parsed = EnvFilter::try_new(directives(verbosity));
            assert!(parsed.is_ok(), "{verbosity}");
        }
        assert_eq!(directives(-1), "error");
        assert_eq!(directives(1), "warn,bitlake=info");
    }
}
