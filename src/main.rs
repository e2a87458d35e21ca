//! The `bitlake` command, whose implementation is the library.

use std::process::ExitCode;

use clap::Parser;

/// Queries allocate and free many short-lived buffers: in a transform of ten repositories this allocator takes a seventh
/// less CPU than that of glibc, and no more memory.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    bitlake::cli::main(bitlake::cli::Cli::parse())
}
