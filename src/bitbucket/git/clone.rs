//! One repository's clone: kept from run to run, fetched anew where it is lost or broken.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use super::failures::Trouble;
use super::process::Process;
use super::{Git, GitRemote};
use crate::bitbucket::{Client, Unavailable, safe_url};
use crate::error::{Error, ErrorKind, OrError, Result};

pub(super) const TRIES: usize = 3;
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

/// A clone that nobody else uses meanwhile.
pub struct RepositoryClone<'a> {
    pub(super) git: &'a Git,
    pub(super) client: &'a Client,
    pub(super) origin: GitRemote,
    pub(super) folder: PathBuf,
    _lock: File,
}

impl Git {
    /// The clone of a repository, which need not be there yet. Waits while another process uses it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] where the folder of clones cannot be written.
    pub async fn open_clone<'a>(
        &'a self,
        connection_id: i64,
        uuid: &str,
        origin: GitRemote,
        client: &'a Client,
    ) -> Result<RepositoryClone<'a>> {
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
        Ok(RepositoryClone {
            git: self,
            client,
            origin,
            folder: parent.join(format!("{name}.git")),
            _lock: lock,
        })
    }
}

impl RepositoryClone<'_> {
    /// Brings all branches and tags here, without contents. A clone that git cannot work with is made anew.
    /// `Some`: Bitbucket does not have the repository, or not for these credentials. `has_heads`: the repository is known
    /// not to be empty; git takes a web page in the place of an answer for an empty one.
    ///
    /// # Errors
    /// Refused credentials, an unreachable host, a full disk.
    pub async fn fetch(&self, has_heads: bool) -> Result<Option<Unavailable>> {
        let mut waits = self.git.limits.backoff(TRIES);
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
                    return Ok(Some(Unavailable::new(
                        StatusCode::NOT_FOUND,
                        "git does not find the repository",
                    )));
                }
                Err((Trouble::Forbidden, _)) => {
                    let reason = "the credentials may not clone the repository";
                    return Ok(Some(Unavailable::new(StatusCode::FORBIDDEN, reason)));
                }
                Err((trouble, words)) => return Err(self.error(trouble, &words)),
            }
        }
    }

    async fn init(&self) -> Result<()> {
        self.remove()?;
        let mut command = self.git.command(None, &[]);
        command.args(["init", "--quiet", "--bare", "--template="]);
        command.arg(&self.folder);
        self.output(command, Vec::new()).await?;
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
        let refs = self.output(command, Vec::new()).await?;
        let refs = String::from_utf8_lossy(&refs).into_owned();
        self.existing_commits(&refs.split_whitespace().map(str::to_owned).collect())
            .await
    }

    /// Which of these commits are here.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn existing_commits(&self, commits: &BTreeSet<String>) -> Result<BTreeSet<String>> {
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
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let output = self.output(command, input).await?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let words = output.lines().filter_map(|line| line.split_once(' '));
        Ok(words.map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    pub(super) fn start(&self, command: Command, input: Vec<u8>) -> Result<Process> {
        Process::start(command, input)
            .or_error(ErrorKind::Configuration, "git does not start")
            .map_err(|error| self.place(error))
    }

    /// The output of a local command.
    async fn output(&self, command: Command, input: Vec<u8>) -> Result<Vec<u8>> {
        let mut process = self.start(command, input)?;
        let mut output = Vec::new();
        while let Some(piece) = process.read().await.map_err(|error| self.silent(error))? {
            output.extend(piece);
        }
        self.ended(process).await?;
        Ok(output)
    }

    /// A local command that fails means that the clone is not what it should be: the next run makes it anew.
    pub(super) async fn ended(&self, process: Process) -> Result<()> {
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

    pub(super) fn silent(&self, error: std::io::Error) -> Error {
        self.place(Error::new(ErrorKind::Internal, "cannot read what git prints").source(error))
    }

    pub(super) fn error(&self, trouble: Trouble, words: &str) -> Error {
        let origin = self.client.identity(0).map(|identity| identity.origin());
        self.place(trouble.error(words, &origin.unwrap_or_default(), &self.folder))
    }

    pub(super) fn place(&self, error: Error) -> Error {
        error
            .with("connection", self.client.connection())
            .with("entity", "commits")
            .with("url", safe_url(&self.origin.url))
    }
}

pub(super) fn lines<'a>(of: impl Iterator<Item = &'a str>) -> Vec<u8> {
    of.flat_map(|line| line.bytes().chain([b'\n'])).collect()
}
