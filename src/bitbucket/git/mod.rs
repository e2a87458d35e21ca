//! Commits from clones of the repositories, instead of from the API. Clones count against another limit (60,000 git
//! operations per hour) and contain two things that the API does not return: the commit date beside the author date,
//! and the changed files.
//!
//! The module runs the `git` program, because no library can clone without the contents of files. A clone is bare and
//! contains only commits and trees; contents are fetched for the commits whose lines are counted.
//!
//! ```text
//! Git::find ─▶ git.open_clone(…) ─▶ fetch ─▶ existing_commits ─▶ log(range) ─▶ commits ─▶ count_lines(commits)
//!                                   network                      local                    network, for contents
//! ```
//!
//! The configuration of a clone has no remote: every command receives its settings in the environment. Neither the
//! command line nor the disk ever contains a secret, and a local command cannot fetch missing objects.

mod child_process;
mod clone;
mod commit_log;
mod failures;
mod line_counts;
mod log_parser;
mod network;
mod program;
mod remote;
#[cfg(test)]
mod tests;

pub use clone::RepositoryClone;
pub use commit_log::{CommitLog, RevisionRange};
pub use log_parser::{ChangeKind, ChangedFile, GitCommit, LineCounts};
pub use program::Git;
pub use remote::GitRemote;
