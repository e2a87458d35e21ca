//! What a run knows about one repository while it reads its lists. Collectors get it and write into it; the order in which
//! they run is that of `repository.rs`.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::checkpoint::CheckpointStore;
use super::repository_context::RepositoryContext;
use super::rounds::Round;
use crate::config::StepsRule;

/// A repository or workspace that a run reads, with what earlier lists of the same run found.
pub(super) struct RepositoryRun<'a> {
    pub(super) repository: RepositoryContext<'a>,
    pub(super) checkpoints: CheckpointStore<'a>,
    pub(super) round: Round,
    /// The commits that branches and tags name, once both lists are read.
    pub(super) heads: Option<BTreeSet<String>>,
    /// Pipelines that this run read, and whether they have completed.
    pub(super) pipelines: HashMap<String, bool>,
    /// The time of the last activity of each pull request whose activity this run read.
    pub(super) last_activity: HashMap<i64, DateTime<Utc>>,
    /// Whose steps the rules ask for.
    pub(super) steps: StepsRule,
    /// Environments that this run's deployments name.
    pub(super) environments: BTreeSet<String>,
}
