//! Why a sandbox cannot start: the port is taken, or a fixture cannot be read.

use std::io;

/// Why a sandbox cannot start or reload its fixtures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The port cannot be bound.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The requested port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// A file or folder of fixtures cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// A fixture is not the JSON that its place asks for.
    #[error("{file}, line {line}: not a valid fixture")]
    Parse {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Why it cannot be parsed.
        source: serde_json::Error,
    },
    /// A repository has no identity.
    #[error("{file}: the repository has no `uuid`")]
    NoUuid {
        /// The repository's `repository.json`.
        file: String,
    },
}
