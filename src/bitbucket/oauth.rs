//! OAuth 2 with a consumer's own key and secret: a token of about two hours, fetched on first use and before it ends.

use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Deserialize;

use super::options::Token;
use super::reply::Refusal;
use super::safe_url;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Masker, Secret};

pub(super) struct Consumer {
    key: Token,
    secret: Token,
    url: Url,
    granted: tokio::sync::Mutex<Option<Granted>>,
    /// Learns every token that is granted: an error page or a record may repeat one.
    masker: Masker,
}

struct Granted {
    token: Secret,
    renew_at: Instant,
}

impl Consumer {
    pub(super) fn new(key: Token, secret: Token, url: Url, masker: Masker) -> Self {
        Self {
            key,
            secret,
            url,
            granted: tokio::sync::Mutex::default(),
            masker,
        }
    }

    pub(super) fn origin(&self) -> String {
        format!("{} and {}", self.key.origin, self.secret.origin)
    }

    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret> {
        let mut granted = self.granted.lock().await;
        if let Some(held) = granted.as_ref().filter(|it| Instant::now() < it.renew_at) {
            return Ok(held.token.clone());
        }
        let fresh = self.grant(http).await?;
        let token = fresh.token.clone();
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
            let refusal = Refusal::read(status, &headers, &body, |text| {
                self.masker.mask(text).into()
            });
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
            let said = self.masker.mask(&source.to_string()).into_owned();
            at(Error::new(ErrorKind::Unreachable, "the OAuth reply is not a token").source(said))
                .hint("check token_url and the proxy")
        })?;
        self.masker.learn([granted.access_token.as_str()]);
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
