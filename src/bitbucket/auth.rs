//! One set of credentials towards Bitbucket: its `Authorization` header, and whose budget its requests come from.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::options::{Credentials, Token};
use super::reply::Refusal;
use super::safe_url;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Anonymous requests to Bitbucket itself get this many an hour, per address.
const ANONYMOUS_PER_HOUR: u32 = 60;
const USUAL_PER_HOUR: u32 = 1000;

pub(crate) struct Identity {
    scheme: Scheme,
    /// The name of its budget: without secrets, and the same in every run.
    pub(crate) budget: String,
}

enum Scheme {
    Basic {
        user: String,
        password: Token,
    },
    Bearer(Token),
    Oauth {
        key: Token,
        secret: Token,
        url: Url,
        granted: tokio::sync::Mutex<Option<Granted>>,
        /// Every token granted, for [`Identity::mask`].
        tokens: Mutex<Vec<Secret>>,
    },
    None,
}

#[derive(Clone)]
struct Granted {
    token: Secret,
    renew_at: Instant,
}

impl Identity {
    /// One per token. API tokens of one user share a budget, whatever the connection.
    pub(crate) fn all(credentials: &Credentials, connection_id: i64) -> Vec<Self> {
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
                .zip(1..)
                .map(|(token, n)| Self {
                    budget: ours(format!("access-token-{n}")),
                    scheme: Scheme::Bearer(token),
                })
                .collect(),
            Credentials::OauthClient {
                key,
                secret,
                token_url: url,
            } => vec![Self {
                budget: ours("oauth-client".to_owned()),
                scheme: Scheme::Oauth {
                    key,
                    secret,
                    url,
                    granted: tokio::sync::Mutex::new(None),
                    tokens: Mutex::default(),
                },
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
            Scheme::Oauth { key, secret, .. } => format!("{} and {}", key.origin, secret.origin),
            Scheme::None => "none were sent, because auth = \"none\"".to_owned(),
        }
    }

    /// Removes this identity's secrets from a text that came from outside, such as an error page that repeats the
    /// request.
    pub(crate) fn mask(&self, text: &str) -> String {
        let basic = |user: &str, password: &Token| {
            let password = password.secret.expose();
            let header = BASE64_STANDARD.encode(format!("{user}:{password}"));
            [header, password.to_owned()]
        };
        let secrets: Vec<String> = match &self.scheme {
            Scheme::Basic { user, password } => basic(user, password).into(),
            Scheme::Bearer(token) => vec![token.secret.expose().to_owned()],
            Scheme::Oauth {
                key,
                secret,
                tokens,
                ..
            } => {
                let tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
                let tokens = tokens.iter().map(|token| token.expose().to_owned());
                let key = key.secret.expose();
                basic(key, secret)
                    .into_iter()
                    .chain([key.to_owned()])
                    .chain(tokens)
                    .collect()
            }
            Scheme::None => Vec::new(),
        };
        let secrets = secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Adds the header. The OAuth token is fetched on first use and before it runs out.
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
            Scheme::Oauth {
                key,
                secret,
                url,
                granted,
                tokens,
            } => {
                let mut granted = granted.lock().await;
                let token = match granted.as_ref() {
                    Some(held) if Instant::now() < held.renew_at => held.token.clone(),
                    _ => {
                        let fresh = self.grant(http, key, secret, url).await?;
                        let token = fresh.token.clone();
                        let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
                        tokens.push(token.clone());
                        *granted = Some(fresh);
                        token
                    }
                };
                request.bearer_auth(token.expose())
            }
            Scheme::None => request,
        })
    }

    /// After a 401: forgets the OAuth token, so that the next request fetches another. `false` where there is
    /// nothing to renew.
    pub(crate) async fn renew(&self) -> bool {
        match &self.scheme {
            Scheme::Oauth { granted, .. } => {
                *granted.lock().await = None;
                true
            }
            _ => false,
        }
    }

    async fn grant(
        &self,
        http: &reqwest::Client,
        key: &Token,
        secret: &Token,
        url: &Url,
    ) -> Result<Granted> {
        let at = |error: Error| error.with("url", safe_url(url));
        let unreachable = |source: reqwest::Error| {
            at(
                Error::new(ErrorKind::Unreachable, "cannot fetch an OAuth token")
                    .source(source.without_url()),
            )
            .hint("check token_url, the network and the proxy")
        };
        let reply = http
            .post(url.clone())
            .basic_auth(key.secret.expose(), Some(secret.secret.expose()))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .map_err(unreachable)?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = reply.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            let refusal = Refusal::read(status, &headers, &body, |text| self.mask(text));
            let kind = if refusal.html || status.is_server_error() {
                ErrorKind::Unreachable
            } else {
                ErrorKind::Credentials
            };
            return Err(at(Error::new(kind, "bitbucket grants no OAuth token")
                .with("status", status.as_u16())
                .with("answer", refusal.message))
            .hint(format!(
                "check {} and {}: key and secret of an OAuth consumer marked as private",
                key.origin, secret.origin
            )));
        }
        let granted: Grant = serde_json::from_slice(&body).map_err(|source| {
            let said = self.mask(&source.to_string());
            at(Error::new(ErrorKind::Unreachable, "the OAuth reply is not a token").source(said))
                .hint("check token_url and the proxy")
        })?;
        // Renewed a little early, so that no request starts with a token that ends on its way.
        let lifetime = Duration::from_secs(granted.expires_in.unwrap_or(7200));
        let margin = (lifetime / 10).min(Duration::from_secs(300));
        Ok(Granted {
            token: Secret::new(granted.access_token),
            renew_at: Instant::now() + lifetime.saturating_sub(margin),
        })
    }
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_in: Option<u64>,
}
