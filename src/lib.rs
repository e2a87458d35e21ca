//! bitlake collects Bitbucket Cloud data, transforms it with SQL into Apache DevLake's domain tables and DORA metrics,
//! and writes partitioned Parquet.
//!
//! The data passes the modules in one direction:
//!
//! ```text
//! config ─▶ bitbucket ─▶ collect ─▶ lake (segments) ─▶ transform (engine) ─▶ lake (published Parquet)
//! ```

pub mod bitbucket;
pub mod cli;
mod clock;
pub mod cluster;
pub mod collect;
pub mod config;
mod digest;
pub mod encoding;
pub mod engine;
pub mod error;
pub mod escape;
mod json;
pub mod lake;
mod memory;
mod plural;
pub mod progress;
pub mod redaction;
pub mod report;
pub mod schema;
mod scratch;
pub mod secret;
pub mod suggest;
pub mod telemetry;
pub mod transform;
