//! Identities: the `Authorization` header of each token, and the budget that its requests count against.

use reqwest::{RequestBuilder, Url};

use super::oauth::Consumer;
use super::options::{Credentials, Token};
use super::retry::Limits;
use crate::error::Result;
use crate::secret::{Masker, Secret};

/// The hourly limit of anonymous requests per IP address. Source: Bitbucket's page "API request limits".
const ANONYMOUS_LIMIT: u32 = 60;
/// The hourly limit of authenticated requests. Source: the same page.
const AUTHENTICATED_LIMIT: u32 = 1000;

/// One token of a connection.
pub(crate) struct Identity {
    scheme: Scheme,
    /// The name of the budget. It contains no secret and is the same in every run, because the budget is persisted.
    pub(crate) budget: String,
}

enum Scheme {
    Basic { user: String, password: Token },
    Bearer(Token),
    Oauth(Box<Consumer>),
    None,
}

impl Identity {
    /// Create one identity per token. API tokens of one user share a budget across connections.
    pub(crate) fn all(
        credentials: &Credentials,
        connection_id: i64,
        limits: &Limits,
        masker: &Masker,
    ) -> Vec<Self> {
        let own_budget = |kind: String| format!("connection-{connection_id}-{kind}");
        match credentials.clone() {
            Credentials::ApiToken { email, tokens } => tokens
                .into_iter()
                .map(|password| Self {
                    budget: format!("api-token-{}", email.to_lowercase()),
                    scheme: Scheme::Basic {
                        user: email.clone(),
                        password,
                    },
                })
                .collect(),
            Credentials::AccessToken { tokens } => tokens
                .into_iter()
                .map(|token| Self {
                    budget: own_budget(format!("access-token from {}", token.origin)),
                    scheme: Scheme::Bearer(token),
                })
                .collect(),
            Credentials::OauthClient {
                key,
                secret,
                token_url: url,
            } => vec![Self {
                budget: own_budget("oauth-client".to_owned()),
                scheme: Scheme::Oauth(Box::new(Consumer::new(key, secret, url, limits, masker))),
            }],
            Credentials::AppPassword { username, password } => vec![Self {
                budget: format!("app-password-{username}"),
                scheme: Scheme::Basic {
                    user: username,
                    password,
                },
            }],
            Credentials::None => vec![Self {
                budget: "anonymous".to_owned(),
                scheme: Scheme::None,
            }],
        }
    }

    /// Return the requests per hour until the server reports a limit.
    pub(crate) fn default_limit(&self, endpoint: &Url) -> u32 {
        let host = endpoint.host_str().unwrap_or_default();
        match self.scheme {
            Scheme::None if host.ends_with("bitbucket.org") => ANONYMOUS_LIMIT,
            _ => AUTHENTICATED_LIMIT,
        }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.scheme, Scheme::None)
    }

    /// Return where the credentials come from, for the error of refused credentials.
    pub(crate) fn origin(&self) -> String {
        match &self.scheme {
            Scheme::Basic { user, password } => format!("{} (user {user})", password.origin),
            Scheme::Bearer(token) => token.origin.clone(),
            Scheme::Oauth(consumer) => consumer.origin(),
            Scheme::None => "none were sent, because auth = \"none\"".to_owned(),
        }
    }

    /// Add the `Authorization` header.
    ///
    /// # Errors
    /// The errors of fetching an OAuth token.
    pub(crate) async fn authorize(
        &self,
        http: &reqwest::Client,
        request: RequestBuilder,
    ) -> Result<RequestBuilder> {
        Ok(match &self.scheme {
            Scheme::Basic { user, password } => {
                request.basic_auth(user, Some(password.secret.expose()))
            }
            Scheme::Bearer(token) => request.bearer_auth(token.secret.expose()),
            Scheme::Oauth(consumer) => request.bearer_auth(consumer.token(http).await?.expose()),
            Scheme::None => request,
        })
    }

    /// Return the token, which git sends as the password.
    ///
    /// # Errors
    /// The errors of fetching an OAuth token.
    pub(super) async fn password(&self, http: &reqwest::Client) -> Result<Option<Secret>> {
        Ok(match &self.scheme {
            Scheme::Basic { password, .. } => Some(password.secret.clone()),
            Scheme::Bearer(token) => Some(token.secret.clone()),
            Scheme::Oauth(consumer) => Some(consumer.token(http).await?),
            Scheme::None => None,
        })
    }

    /// Discard the OAuth token after a 401, so that the next request fetches a new one. Return `false` for credentials
    /// that cannot be renewed.
    pub(crate) async fn renew(&self) -> bool {
        match &self.scheme {
            Scheme::Oauth(consumer) => {
                consumer.renew().await;
                true
            }
            _ => false,
        }
    }
}
