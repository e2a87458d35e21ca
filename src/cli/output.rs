//! Prints results to stdout, and replaces files of this machine. Logs and progress go to stderr.

use std::io::{self, Write};
use std::path::Path;

use console::Term;

use crate::error::{ErrorKind, OrError, Result};
use crate::escape::escape_lines;

/// The smallest width of a text's layout, in columns. A terminal that does not know its size reports 0.
const NARROWEST_TERMINAL: usize = 40;

/// Print `text` for people, with control characters except line ends escaped.
///
/// # Errors
/// If stdout cannot be written. A closed pipe (`bitlake tables | head`) is not an error.
pub(super) fn print(text: &str) -> Result<()> {
    print_data(escape_lines(text).as_bytes())
}

/// Print `bytes` unchanged, for programs: CSV, JSON, SQL.
///
/// # Errors
/// As [`print`].
pub(super) fn print_data(bytes: &[u8]) -> Result<()> {
    print_to(&mut io::stdout().lock(), bytes)
}

/// Return the width of the terminal in columns; `None` if stdout is a file or a pipe, whose lines may have any length.
pub(super) fn terminal_width() -> Option<usize> {
    let terminal = Term::stdout();
    let (_, columns) = terminal.is_term().then(|| terminal.size_checked())??;
    Some(usize::from(columns).max(NARROWEST_TERMINAL))
}

/// Print one line of JSON, whose strings escape control characters.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(text: &str) -> Result<()> {
    print_data(format!("{text}\n").as_bytes())
}

/// Replace the file `out` as a whole: a reader finds the former content or the new content, never a part.
///
/// # Errors
/// If the file or the temporary file beside it cannot be written.
pub(super) fn replace_file(out: &Path, content: &str) -> io::Result<()> {
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, content).and_then(|()| std::fs::rename(&part, out))
}

fn print_to(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.or_error(ErrorKind::Usage, "cannot write to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_but_a_full_disk_is() {
        assert!(print_to(&mut Failing(io::ErrorKind::BrokenPipe), b"x").is_ok());
        let error = print_to(&mut Failing(io::ErrorKind::StorageFull), b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write to stdout: "));
    }
}
