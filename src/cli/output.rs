//! `stdout`, which carries results and nothing else.

use std::io::{self, Write};

use crate::error::{ErrorKind, OrError, Result};
use crate::escape::escape_lines;

/// Prints `text` for people: control characters are shown escaped, line ends apart.
///
/// A reader that has seen enough (`bitlake tables | head`) closes the pipe; that is its right and no error.
pub fn print(text: &str) -> Result<()> {
    print_data(escape_lines(text).as_bytes())
}

/// Prints `bytes` as they are, for programs: CSV, JSON, SQL.
pub fn print_data(bytes: &[u8]) -> Result<()> {
    print_to(&mut io::stdout().lock(), bytes)
}

/// Prints one line of JSON, which escapes what has to be escaped by itself.
pub fn print_json(text: &str) -> Result<()> {
    print_data(format!("{text}\n").as_bytes())
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
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(print_to(&mut Failing(io::ErrorKind::BrokenPipe), b"x").is_ok());
        let error = print_to(&mut Failing(io::ErrorKind::StorageFull), b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write to stdout: "));
    }
}
