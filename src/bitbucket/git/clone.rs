//! One repository's clone: kept from run to run, fetched anew where it is lost or broken.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;

use super::failures::Trouble;
use super::log::{Commit, FORMAT, HASH_ONLY, Lines, Reader};
use super::process::Process;
use super::{Git, Origin};
use crate::bitbucket::transport::is_loopback;
use crate::bitbucket::{Absence, Client, safe_url};
use crate::error::{Error, ErrorKind, OrError, Result};

/// Contents asked for at once.
const BLOBS_PER_FETCH: usize = 20_000;
const TRIES: usize = 3;
const LOCK_EVERY: Duration = Duration::from_millis(200);

const FETCH: [&str; 8] = [
    "fetch",
    "--prune",
    "--no-tags",
    "--force",
    "--no-write-fetch-head",
    "origin",
    "+refs/heads/*:refs/heads/*",
    "+refs/tags/*:refs/tags/*",
];

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

/// A clone that nobody else uses meanwhile.
pub struct Clone<'a> {
    git: &'a Git,
    client: &'a Client,
    origin: Origin,
    folder: PathBuf,
    _lock: File,
}

/// Commits that are reachable from one set of heads and from none of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub from: BTreeSet<String>,
    pub without: BTreeSet<String>,
}

/// Commits of a range, newest first.
pub struct Log<'a> {
    clone: &'a Clone<'a>,
    process: Option<Process>,
    reader: Reader,
    ready: VecDeque<Commit>,
}

impl Git {
    /// The clone of a repository, which need not be there yet. Waits while another process uses it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] where the folder of clones cannot be written.
    pub async fn repository<'a>(
        &'a self,
        connection_id: i64,
        uuid: &str,
        origin: Origin,
        client: &'a Client,
    ) -> Result<Clone<'a>> {
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let name: String = uuid.chars().filter(plain).collect();
        let parent = self.cache.join(connection_id.to_string());
        let unwritable = |error: std::io::Error| {
            Error::new(ErrorKind::Configuration, "cannot write a clone")
                .with("folder", parent.display())
                .source(error)
                .hint("name another folder as git_cache")
        };
        std::fs::create_dir_all(&parent).map_err(unwritable)?;
        let lock = File::create(parent.join(format!("{name}.lock"))).map_err(unwritable)?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_EVERY).await,
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
            }
        }
        Ok(Clone {
            git: self,
            client,
            origin,
            folder: parent.join(format!("{name}.git")),
            _lock: lock,
        })
    }
}

impl Clone<'_> {
    #[cfg(test)]
    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Brings all branches and tags here, without contents. A clone that git cannot work with is made anew.
    /// `Some`: Bitbucket does not have the repository, or not for these credentials. `has_heads`: the repository is known
    /// not to be empty; git takes a web page in the place of an answer for an empty one.
    ///
    /// # Errors
    /// Refused credentials, an unreachable host, a full disk.
    pub async fn fetch(&self, has_heads: bool) -> Result<Option<Absence>> {
        let mut waits = self.git.limits.waits(TRIES);
        let mut is_new = !self.folder.join("HEAD").exists();
        loop {
            if is_new {
                self.init().await?;
            }
            match self.online(&FETCH, Vec::new()).await? {
                Ok(()) if has_heads && self.heads().await?.is_empty() => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(self.error(Trouble::Network, "no branches and no tags")),
                },
                Ok(()) => return Ok(None),
                Err((Trouble::Clone, words)) if !is_new => {
                    tracing::warn!(folder = %self.folder.display(), "a clone is broken and made anew: {words}");
                    is_new = true;
                }
                Err((Trouble::NotFound, _)) => {
                    return Ok(Some(Absence::new(404, "git does not find the repository")));
                }
                Err((Trouble::Forbidden, _)) => {
                    let reason = "the credentials may not clone the repository";
                    return Ok(Some(Absence::new(403, reason)));
                }
                Err((trouble, words)) => return Err(self.error(trouble, &words)),
            }
        }
    }

    async fn init(&self) -> Result<()> {
        self.remove()?;
        let mut command = self.git.command(None, &[]);
        command.args(["init", "--quiet", "--bare", "--template="]);
        self.output(command.arg(&self.folder), Vec::new()).await?;
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                ErrorKind::Configuration,
                "cannot remove a clone",
            )
            .with("folder", self.folder.display())
            .source(error)
            .hint("remove it, or name another folder as git_cache")),
            _ => Ok(()),
        }
    }

    /// The commits that branches and tags stand on.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn heads(&self) -> Result<BTreeSet<String>> {
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(["for-each-ref", "--format=%(objectname) %(*objectname)"]);
        let refs = self.output(&mut command, Vec::new()).await?;
        let refs = String::from_utf8_lossy(&refs).into_owned();
        self.holds(&refs.split_whitespace().map(str::to_owned).collect())
            .await
    }

    /// Which of these commits are here.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn holds(&self, commits: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let objects = self.objects(commits.iter().map(String::as_str)).await?;
        let commits = objects.into_iter().filter(|(_, kind)| kind == "commit");
        Ok(commits.map(|(hash, _)| hash).collect())
    }

    /// Each object with what it is: `commit`, `blob`, …, or `missing`.
    pub(super) async fn objects(
        &self,
        hashes: impl Iterator<Item = &str>,
    ) -> Result<Vec<(String, String)>> {
        // What is no hash could be anything to git.
        let hex = |hash: &&str| hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let input = lines(hashes.filter(hex));
        let mut command = self.git.command(Some(&self.folder), &[]);
        let check = ["cat-file", "--batch-check=%(objectname) %(objecttype)"];
        let output = self.output(command.args(check), input).await?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let words = output.lines().filter_map(|line| line.split_once(' '));
        Ok(words.map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    /// The commits of a range behind the first `skip`. The same range gives the same order.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when git does not start.
    pub fn log(&self, range: &Range, skip: u64) -> Result<Log<'_>> {
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(LOG).args(["--raw", FORMAT]);
        command.arg(format!("--skip={skip}"));
        let mut input = lines(range.from.iter().map(String::as_str));
        for hash in &range.without {
            input.extend(format!("^{hash}\n").bytes());
        }
        Ok(Log {
            clone: self,
            process: match range.from.is_empty() {
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
    /// As [`Clone::fetch`]; [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn count_lines(&self, commits: &mut [Commit]) -> Result<()> {
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

    fn start(&self, command: Command, input: Vec<u8>) -> Result<Process> {
        Process::start(command, input)
            .or_error(ErrorKind::Configuration, "git does not start")
            .map_err(|error| self.place(error))
    }

    /// The output of a local command.
    async fn output(&self, command: &mut Command, input: Vec<u8>) -> Result<Vec<u8>> {
        let command = std::mem::replace(command, Command::new(""));
        let mut process = self.start(command, input)?;
        let mut output = Vec::new();
        while let Some(piece) = process.read().await.map_err(|error| self.silent(error))? {
            output.extend(piece);
        }
        self.ended(process).await?;
        Ok(output)
    }

    /// A local command that fails means that the clone is not what it should be: the next run makes it anew.
    async fn ended(&self, process: Process) -> Result<()> {
        let (status, words) = process.end().await.map_err(|error| self.silent(error))?;
        if status.success() {
            return Ok(());
        }
        let trouble = Trouble::read(&words);
        if trouble == Trouble::Clone {
            self.remove()?;
        }
        Err(self.error(trouble, &words))
    }

    /// A command that reaches Bitbucket. What passes by itself is tried again; the rest is for the caller.
    async fn online(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<std::result::Result<(), (Trouble, String)>> {
        let mut waits = self.git.limits.waits(TRIES);
        let mut renewed = false;
        loop {
            self.git.operations.fetch_add(1, Ordering::Relaxed);
            let (command, secrets) = self.online_command(arguments).await?;
            let process = self.start(command, input.clone())?;
            let (status, words) = process.end().await.map_err(|error| self.silent(error))?;
            if status.success() {
                return Ok(Ok(()));
            }
            let trouble = Trouble::read(&words);
            let words = secrets
                .iter()
                .fold(words, |words, secret| words.replace(secret, "***"));
            let identity = self.client.identity(0);
            match trouble {
                Trouble::Network | Trouble::Refused => {
                    let Some(wait) = waits.next() else {
                        return Ok(Err((trouble, words)));
                    };
                    tracing::debug!(url = %safe_url(&self.origin.url), "fetching again: {words}");
                    tokio::time::sleep(wait).await;
                }
                Trouble::Credentials if !renewed => {
                    renewed = true;
                    match identity {
                        Some(identity) if identity.renew().await => {}
                        _ => return Ok(Err((trouble, words))),
                    }
                }
                _ => return Ok(Err((trouble, words))),
            }
        }
    }

    /// The command, and what must not be shown of its environment.
    pub(super) async fn online_command(
        &self,
        arguments: &[&str],
    ) -> Result<(Command, Vec<String>)> {
        let url = &self.origin.url;
        let mut more = vec![
            ("remote.origin.url".to_owned(), url.to_string()),
            ("remote.origin.promisor".to_owned(), "true".to_owned()),
            (
                "remote.origin.partialclonefilter".to_owned(),
                "blob:none".to_owned(),
            ),
        ];
        match &self.origin.proxy {
            Some(proxy) => more.push(("http.proxy".to_owned(), proxy.clone())),
            // A proxy of the environment is for the world outside.
            None if is_loopback(url) => more.push(("http.proxy".to_owned(), String::new())),
            None => {}
        }
        let mut secrets = Vec::new();
        let http = self.client.http();
        if let (Some(user), Some(identity)) = (&self.origin.user, self.client.identity(0))
            && let Some(password) = identity.password(http).await?
        {
            let request = http
                .get(url.clone())
                .basic_auth(user, Some(password.expose()));
            let request = request
                .build()
                .or_error(ErrorKind::Internal, "cannot sign git's requests")?;
            let header = request.headers().get(AUTHORIZATION);
            let header = header
                .and_then(|header| header.to_str().ok())
                .unwrap_or_default();
            let host = url.join("/").unwrap_or_else(|_| url.clone());
            more.push((
                format!("http.{host}.extraHeader"),
                format!("Authorization: {header}"),
            ));
            secrets.extend(header.split_once(' ').map(|(_, secret)| secret.to_owned()));
            secrets.push(password.expose().to_owned());
            secrets.retain(|secret| !secret.is_empty());
        }
        let mut command = self.git.command(Some(&self.folder), &more);
        command
            .env("GIT_ALLOW_PROTOCOL", url.scheme())
            .args(arguments)
            .arg("--quiet");
        Ok((command, secrets))
    }

    fn silent(&self, error: std::io::Error) -> Error {
        self.place(Error::new(ErrorKind::Internal, "cannot read what git prints").source(error))
    }

    fn error(&self, trouble: Trouble, words: &str) -> Error {
        let origin = self.client.identity(0).map(|identity| identity.origin());
        self.place(trouble.error(words, &origin.unwrap_or_default(), &self.folder))
    }

    fn place(&self, error: Error) -> Error {
        error
            .with("connection", self.client.connection())
            .with("entity", "commits")
            .with("url", safe_url(&self.origin.url))
    }
}

impl Log<'_> {
    /// The next commits, as many as asked for, or fewer that change many files. None behind the last.
    ///
    /// # Errors
    /// As [`Log::next`].
    pub async fn batch(&mut self, commits: usize, changes: usize) -> Result<Vec<Commit>> {
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
    pub async fn next(&mut self) -> Result<Option<Commit>> {
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
fn set(commit: &mut Commit, files: Vec<(String, Option<Lines>)>) {
    let mut counts: HashMap<String, Option<Lines>> = HashMap::new();
    for (path, lines) in files {
        let known = counts.entry(path).or_default();
        *known = match (*known, lines) {
            (Some(a), Some(b)) => Some(Lines {
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

fn lines<'a>(of: impl Iterator<Item = &'a str>) -> Vec<u8> {
    of.flat_map(|line| line.bytes().chain([b'\n'])).collect()
}
