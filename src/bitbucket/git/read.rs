//! What a clone tells of its commits: a range of them, and their lines.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::clone::{RepositoryClone, lines};
use super::log::{FORMAT, GitCommit, HASH_ONLY, LineCounts, Reader};
use super::process::Process;
use crate::error::{Error, ErrorKind, Result};

/// Contents asked for at once.
const BLOBS_PER_FETCH: usize = 20_000;

/// As a promisor's contents are asked for: without saying what is here, since that would cost a walk.
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

/// A commit is set against its first parent, a root against nothing; a moved file is one removed and one added.
const LOG: [&str; 10] = [
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

/// Commits that are reachable from one set of heads and from none of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RevisionRange {
    pub include: BTreeSet<String>,
    pub exclude: BTreeSet<String>,
}

impl RevisionRange {
    /// Return the range as text, the same for equal ranges. Cursors in repository states hold its digest, so the format
    /// must not change.
    pub fn to_stable_text(&self) -> String {
        let list = |hashes: &BTreeSet<String>| {
            let quoted: Vec<String> = hashes.iter().map(|hash| format!("\"{hash}\"")).collect();
            quoted.join(", ")
        };
        let (from, without) = (list(&self.include), list(&self.exclude));
        format!("Range {{ from: {{{from}}}, without: {{{without}}} }}")
    }
}

/// Commits of a range, newest first.
pub struct CommitLog<'a> {
    clone: &'a RepositoryClone<'a>,
    process: Option<Process>,
    reader: Reader,
    ready: VecDeque<GitCommit>,
}

impl RepositoryClone<'_> {
    /// The commits of a range behind the first `skip`. The same range gives the same order.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when git does not start.
    pub fn log(&self, range: &RevisionRange, skip: u64) -> Result<CommitLog<'_>> {
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(LOG).args(["--raw", FORMAT]);
        command.arg(format!("--skip={skip}"));
        let mut input = lines(range.include.iter().map(String::as_str));
        for hash in &range.exclude {
            input.extend(format!("^{hash}\n").bytes());
        }
        Ok(CommitLog {
            clone: self,
            process: match range.include.is_empty() {
                true => None,
                false => Some(self.start(command, input)?),
            },
            reader: Reader::of_commits(),
            ready: VecDeque::new(),
        })
    }

    /// Counts the lines that each commit added and deleted, of each file, after fetching the contents that are missing.
    ///
    /// # Errors
    /// As [`RepositoryClone::fetch`]; [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn count_lines(&self, commits: &mut [GitCommit]) -> Result<()> {
        let blobs = commits.iter().flat_map(|commit| &commit.changes);
        let blobs = blobs.flat_map(|change| &change.blobs).map(String::as_str);
        let blobs: BTreeSet<&str> = blobs.collect();
        let known = self.objects(blobs.into_iter()).await?;
        let missing = known.iter().filter(|(_, kind)| kind == "missing");
        let missing: Vec<&str> = missing.map(|(hash, _)| hash.as_str()).collect();
        for some in missing.chunks(BLOBS_PER_FETCH) {
            if let Err((trouble, words)) = self
                .online(&FETCH_BLOBS, lines(some.iter().copied()))
                .await?
            {
                return Err(self.error(trouble, &words));
            }
        }
        let mut command = self.git.command(Some(&self.folder), &[]);
        command
            .args(LOG)
            .args(["--no-walk=unsorted", "--numstat", HASH_ONLY]);
        let input = lines(commits.iter().map(|commit| commit.hash.as_str()));
        let mut process = self.start(command, input)?;
        let places: HashMap<String, usize> = commits
            .iter()
            .enumerate()
            .map(|(n, commit)| (commit.hash.clone(), n))
            .collect();
        let mut reader = Reader::of_counts();
        let mut counted = 0;
        loop {
            let piece = process.read().await.map_err(|error| self.silent(error))?;
            let counts = match &piece {
                Some(piece) => reader.counts(piece),
                None => reader.last_counts().into_iter().collect(),
            };
            for one in counts {
                let commit = places.get(&one.hash).and_then(|n| commits.get_mut(*n));
                counted += 1;
                if let Some(commit) = commit {
                    set(commit, one.files);
                }
            }
            if piece.is_none() {
                break;
            }
        }
        self.ended(process).await?;
        match counted == commits.len() {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Internal,
                "git counts the lines of other commits",
            )),
        }
    }
}

impl CommitLog<'_> {
    /// The next commits, as many as asked for, or fewer that change many files. None behind the last.
    ///
    /// # Errors
    /// As [`CommitLog::next`].
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

    /// The next commit; `None` behind the last.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn next(&mut self) -> Result<Option<GitCommit>> {
        loop {
            if let Some(commit) = self.ready.pop_front() {
                return Ok(Some(commit));
            }
            let Some(process) = &mut self.process else {
                return Ok(None);
            };
            let piece = process
                .read()
                .await
                .map_err(|error| self.clone.silent(error))?;
            match piece {
                Some(piece) => self.ready.extend(self.reader.commits(&piece)?),
                None => {
                    if let Some(process) = self.process.take() {
                        self.clone.ended(process).await?;
                    }
                    self.ready.extend(self.reader.last_commit()?);
                }
            }
        }
    }
}

/// Sets the counts of a commit's files; those of one path are added up.
fn set(commit: &mut GitCommit, files: Vec<(String, Option<LineCounts>)>) {
    let mut counts: HashMap<String, Option<LineCounts>> = HashMap::new();
    for (path, lines) in files {
        let known = counts.entry(path).or_default();
        *known = match (*known, lines) {
            (Some(a), Some(b)) => Some(LineCounts {
                added: a.added + b.added,
                deleted: a.deleted + b.deleted,
            }),
            (known, lines) => known.or(lines),
        };
    }
    for change in &mut commit.changes {
        change.lines = counts.get(&change.path).copied().flatten();
    }
}
