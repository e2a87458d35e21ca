//! The `bitlake` command; everything it does is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    bitlake::cli::main(bitlake::cli::Cli::parse())
}
