//! The git program, and the environment of its commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bitbucket::retry::Limits;
use crate::config::GitCommits;
use crate::error::{Error, ErrorKind, Result};

/// The first version that reads its whole configuration from the environment (`GIT_CONFIG_COUNT`,
/// `GIT_CONFIG_GLOBAL`).
pub(super) const MIN_VERSION: (u32, u32) = (2, 32);

/// The environment variables that git inherits. Any other one could be a setting, a trace or a credential.
const INHERITED: [&str; 18] = [
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

/// The settings of every command: no hooks, credential helpers or attributes of the machine.
pub(super) const SETTINGS: [(&str, &str); 11] = [
    ("attr.tree", EMPTY_TREE),
    ("core.attributesFile", NO_FILE),
    ("core.hooksPath", NO_FILE),
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
pub(super) const NO_FILE: &str = "/dev/null";

/// The git program and the folder of its clones.
#[derive(Debug)]
pub struct Git {
    program: OsString,
    pub(super) cache: PathBuf,
    line_counts: bool,
    pub(super) limits: Limits,
    pub(super) operations: AtomicU64,
}

impl Git {
    /// Find the git program.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when git is missing or too old.
    pub fn find(settings: &GitCommits, limits: &Limits) -> Result<Self> {
        Self::with_program("git".into(), settings, limits)
    }

    pub(super) fn with_program(
        program: OsString,
        settings: &GitCommits,
        limits: &Limits,
    ) -> Result<Self> {
        let git = Self {
            program,
            cache: std::path::absolute(&settings.cache).unwrap_or_else(|_| settings.cache.clone()),
            line_counts: settings.line_counts,
            limits: limits.clone(),
            operations: AtomicU64::new(0),
        };
        let hint = "install git 2.32 or newer, or set commits = \"api\"";
        let unusable = |message: &str| Error::new(ErrorKind::Configuration, message).hint(hint);
        let output = git.command(None, &[]).arg("version").output();
        let output = output.map_err(|error| {
            unusable("commits = \"git\" needs the git program, which does not start").source(error)
        })?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match parse_version(&text) {
            Some(version) if version >= MIN_VERSION => Ok(git),
            _ => Err(unusable("commits = \"git\" needs a newer git").with("version", text)),
        }
    }

    /// Whether changed lines are counted.
    #[must_use]
    pub fn has_line_counts(&self) -> bool {
        self.line_counts
    }

    /// Return the number of fetches, retries included. They count against Bitbucket's limit of git operations, not that of
    /// the API.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Create a command without network access. `folder`: of the clone; `settings`: in addition to [`SETTINGS`].
    pub(super) fn command(&self, folder: Option<&Path>, settings: &[(String, String)]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let stall_seconds = self.limits.read_timeout.as_secs().max(1).to_string();
        let additional = settings.iter();
        let settings = SETTINGS
            .into_iter()
            .chain([("http.lowSpeedTime", stall_seconds.as_str())])
            .chain(additional.map(|(key, value)| (key.as_str(), value.as_str())));
        let mut count = 0;
        for (key, value) in settings {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command
            .env("GIT_CONFIG_COUNT", count.to_string())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", NO_FILE)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "none")
            // Failures are recognized by their English messages.
            .env("LC_ALL", "C")
            // A home without a .netrc.
            .env("HOME", &self.cache);
        if let Some(folder) = folder {
            command.arg("--git-dir").arg(folder);
        }
        command
    }
}

/// Parse the output of `git version`, for example `git version 2.47.3 (Apple Git-1)`.
pub(super) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ']);
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}
