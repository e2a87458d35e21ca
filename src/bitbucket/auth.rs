//! One identity towards Bitbucket: its `Authorization` header, its share of the hour, and the gate at which all its
//! requests wait while Bitbucket refuses them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::options::{Credentials, Token};
use super::pace::Pace;
use super::reply::Refusal;
use super::safe_url;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Anonymous requests to Bitbucket itself get this many an hour, per address.
const ANONYMOUS_PER_HOUR: u32 = 60;
const USUAL_PER_HOUR: u32 = 1000;

pub(crate) struct Identity {
    scheme: Scheme,
    pace: Mutex<Pace>,
    /// Held by the one request that sleeps off a 429; says since when requests are let through again.
    pub(crate) gate: tokio::sync::Mutex<Option<Instant>>,
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
    },
    None,
}

#[derive(Clone)]
struct Granted {
    token: Secret,
    renew_at: Instant,
}

impl Identity {
    /// One identity per token.
    pub(crate) fn all(
        credentials: &Credentials,
        endpoint: &Url,
        per_hour: Option<u32>,
    ) -> Vec<Self> {
        let bitbucket = endpoint
            .host_str()
            .is_some_and(|host| host.ends_with("bitbucket.org"));
        let one = |scheme: Scheme| {
            let usual = match scheme {
                Scheme::None if bitbucket => ANONYMOUS_PER_HOUR,
                _ => USUAL_PER_HOUR,
            };
            Self {
                scheme,
                pace: Mutex::new(Pace::new(per_hour, usual)),
                gate: Default::default(),
            }
        };
        match credentials.clone() {
            Credentials::ApiToken { email, tokens } => tokens
                .into_iter()
                .map(|password| {
                    one(Scheme::Basic {
                        user: email.clone(),
                        password,
                    })
                })
                .collect(),
            Credentials::AccessToken { tokens } => tokens
                .into_iter()
                .map(|token| one(Scheme::Bearer(token)))
                .collect(),
            Credentials::OauthClient {
                key,
                secret,
                token_url,
            } => {
                let granted = tokio::sync::Mutex::new(None);
                vec![one(Scheme::Oauth {
                    key,
                    secret,
                    url: token_url,
                    granted,
                })]
            }
            Credentials::AppPassword { username, password } => {
                vec![one(Scheme::Basic {
                    user: username,
                    password,
                })]
            }
            Credentials::None => vec![one(Scheme::None)],
        }
    }

    pub(crate) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
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
        let secrets: Vec<&Secret> = match &self.scheme {
            Scheme::Basic { password, .. } => vec![&password.secret],
            Scheme::Bearer(token) => vec![&token.secret],
            Scheme::Oauth { key, secret, .. } => vec![&key.secret, &secret.secret],
            Scheme::None => Vec::new(),
        };
        secrets
            .into_iter()
            .map(Secret::expose)
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
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
            Scheme::Oauth { .. } => match self.password(http).await? {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            },
            Scheme::None => request,
        })
    }

    /// What stands in for a password, also towards git: the token. That of OAuth is fetched on first use and before it
    /// runs out.
    pub(super) async fn password(&self, http: &reqwest::Client) -> Result<Option<Secret>> {
        Ok(match &self.scheme {
            Scheme::Basic { password, .. } => Some(password.secret.clone()),
            Scheme::Bearer(token) => Some(token.secret.clone()),
            Scheme::Oauth {
                key,
                secret,
                url,
                granted,
            } => {
                let mut granted = granted.lock().await;
                Some(match granted.as_ref() {
                    Some(held) if Instant::now() < held.renew_at => held.token.clone(),
                    _ => {
                        let fresh = grant(http, key, secret, url).await?;
                        let token = fresh.token.clone();
                        *granted = Some(fresh);
                        token
                    }
                })
            }
            Scheme::None => None,
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
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_in: Option<u64>,
}

async fn grant(http: &reqwest::Client, key: &Token, secret: &Token, url: &Url) -> Result<Granted> {
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
        let refusal = Refusal::read(status, &headers, &body);
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
        at(Error::new(ErrorKind::Unreachable, "the OAuth reply is not a token").source(source))
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
