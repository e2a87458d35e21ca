//! What the benchmarks of a transform and of a collection share: the synthetic workspace, and the measuring of processes.

pub(crate) mod workspace;
