//! The remote of a clone.

use reqwest::Url;

use crate::config::{Auth, Connection};
use crate::error::{Error, ErrorKind, Result};

/// The remote of a repository.
#[derive(Debug, Clone)]
pub struct GitRemote {
    /// The URL without credentials.
    pub url: Url,
    /// The user name that Bitbucket expects from git for this kind of token; `None` for public repositories.
    pub user: Option<String>,
    /// `http`, `https`, `socks5` or `socks5h`.
    pub proxy: Option<String>,
}

impl GitRemote {
    /// Return the remote of a repository. `full_name`: `workspace/slug`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a `git_endpoint` that cannot have a path.
    pub fn new(connection: &Connection, full_name: &str) -> Result<Self> {
        let mut url = connection.git_endpoint.clone();
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty();
                path.extend(format!("{full_name}.git").split('/'));
            }
            Err(()) => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "git_endpoint is not a URL with a path",
                )
                .with("connection", &connection.name));
            }
        }
        // `x-token-auth` is documented for access tokens. Bitbucket accepts `x-bitbucket-api-token-auth` for API tokens;
        // DevLake sends it as well.
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
