//! The added and deleted lines of commits, for which the contents of the changed files are fetched.

use std::collections::{BTreeSet, HashMap};

use super::clone::{ObjectKind, RepositoryClone, to_lines};
use super::commit_log::LOG;
use super::log_parser::{CommitLineCounts, GitCommit, HASH_ONLY, LineCounts, LogParser};
use crate::error::{Error, ErrorKind, Result};

/// The contents of files that are fetched by one command.
const BLOBS_PER_FETCH: usize = 20_000;

/// The arguments that git itself uses to fetch missing objects of a partial clone. The `noop` negotiation avoids a
/// traversal of all commits.
const FETCH_BLOBS: [&str; 9] = [
    "-c",
    "fetch.negotiationAlgorithm=noop",
    "fetch",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--recurse-submodules=no",
    "--stdin",
    "origin",
];

impl RepositoryClone<'_> {
    /// Fetch the missing contents of the changed files, and set [`ChangedFile::lines`] of every change.
    ///
    /// [`ChangedFile::lines`]: super::ChangedFile::lines
    ///
    /// # Errors
    /// The errors of [`RepositoryClone::fetch`]; [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn count_lines(&self, commits: &mut [GitCommit]) -> Result<()> {
        self.fetch_blobs(commits).await?;
        let mut command = self.git.command(Some(&self.folder), &[]);
        command
            .args(LOG)
            .args(["--no-walk=unsorted", "--numstat", HASH_ONLY]);
        let input = to_lines(commits.iter().map(|commit| commit.hash.as_str()));
        let mut process = self.start(command, input)?;
        let positions: HashMap<String, usize> = commits
            .iter()
            .enumerate()
            .map(|(position, commit)| (commit.hash.clone(), position))
            .collect();
        let mut parser = LogParser::of_line_counts();
        let mut counted = 0;
        loop {
            let chunk = process.read().await;
            let chunk = chunk.map_err(|error| self.unreadable(error))?;
            let counts = match &chunk {
                Some(chunk) => parser.parse_line_counts(chunk),
                None => parser.finish_line_counts().into_iter().collect(),
            };
            for CommitLineCounts { hash, files } in counts {
                counted += 1;
                let position = positions.get(&hash);
                if let Some(commit) = position.and_then(|it| commits.get_mut(*it)) {
                    set_line_counts(commit, files);
                }
            }
            if chunk.is_none() {
                break;
            }
        }
        self.finish_local(process).await?;
        if counted == commits.len() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            "git counts the lines of other commits",
        ))
    }

    /// Fetch the contents of the changed files that the clone does not contain.
    async fn fetch_blobs(&self, commits: &[GitCommit]) -> Result<()> {
        let changes = commits.iter().flat_map(|commit| &commit.changes);
        let blobs = changes.flat_map(|change| &change.blobs);
        let blobs: BTreeSet<&str> = blobs.map(String::as_str).collect();
        let objects = self.object_kinds(blobs.into_iter()).await?;
        let missing: Vec<&str> = objects
            .iter()
            .filter(|(_, kind)| *kind == ObjectKind::Missing)
            .map(|(hash, _)| hash.as_str())
            .collect();
        for hashes in missing.chunks(BLOBS_PER_FETCH) {
            let input = to_lines(hashes.iter().copied());
            if let Err((failure, output)) = self.run_online(&FETCH_BLOBS, input).await? {
                return Err(self.error(failure, &output));
            }
        }
        Ok(())
    }
}

/// Set the counts of a commit's files. Counts of the same path are added up.
fn set_line_counts(commit: &mut GitCommit, files: Vec<(String, Option<LineCounts>)>) {
    let mut by_path: HashMap<String, Option<LineCounts>> = HashMap::new();
    for (path, lines) in files {
        let sum = by_path.entry(path).or_default();
        *sum = match (*sum, lines) {
            (Some(sum), Some(more)) => Some(LineCounts {
                added: sum.added + more.added,
                deleted: sum.deleted + more.deleted,
            }),
            (sum, lines) => sum.or(lines),
        };
    }
    for change in &mut commit.changes {
        change.lines = by_path.get(&change.path).copied().flatten();
    }
}
