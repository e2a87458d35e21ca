//! The failures of git commands. Every failure has the same exit code, so the only source is the text on stderr, whose
//! language is fixed by `LC_ALL=C`. The text is matched in this module and nowhere else.

use crate::error::{Error, ErrorKind};

/// Why git failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GitFailure {
    /// The credentials are refused.
    Credentials,
    /// The credentials may not read the repository.
    Forbidden,
    NotFound,
    /// The hourly limit of git operations is reached.
    RateLimit,
    /// The host is unreachable or its response is invalid.
    Network,
    /// The proxy refuses the connection.
    Proxy,
    /// The disk is full or not writable.
    Disk,
    /// Any other failure: the clone is probably damaged, and a new one succeeds.
    Clone,
}

/// Parts of messages in lower case. The first row with a matching part applies. Source: messages of
/// git and libcurl; the tests below contain whole ones.
const MESSAGES: [(GitFailure, &[&str]); 7] = [
    (
        GitFailure::Proxy,
        &["from proxy", "response 407", "error: 407"],
    ),
    (
        GitFailure::Credentials,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "error: 401",
            "error: 410",
        ],
    ),
    (GitFailure::Forbidden, &["error: 403"]),
    (GitFailure::RateLimit, &["error: 429"]),
    (GitFailure::NotFound, &["' not found", "error: 404"]),
    (
        GitFailure::Disk,
        &[
            "no space left",
            "permission denied",
            "read-only file system",
            "disk quota exceeded",
        ],
    ),
    (
        GitFailure::Network,
        &[
            "unable to access",
            "rpc failed",
            "early eof",
            "hung up",
            "unexpected disconnect",
            "unable to update url base",
            "not valid: is this a git repository",
            "protocol error",
            "expected flush",
            "invalid server response",
        ],
    ),
];

impl GitFailure {
    /// Classify the end of stderr.
    pub(super) fn classify(stderr: &str) -> Self {
        let stderr = stderr.to_lowercase();
        let known = MESSAGES
            .iter()
            .find(|(_, parts)| parts.iter().any(|part| stderr.contains(part)));
        known.map_or(Self::Clone, |(failure, _)| *failure)
    }

    /// Return the error of the failure. `stderr`: without secrets; `origin`: where the credentials come from; `folder`: of
    /// the clone.
    pub(super) fn error(self, stderr: &str, origin: &str, folder: &std::path::Path) -> Error {
        let error = match self {
            Self::Credentials => Error::new(
                ErrorKind::Credentials,
                "bitbucket does not accept the credentials for git",
            )
            .hint(format!("check {origin}: it is wrong or expired")),
            Self::Forbidden => Error::new(ErrorKind::Api, "the credentials may not clone this").hint(
                "create the token with scope read:repository:bitbucket, and check allow-lists of addresses",
            ),
            Self::NotFound => Error::new(ErrorKind::Api, "bitbucket does not find it for git")
                .hint("check the name; a private repository is hidden from credentials that may not read it"),
            Self::RateLimit => {
                Error::new(ErrorKind::Api, "bitbucket refuses more git operations for now")
                    .hint("run again later, or set commits = \"api\"")
            }
            Self::Network => Error::new(ErrorKind::Unreachable, "git cannot fetch")
                .hint("check git_endpoint, proxy and the network"),
            Self::Proxy => {
                Error::new(ErrorKind::Unreachable, "the proxy refuses the connections of git")
                    .hint("check user and password in proxy")
            }
            Self::Disk => Error::new(ErrorKind::Configuration, "cannot write a clone")
                .with("folder", folder.display())
                .hint("free some space, or name another folder as git_cache"),
            Self::Clone => Error::new(ErrorKind::Api, "git fails").hint(
                "run again; if it fails again, remove the clone, which is then fetched again, or set commits = \"api\"",
            ),
        };
        error.with(
            "answer",
            stderr.split_whitespace().collect::<Vec<_>>().join(" "),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn messages_of_git_are_classified_by_who_has_to_act() {
        use ErrorKind::{Api, Configuration, Credentials, Unreachable};
        let url = "https://bitbucket.org/acme/web.git";
        let access = |why: &str| format!("fatal: unable to access '{url}/': {why}");
        let cases = [
            (
                format!("remote: Permission denied\n{}", access("error: 403")),
                GitFailure::Forbidden,
                Api,
            ),
            (
                "fatal: unable to access 'config': Permission denied".to_owned(),
                GitFailure::Disk,
                Configuration,
            ),
            (format!("remote: Invalid credentials\nfatal: Authentication failed for '{url}/'"), GitFailure::Credentials, Credentials),
            ("fatal: could not read Username for 'https://bitbucket.org': terminal prompts disabled".to_owned(), GitFailure::Credentials, Credentials),
            (access("The requested URL returned error: 403"), GitFailure::Forbidden, Api),
            (access("The requested URL returned error: 410"), GitFailure::Credentials, Credentials),
            (access("The requested URL returned error: 429"), GitFailure::RateLimit, Api),
            (access("The requested URL returned error: 503"), GitFailure::Network, Unreachable),
            (access("Could not resolve host: bitbucket.org"), GitFailure::Network, Unreachable),
            (access("Operation too slow. Less than 1 bytes/sec transferred the last 90 seconds"), GitFailure::Network, Unreachable),
            (access("CONNECT tunnel failed, response 407"), GitFailure::Proxy, Unreachable),
            (access("Received HTTP code 407 from proxy after CONNECT"), GitFailure::Proxy, Unreachable),
            (format!("remote: Not Found\nfatal: repository '{url}/' not found"), GitFailure::NotFound, Api),
            ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF".to_owned(), GitFailure::Network, Unreachable),
            ("fatal: write error: No space left on device".to_owned(), GitFailure::Disk, Configuration),
            ("error: cannot lock ref 'refs/heads/main'".to_owned(), GitFailure::Clone, Api),
            (String::new(), GitFailure::Clone, Api),
        ];
        for (stderr, failure, kind) in cases {
            assert_eq!(GitFailure::classify(&stderr), failure, "{stderr}");
            let error = failure.error(&stderr, "environment variable TOKEN", Path::new("clones"));
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
