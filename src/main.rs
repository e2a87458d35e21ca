//! The `bitlake` command, whose implementation is the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    bitlake::cli::main(bitlake::cli::Cli::parse())
}
