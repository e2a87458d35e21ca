//! The `bitlake` command, whose implementation is the library.

use std::process::ExitCode;

/// Queries allocate and free many short-lived buffers: in a transform of ten repositories this allocator takes a seventh
/// less CPU than that of glibc, and no more memory.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match bitlake::cli::parse(std::env::args_os()) {
        Ok(cli) => bitlake::cli::main(cli),
        Err(exit_code) => exit_code,
    }
}
