//! The clone of one repository. It is kept between runs, and created again when it is lost or damaged.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use super::child_process::ChildProcess;
use super::failures::GitFailure;
use super::program::Git;
use super::remote::GitRemote;
use crate::bitbucket::auth::Identity;
use crate::bitbucket::client::Client;
use crate::bitbucket::unavailable::Unavailable;
use crate::bitbucket::urls::safe_url;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Retries of a fetch.
pub(super) const RETRIES: usize = 3;
/// Time between two attempts to lock a clone.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

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

/// A clone, locked against other processes as long as the value lives.
pub struct RepositoryClone<'a> {
    pub(super) git: &'a Git,
    pub(super) client: &'a Client,
    pub(super) remote: GitRemote,
    pub(super) folder: PathBuf,
    _lock: File,
}

/// The type of an object in a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Commit,
    /// A tree, a tag or the contents of a file.
    Other,
    /// The clone does not contain the object.
    Missing,
}

impl Git {
    /// Lock the clone of a repository, which may not exist yet. Wait while another process uses it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the folder of the clones cannot be written.
    pub async fn open_clone<'a>(
        &'a self,
        connection_id: i64,
        uuid: &str,
        remote: GitRemote,
        client: &'a Client,
    ) -> Result<RepositoryClone<'a>> {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let name: String = uuid.chars().filter(is_plain).collect();
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
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_INTERVAL).await,
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
            }
        }
        Ok(RepositoryClone {
            git: self,
            client,
            remote,
            folder: parent.join(format!("{name}.git")),
            _lock: lock,
        })
    }
}

impl RepositoryClone<'_> {
    /// Fetch all branches and tags, without the contents of files. A damaged clone is created again. Return the reason
    /// when Bitbucket does not have the repository or refuses it to these credentials.
    ///
    /// `has_heads`: the repository is known to have branches. Git takes an HTML page of a proxy for an empty repository.
    ///
    /// # Errors
    /// Refused credentials, an unreachable host, a full disk.
    pub async fn fetch(&self, has_heads: bool) -> Result<Option<Unavailable>> {
        let mut delays = self.git.limits.backoff(RETRIES);
        let mut is_new = !self.folder.join("HEAD").exists();
        loop {
            if is_new {
                self.init().await?;
            }
            match self.run_online(&FETCH, Vec::new()).await? {
                Ok(()) if has_heads && self.heads().await?.is_empty() => match delays.next() {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => return Err(self.error(GitFailure::Network, "no branches and no tags")),
                },
                Ok(()) => return Ok(None),
                Err((GitFailure::Clone, output)) if !is_new => {
                    tracing::warn!(folder = %self.folder.display(), "a clone is damaged and created again: {output}");
                    is_new = true;
                }
                Err((GitFailure::NotFound, _)) => {
                    return Ok(Some(Unavailable::new(
                        StatusCode::NOT_FOUND,
                        "git does not find the repository",
                    )));
                }
                Err((GitFailure::Forbidden, _)) => {
                    return Ok(Some(Unavailable::new(
                        StatusCode::FORBIDDEN,
                        "the credentials may not clone the repository",
                    )));
                }
                Err((failure, output)) => return Err(self.error(failure, &output)),
            }
        }
    }

    async fn init(&self) -> Result<()> {
        self.remove()?;
        let mut command = self.git.command(None, &[]);
        command.args(["init", "--quiet", "--bare", "--template="]);
        command.arg(&self.folder);
        self.run_local(command, Vec::new()).await?;
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

    /// Return the commits that branches and tags point to.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn heads(&self) -> Result<BTreeSet<String>> {
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(["for-each-ref", "--format=%(objectname) %(*objectname)"]);
        let refs = self.run_local(command, Vec::new()).await?;
        let refs = String::from_utf8_lossy(&refs).into_owned();
        self.existing_commits(&refs.split_whitespace().map(str::to_owned).collect())
            .await
    }

    /// Return those of the commits that the clone contains.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] when git cannot read the clone.
    pub async fn existing_commits(&self, commits: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let objects = self
            .object_kinds(commits.iter().map(String::as_str))
            .await?;
        let commits = objects
            .into_iter()
            .filter(|(_, kind)| *kind == ObjectKind::Commit);
        Ok(commits.map(|(hash, _)| hash).collect())
    }

    /// Return the type of each object.
    pub(super) async fn object_kinds(
        &self,
        hashes: impl Iterator<Item = &str>,
    ) -> Result<Vec<(String, ObjectKind)>> {
        // Git would resolve anything but a full hash as a name.
        let is_hash = |text: &&str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let input = to_lines(hashes.filter(is_hash));
        let mut command = self.git.command(Some(&self.folder), &[]);
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let output = self.run_local(command, input).await?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let objects = output.lines().filter_map(|line| line.split_once(' '));
        let objects = objects.map(|(hash, kind)| {
            let kind = match kind {
                "commit" => ObjectKind::Commit,
                "missing" => ObjectKind::Missing,
                _ => ObjectKind::Other,
            };
            (hash.to_owned(), kind)
        });
        Ok(objects.collect())
    }

    pub(super) fn start(&self, command: Command, input: Vec<u8>) -> Result<ChildProcess> {
        ChildProcess::start(command, input)
            .or_error(ErrorKind::Configuration, "git does not start")
            .map_err(|error| self.locate(error))
    }

    /// Return the output of a local command.
    async fn run_local(&self, command: Command, input: Vec<u8>) -> Result<Vec<u8>> {
        let mut process = self.start(command, input)?;
        let mut output = Vec::new();
        while let Some(chunk) = process
            .read()
            .await
            .map_err(|error| self.unreadable(error))?
        {
            output.extend(chunk);
        }
        self.finish_local(process).await?;
        Ok(output)
    }

    /// Wait for the end of a local command. The failure of a local command means that the clone is damaged; it is removed,
    /// and the next run creates it again.
    pub(super) async fn finish_local(&self, process: ChildProcess) -> Result<()> {
        let (status, output) = process
            .finish()
            .await
            .map_err(|error| self.unreadable(error))?;
        if status.success() {
            return Ok(());
        }
        let failure = GitFailure::classify(&output);
        if failure == GitFailure::Clone {
            self.remove()?;
        }
        Err(self.error(failure, &output))
    }

    pub(super) fn unreadable(&self, error: std::io::Error) -> Error {
        self.locate(Error::new(ErrorKind::Internal, "cannot read the output of git").source(error))
    }

    /// Return the error of a failed command. `output`: the end of its stderr, without secrets.
    pub(super) fn error(&self, failure: GitFailure, output: &str) -> Error {
        let origin = self.client.identity(0).map(Identity::origin);
        self.locate(failure.error(output, &origin.unwrap_or_default(), &self.folder))
    }

    pub(super) fn locate(&self, error: Error) -> Error {
        error
            .with("connection", self.client.connection())
            .with("entity", "commits")
            .with("url", safe_url(&self.remote.url))
    }
}

/// Return the input of a command that reads one value per line.
pub(super) fn to_lines<'a>(values: impl Iterator<Item = &'a str>) -> Vec<u8> {
    values
        .flat_map(|value| value.bytes().chain([b'\n']))
        .collect()
}
