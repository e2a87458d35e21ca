//! What the benchmarks of a transform and of a collection share.

pub(crate) mod docs;
pub(crate) mod figures;
pub(crate) mod measure;
pub(crate) mod steps;
pub(crate) mod tables;
pub(crate) mod workspace;
