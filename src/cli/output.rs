//! `stdout`, which carries results and nothing else.

use std::io::{self, Write};

use crate::error::{ErrorKind, OrError, Result};

/// Prints `text` as it is.
///
/// A reader that has seen enough (`bitlake tables | head`) closes the pipe; that is its right and no error.
pub fn print(text: &str) -> Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

/// Prints `text` and a line end.
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

fn print_to(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
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
        assert!(print_to(&mut Failing(io::ErrorKind::BrokenPipe), "x").is_ok());
        let error = print_to(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write to stdout: "));
    }
}
