//! What git says on stderr, as errors that say what to do. Its words are the only sign it gives: every failure has the
//! same exit code.

use crate::error::{Error, ErrorKind};

/// Why git failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Credentials,
    Forbidden,
    NotFound,
    /// The hour's git operations are used up.
    Refused,
    /// The host, the way to it, or its answer.
    Network,
    Proxy,
    Disk,
    /// The clone itself, most likely: a new one helps.
    Clone,
}

/// Words by which a trouble is known, those that say most first.
const SIGNS: [(Trouble, &[&str]); 8] = [
    (
        Trouble::Proxy,
        &["from proxy", "response 407", "error: 407"],
    ),
    (
        Trouble::Credentials,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "error: 401",
            "error: 410",
        ],
    ),
    (Trouble::Forbidden, &["error: 403"]),
    (Trouble::Refused, &["error: 429"]),
    (Trouble::NotFound, &["' not found", "error: 404"]),
    (
        Trouble::Disk,
        &[
            "no space left",
            "permission denied",
            "read-only file system",
            "disk quota exceeded",
        ],
    ),
    (
        Trouble::Network,
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
    (Trouble::Clone, &[""]),
];

impl Trouble {
    pub(super) fn read(words: &str) -> Self {
        let words = words.to_lowercase();
        let known = SIGNS
            .iter()
            .find(|(_, signs)| signs.iter().any(|sign| words.contains(sign)));
        known.map_or(Self::Clone, |(trouble, _)| *trouble)
    }

    /// `words`: without secrets. `origin`: where the credentials came from. `folder`: of the clones.
    pub(super) fn error(self, words: &str, origin: &str, folder: &std::path::Path) -> Error {
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
            Self::Refused => {
                Error::new(ErrorKind::Api, "bitbucket refuses more git operations for now")
                    .hint("run again later, or set commits = \"api\"")
            }
            Self::Network => Error::new(ErrorKind::Unreachable, "git cannot fetch")
                .hint("check git_endpoint, proxy and the network"),
            Self::Proxy => {
                Error::new(ErrorKind::Unreachable, "the proxy does not let git through")
                    .hint("check user and password in proxy")
            }
            Self::Disk => Error::new(ErrorKind::Configuration, "cannot write a clone")
                .with("folder", folder.display())
                .hint("free some space, or name another folder as git_cache"),
            Self::Clone => Error::new(ErrorKind::Api, "git fails").hint(
                "run again; if it stays, remove the clone, which is fetched anew, or set commits = \"api\"",
            ),
        };
        error.with(
            "answer",
            words.split_whitespace().collect::<Vec<_>>().join(" "),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_git_says_decides_who_must_act() {
        use ErrorKind::{Api, Configuration, Credentials, Unreachable};
        let url = "https://bitbucket.org/acme/web.git";
        let access = |why: &str| format!("fatal: unable to access '{url}/': {why}");
        let cases = [
            (
                format!("remote: Permission denied\n{}", access("error: 403")),
                Trouble::Forbidden,
                Api,
            ),
            (
                "fatal: unable to access 'config': Permission denied".to_owned(),
                Trouble::Disk,
                Configuration,
            ),
            (format!("remote: Invalid credentials\nfatal: Authentication failed for '{url}/'"), Trouble::Credentials, Credentials),
            ("fatal: could not read Username for 'https://bitbucket.org': terminal prompts disabled".to_owned(), Trouble::Credentials, Credentials),
            (access("The requested URL returned error: 403"), Trouble::Forbidden, Api),
            (access("The requested URL returned error: 410"), Trouble::Credentials, Credentials),
            (access("The requested URL returned error: 429"), Trouble::Refused, Api),
            (access("The requested URL returned error: 503"), Trouble::Network, Unreachable),
            (access("Could not resolve host: bitbucket.org"), Trouble::Network, Unreachable),
            (access("Operation too slow. Less than 1 bytes/sec transferred the last 90 seconds"), Trouble::Network, Unreachable),
            (access("CONNECT tunnel failed, response 407"), Trouble::Proxy, Unreachable),
            (access("Received HTTP code 407 from proxy after CONNECT"), Trouble::Proxy, Unreachable),
            (format!("remote: Not Found\nfatal: repository '{url}/' not found"), Trouble::NotFound, Api),
            ("error: RPC failed; curl 18 transfer closed\nfatal: early EOF".to_owned(), Trouble::Network, Unreachable),
            ("fatal: write error: No space left on device".to_owned(), Trouble::Disk, Configuration),
            ("error: cannot lock ref 'refs/heads/main'".to_owned(), Trouble::Clone, Api),
            (String::new(), Trouble::Clone, Api),
        ];
        for (words, trouble, kind) in cases {
            assert_eq!(Trouble::read(&words), trouble, "{words}");
            let error = trouble.error(&words, "environment variable TOKEN", Path::new("clones"));
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
