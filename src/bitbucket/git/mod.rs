//! Repositories by git, beside the API: a clone spends another budget (60,000 operations an hour) and knows what the API
//! does not tell, both times of a commit and the files it changed.
//!
//! The `git` program does it, because no library can clone without the files' contents. Each clone is bare and has
//! commits and folders only; contents are fetched for the commits whose lines are counted.
//!
//! ```text
//! Git::find ─▶ git.open_clone(…) ─▶ fetch ─▶ holds(heads) ─▶ log(range) ─▶ commits ─▶ count_lines(commits)
//!                                  network                    local                    network, for contents
//! ```
//!
//! The clone's own configuration names no remote: every command gets what it needs by its environment, so that neither
//! the command line nor the disk ever holds a secret, and what is local cannot reach out for what is missing.

mod clone;
mod failures;
mod log;
mod online;
mod process;
mod read;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Url;

pub use clone::RepositoryClone;
pub use log::{ChangeKind, ChangedFile, GitCommit, LineCounts};
pub use read::{CommitLog, RevisionRange};

use super::Limits;
use crate::config::{Auth, Connection, GitCommits};
use crate::error::{Error, ErrorKind, Result};

/// From here on the configuration comes from the environment alone.
const OLDEST: (u32, u32) = (2, 32);

/// What git may know of the world around it. Everything else could be a setting, a trace, or a credential of somebody's.
const PASSED_ON: [&str; 18] = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "GIT_EXEC_PATH",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMROOT",
    "TEMP",
    "TMPDIR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The same for every command: nobody's settings, hooks, helpers or attributes; errors in English.
const SETTINGS: [(&str, &str); 11] = [
    ("attr.tree", EMPTY_TREE),
    ("core.attributesFile", NOTHING),
    ("core.hooksPath", NOTHING),
    ("credential.helper", ""),
    ("gc.autoDetach", "false"),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1"),
    (
        "http.userAgent",
        concat!("bitlake/", env!("CARGO_PKG_VERSION")),
    ),
    ("log.showRoot", "true"),
    ("maintenance.autoDetach", "false"),
    ("protocol.version", "2"),
];

const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const NOTHING: &str = "/dev/null";

/// The git program, and the folder that its clones lie in.
#[derive(Debug)]
pub struct Git {
    program: OsString,
    cache: PathBuf,
    line_counts: bool,
    limits: Limits,
    operations: AtomicU64,
}

/// Where a repository comes from.
#[derive(Debug, Clone)]
pub struct GitRemote {
    /// Without credentials.
    pub url: Url,
    /// The user that git wants in the place of a name or an address; `None` for public repositories.
    pub user: Option<String>,
    /// `http`, `https`, `socks5` or `socks5h`.
    pub proxy: Option<String>,
}

impl GitRemote {
    /// `full_name`: "workspace/slug".
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for an endpoint that cannot have a path.
    pub fn new(connection: &Connection, full_name: &str) -> Result<Self> {
        let mut url = connection.git_endpoint.clone();
        {
            let path = url.path_segments_mut();
            let mut path = path.map_err(|()| {
                Error::new(
                    ErrorKind::Configuration,
                    "git_endpoint is not a URL with a path",
                )
                .with("connection", &connection.name)
            })?;
            path.pop_if_empty();
            path.extend(format!("{full_name}.git").split('/'));
        }
        let user = match &connection.auth {
            Auth::ApiToken { .. } => Some("x-bitbucket-api-token-auth".to_owned()),
            Auth::AccessToken { .. } | Auth::OauthClient { .. } => Some("x-token-auth".to_owned()),
            Auth::AppPassword { username, .. } => Some(username.clone()),
            Auth::None => None,
        };
        Ok(Self {
            url,
            user,
            proxy: connection.proxy.clone(),
        })
    }
}

impl Git {
    /// Looks for the program.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] where it is missing or too old.
    pub fn find(settings: &GitCommits, limits: &Limits) -> Result<Self> {
        Self::with_program("git".into(), settings, limits)
    }

    fn with_program(program: OsString, settings: &GitCommits, limits: &Limits) -> Result<Self> {
        let git = Self {
            program,
            cache: std::path::absolute(&settings.cache).unwrap_or_else(|_| settings.cache.clone()),
            line_counts: settings.line_counts,
            limits: limits.clone(),
            operations: AtomicU64::new(0),
        };
        let hint = "install git 2.32 or newer, or set commits = \"api\"";
        let unusable = |what: &str| Error::new(ErrorKind::Configuration, what).hint(hint);
        let output = git.command(None, &[]).arg("version").output();
        let output = output.map_err(|error| {
            unusable("commits = \"git\" needs the git program, which does not start").source(error)
        })?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match version(&said) {
            Some(version) if version >= OLDEST => Ok(git),
            _ => Err(unusable("commits = \"git\" needs a newer git").with("version", said)),
        }
    }

    /// Whether lines are to be counted.
    pub fn has_line_counts(&self) -> bool {
        self.line_counts
    }

    /// Fetches so far, repeated ones included. They spend Bitbucket's git budget, not that of the API.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// A command over the clone in `folder`, and nothing else: no other settings, no network.
    fn command(&self, folder: Option<&Path>, more: &[(String, String)]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let stall = self.limits.read_timeout.as_secs().max(1).to_string();
        let settings = SETTINGS
            .iter()
            .map(|(key, value)| (*key, *value))
            .chain([("http.lowSpeedTime", stall.as_str())])
            .chain(
                more.iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            );
        let mut count = 0;
        for (key, value) in settings {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command
            .env("GIT_CONFIG_COUNT", count.to_string())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", NOTHING)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("LC_ALL", "C")
            // Without a home there is no .netrc either.
            .env("HOME", &self.cache);
        if let Some(folder) = folder {
            command.arg("--git-dir").arg(folder);
        }
        command
    }
}

/// From "git version 2.47.3 (Apple Git-1)".
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split(['.', ' ']);
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}
