//! OAuth 2 with a consumer's own key and secret: a token of about two hours, fetched on first use and before it ends.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Deserialize;

use super::auth::{hide, packed};
use super::options::Token;
use super::reply::Refusal;
use super::safe_url;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

pub(super) struct Consumer {
    key: Token,
    secret: Token,
    url: Url,
    granted: tokio::sync::Mutex<Option<Granted>>,
    /// All that were granted: an error page may repeat one.
    tokens: Mutex<Vec<Secret>>,
}

struct Granted {
    token: Secret,
    renew_at: Instant,
}

impl Consumer {
    pub(super) fn new(key: Token, secret: Token, url: Url) -> Self {
        Self {
            key,
            secret,
            url,
            granted: tokio::sync::Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    pub(super) fn origin(&self) -> String {
        format!("{} and {}", self.key.origin, self.secret.origin)
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        let key = self.key.secret.expose();
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = tokens.iter().map(|token| token.expose().to_owned());
        let consumer = packed(key, self.secret.secret.expose());
        consumer
            .into_iter()
            .chain([key.to_owned()])
            .chain(tokens)
            .collect()
    }

    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret> {
        let mut granted = self.granted.lock().await;
        if let Some(held) = granted.as_ref().filter(|it| Instant::now() < it.renew_at) {
            return Ok(held.token.clone());
        }
        let fresh = self.grant(http).await?;
        let token = fresh.token.clone();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(token.clone());
        *granted = Some(fresh);
        Ok(token)
    }

    /// The next request fetches another token.
    pub(super) async fn renew(&self) {
        *self.granted.lock().await = None;
    }

    async fn grant(&self, http: &reqwest::Client) -> Result<Granted> {
        let Self {
            key, secret, url, ..
        } = self;
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
            let refusal =
                Refusal::read(status, &headers, &body, |text| hide(&self.secrets(), text));
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
            let said = hide(&self.secrets(), &source.to_string());
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
