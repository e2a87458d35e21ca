//! One set of credentials towards Bitbucket: its `Authorization` header, and whose budget its requests come from.

use reqwest::{RequestBuilder, Url};

use super::oauth::Consumer;
use super::options::{Credentials, Token};
use crate::error::Result;
use crate::secret::{Masker, Secret};

/// Anonymous requests to Bitbucket itself get this many an hour, per address.
const ANONYMOUS_PER_HOUR: u32 = 60;
const USUAL_PER_HOUR: u32 = 1000;

pub(crate) struct Identity {
    scheme: Scheme,
    /// The name of its budget: without secrets, and the same in every run.
    pub(crate) budget: String,
}

enum Scheme {
    Basic { user: String, password: Token },
    Bearer(Token),
    Oauth(Box<Consumer>),
    None,
}

impl Identity {
    /// One per token. API tokens of one user share a budget, whatever the connection.
    pub(crate) fn all(credentials: &Credentials, connection_id: i64, masker: &Masker) -> Vec<Self> {
        let ours = |kind: String| format!("connection-{connection_id}-{kind}");
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
                    budget: ours(format!("access-token from {}", token.origin)),
                    scheme: Scheme::Bearer(token),
                })
                .collect(),
            Credentials::OauthClient {
                key,
                secret,
                token_url: url,
            } => vec![Self {
                budget: ours("oauth-client".to_owned()),
                scheme: Scheme::Oauth(Box::new(Consumer::new(key, secret, url, masker.clone()))),
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

    /// Requests an hour until the server says otherwise.
    pub(crate) fn usual_per_hour(&self, endpoint: &Url) -> u32 {
        let host = endpoint.host_str().unwrap_or_default();
        match self.scheme {
            Scheme::None if host.ends_with("bitbucket.org") => ANONYMOUS_PER_HOUR,
            _ => USUAL_PER_HOUR,
        }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.scheme, Scheme::None)
    }

    /// Where to look when Bitbucket does not accept it.
    pub(crate) fn origin(&self) -> String {
        match &self.scheme {
            Scheme::Basic { user, password } => format!("{} (user {user})", password.origin),
            Scheme::Bearer(token) => token.origin.clone(),
            Scheme::Oauth(consumer) => consumer.origin(),
            Scheme::None => "none were sent, because auth = \"none\"".to_owned(),
        }
    }

    /// Adds the header.
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

    /// What stands in for a password towards git: the token.
    pub(super) async fn password(&self, http: &reqwest::Client) -> Result<Option<Secret>> {
        Ok(match &self.scheme {
            Scheme::Basic { password, .. } => Some(password.secret.clone()),
            Scheme::Bearer(token) => Some(token.secret.clone()),
            Scheme::Oauth(consumer) => Some(consumer.token(http).await?),
            Scheme::None => None,
        })
    }

    /// After a 401: forgets the OAuth token, so that the next request fetches another. `false` where there is
    /// nothing to renew.
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
