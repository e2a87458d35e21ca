//! The layers of the lake.

/// The layers, in the order in which data passes them.
pub const LAYERS: [&str; 5] = ["config", "bitbucket", "domain", "dora", "metrics"];

/// The layer of every version of every record, made with `keep_history = true` only. It is not one of [`LAYERS`].
pub const HISTORY: &str = "history";
