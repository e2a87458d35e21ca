//! Tests over small repositories with `file://` remotes. Tests over HTTP are in `tests/it/git`.

mod clones;
mod commits;
mod fuzz;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use reqwest::Url;

use super::program::{MIN_VERSION, NO_FILE, SETTINGS, parse_version};
use super::*;
use crate::bitbucket::{Client, ClientOptions, Credentials, Limits, Token};
use crate::config::GitCommits;
use crate::error::ErrorKind;
use crate::secret::Secret;

/// Whether git is installed. It is mandatory in CI.
fn has_git() -> bool {
    let found = Command::new("git").arg("version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI needs git");
    if !found {
        eprintln!("SKIPPED: git is missing");
    }
    found
}

/// A repository, and a folder for its clone.
struct Bench {
    folder: TempDir,
    client: Client,
    git: Git,
}

fn client(credentials: Credentials) -> Client {
    let options = ClientOptions {
        connection: "acme".into(),
        endpoint: "http://127.0.0.1:9/".parse().unwrap(),
        credentials,
        proxy: None,
        requests_per_hour: None,
        limits: Limits::default(),
        connection_id: 1,
        budgets: crate::bitbucket::Budgets::default(),
        masker: crate::secret::Masker::default(),
    };
    Client::new(options).unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = GitCommits {
            cache: folder.path().join("cache"),
            line_counts: true,
        };
        let limits = Limits {
            first_wait: std::time::Duration::from_millis(1),
            ..Limits::default()
        };
        let bench = Self {
            git: Git::find(&settings, &limits).unwrap(),
            client: client(Credentials::None),
            folder,
        };
        std::fs::create_dir(bench.work()).unwrap();
        bench.run(&["init", "--quiet", "--initial-branch=main"]);
        bench.run(&["config", "uploadpack.allowFilter", "true"]);
        bench.run(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        bench
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.feed(arguments, b"")
    }

    fn feed(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_GLOBAL", NO_FILE)
            .env("GIT_AUTHOR_NAME", "Ann Lee")
            .env("GIT_AUTHOR_EMAIL", "ann@acme.example")
            .env("GIT_AUTHOR_DATE", "2026-05-01T10:00:00+02:00")
            .env("GIT_COMMITTER_NAME", "Bob")
            .env("GIT_COMMITTER_EMAIL", "bob@acme.example")
            .env("GIT_COMMITTER_DATE", "2026-05-02T10:00:00Z")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        std::fs::write(self.work().join(path), content).unwrap();
    }

    /// Commit all files. Return the hash.
    fn commit(&self, message: &str) -> String {
        self.run(&["add", "--all"]);
        self.run(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.run(&["rev-parse", "HEAD"])
    }

    async fn clone(&self) -> RepositoryClone<'_> {
        let remote = GitRemote {
            url: Url::from_file_path(self.work()).unwrap(),
            user: None,
            proxy: None,
        };
        let clone = self.git.open_clone(1, "{web-1}", remote, &self.client);
        clone.await.unwrap()
    }

    /// Fetch, and return all commits by subject, with line counts.
    async fn commits(&self) -> BTreeMap<String, GitCommit> {
        let clone = self.clone().await;
        assert!(clone.fetch(false).await.unwrap().is_none());
        let mut commits = all(&clone).await;
        clone.count_lines(&mut commits).await.unwrap();
        let named = |commit: GitCommit| {
            let subject = commit.message.lines().next().unwrap_or_default();
            (subject.to_owned(), commit)
        };
        commits.into_iter().map(named).collect()
    }
}

async fn read(clone: &RepositoryClone<'_>, range: &RevisionRange) -> Vec<GitCommit> {
    let mut log = clone.log(range, 0).unwrap();
    let mut commits = Vec::new();
    while let Some(commit) = log.next().await.unwrap() {
        commits.push(commit);
    }
    commits
}

async fn all(clone: &RepositoryClone<'_>) -> Vec<GitCommit> {
    let range = RevisionRange {
        include: clone.heads().await.unwrap(),
        ..RevisionRange::default()
    };
    read(clone, &range).await
}

/// Format each change as `path kind added/deleted`.
fn changes(commit: &GitCommit) -> Vec<String> {
    let changes = commit.changes.iter();
    let line = |change: &ChangedFile| {
        let lines = change.lines.map(|n| format!("{}/{}", n.added, n.deleted));
        let lines = lines.unwrap_or_else(|| "binary".to_owned());
        format!("{:?} {:?} {lines}", change.path, change.kind)
    };
    changes.map(line).collect()
}
