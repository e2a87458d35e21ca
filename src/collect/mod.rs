//! Collects records from Bitbucket's REST API into segments.
//!
//! ```text
//! discover ─▶ assign rules ─▶ round after round, four repositories at a time:
//!                                repositories ─▶ branches, tags ─▶ commits
//!                                             ─▶ pull_requests ─▶ activity ─▶ comments; commits
//!                                             ─▶ issues ─▶ comments, changes
//!                                             ─▶ pipelines, deployments ─▶ steps; environments
//!                             once per workspace: workspace_members
//! ```
//!
//! Pages become segments. A checkpoint is one put of a repository's state, which names the segments so far and the cursor of
//! every unfinished list.
//!
//! The files import each other in one direction, downwards:
//!
//! ```text
//! driver       run.rs, plan/                     the order of a run; the estimate of one
//! visits       visit.rs, vanished.rs             repositories to read, to defer, to mark as stale
//! selection    selection.rs, discovery.rs        repositories with rules and clients
//! repository   repository.rs                     the order of the lists
//! lists        one file for each table           key, time and endpoint of the records
//! readers      newest_first.rs, list_reader.rs … pages, segments, checkpoints
//! data         context.rs, repository_run.rs, saved_states.rs, report.rs, rounds.rs, stop.rs …
//! ```

mod branches;
mod budget;
mod checkpoint;
mod clients;
mod commit_range;
mod commits;
mod commits_git;
mod context;
mod deferral;
mod deployments;
mod discovered;
mod discovery;
mod embedded;
mod entity;
mod environments;
mod freshness;
mod issue_changes;
mod issue_comments;
mod issues;
mod list_reader;
mod list_status;
mod lost;
mod newest_first;
mod open_state;
mod order;
mod pending_reader;
mod pipeline_steps;
mod pipelines;
pub mod plan;
mod pull_request_activity;
mod pull_request_comments;
mod pull_request_commits;
mod pull_requests;
mod read_digest;
mod refs;
mod report;
mod repositories;
mod repository;
mod repository_context;
mod repository_run;
mod rounds;
mod run;
mod saved_states;
mod selection;
mod shard;
mod sink;
mod stop;
mod tags;
mod vanished;
mod visit;
mod whole_list;
mod workspace_members;

pub use budget::open_budgets;
pub use clients::{masker, open_clients};
pub use context::{CollectEvent, CollectOptions};
pub use discovered::DiscoveredRepository;
pub use discovery::{Discovery, VanishedRepository, discover};
pub use report::{CollectReport, EntityReport, ListFailure, NewlyUnavailable, RepositoryReport};
pub use run::collect;
pub use shard::Shard;
pub use stop::{StopReason, StopSignal};
