//! Runs queries on several machines. A coordinator plans a query and receives its rows; workers read files, join,
//! aggregate and sort. datafusion-distributed splits the plan at exchanges of rows, and transports the rows.
//!
//! ```text
//! coordinator ── GET /status: the build and the counters of the worker ─▶ worker ◀──▶ worker
//!             ── gRPC: parts of a plan ─────────────────────────────────▶   │ reads the lake, and the files that the
//!             ◀─ gRPC: rows ─────────────────────────────────────────────   ▼ coordinator staged in it
//! ```
//!
//! A plan names files by their URL; therefore every machine must see the lake under the same URL. The coordinator refuses a
//! worker of another build, because a plan names functions whose code may differ.

mod channels;
mod coordinator;
mod counted;
mod link;
mod planner;
mod server;
mod status;

pub use coordinator::{Cluster, check_workers};
pub use link::WorkerReport;
pub use planner::UseOfWorkers;
pub use server::{RunningWorker, WorkerServer};
pub use status::WorkerStatus;

/// The version and the digest of the code of this build.
const BUILD: &str = env!("BITLAKE_BUILD");
