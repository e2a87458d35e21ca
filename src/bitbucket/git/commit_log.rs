//! The commits of a clone between two sets of heads.

use std::collections::{BTreeSet, VecDeque};

use super::child_process::ChildProcess;
use super::clone::{RepositoryClone, to_lines};
use super::log_parser::{FORMAT, GitCommit, LogParser};
use crate::error::Result;

/// The arguments of `git log`. A commit is compared with its first parent, a root commit with the empty tree; a moved
/// file counts as removed and added.
pub(super) const LOG: [&str; 10] = [
    "log",
    "--stdin",
    "-z",
    "--no-abbrev",
    "--no-renames",
    "--diff-merges=first-parent",
    "--no-ext-diff",
    "--no-textconv",
    "--no-notes",
    "--encoding=UTF-8",
];

/// The commits that are reachable from `include` and not from `exclude`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RevisionRange {
    /// Hashes whose ancestors belong to the range.
    pub include: BTreeSet<String>,
    /// Hashes whose ancestors do not belong to the range.
    pub exclude: BTreeSet<String>,
}

impl RevisionRange {
    /// Return the range as text, the same for equal ranges. Cursors in repository states contain its digest, so the format
    /// must not change.
    #[must_use]
    pub fn to_stable_text(&self) -> String {
        let list = |hashes: &BTreeSet<String>| {
            let quoted: Vec<String> = hashes.iter().map(|hash| format!("\"{hash}\"")).collect();
            quoted.join(", ")
        };
        let (include, exclude) = (list(&self.include), list(&self.exclude));
        format!("Range {{ from: {{{include}}}, without: {{{exclude}}} }}")
    }
}

/// The commits of a range, newest first.
pub struct CommitLog<'a> {
    clone: &'a RepositoryClone<'a>,
    /// `None` at the end of the output.
    process: Option<ChildProcess>,
    parser: LogParser,
    parsed: VecDeque<GitCommit>,
}

impl RepositoryClone<'_> {
    /// List the commits of a range, without the first `skip` ones. Equal ranges have the same order.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) when git does not start.
    pub fn log(&self, range: &RevisionRange, skip: u64) -> Result<CommitLog<'_>> {
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(LOG).args(["--raw", FORMAT]);
        command.arg(format!("--skip={skip}"));
        let mut input = to_lines(range.include.iter().map(String::as_str));
        for hash in &range.exclude {
            input.extend(format!("^{hash}\n").bytes());
        }
        let process = if range.include.is_empty() {
            None
        } else {
            Some(self.start(command, input)?)
        };
        Ok(CommitLog {
            clone: self,
            process,
            parser: LogParser::of_commits(),
            parsed: VecDeque::new(),
        })
    }
}

impl CommitLog<'_> {
    /// Return the next commits: up to `commits`, or fewer when they change more than `changes` files. An empty result is
    /// the end of the log.
    ///
    /// # Errors
    /// The errors of [`CommitLog::next`].
    pub async fn next_batch(&mut self, commits: usize, changes: usize) -> Result<Vec<GitCommit>> {
        let (mut batch, mut changed) = (Vec::new(), 0);
        while batch.len() < commits && changed < changes {
            let Some(commit) = self.next().await? else {
                break;
            };
            changed += commit.changes.len();
            batch.push(commit);
        }
        Ok(batch)
    }

    /// Return the next commit; `None` at the end of the log.
    ///
    /// # Errors
    /// [`ErrorKind::Api`](crate::error::ErrorKind::Api) when git cannot read the clone.
    pub async fn next(&mut self) -> Result<Option<GitCommit>> {
        loop {
            if let Some(commit) = self.parsed.pop_front() {
                return Ok(Some(commit));
            }
            let Some(process) = &mut self.process else {
                return Ok(None);
            };
            let chunk = process.read().await;
            if let Some(chunk) = chunk.map_err(|error| self.clone.unreadable(error))? {
                self.parsed.extend(self.parser.parse_commits(&chunk)?);
                continue;
            }
            if let Some(process) = self.process.take() {
                self.clone.finish_local(process).await?;
            }
            self.parsed.extend(self.parser.finish_commits()?);
        }
    }
}
