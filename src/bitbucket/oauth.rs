//! OAuth 2 client credentials: a token with a lifetime of about two hours, fetched before its first use and again before
//! it expires.
//!
//! The token endpoint is as untrusted as the API: its response has a timeout, a maximum size and a type, and its numbers
//! may be out of range.

use std::time::{Duration, Instant};

use reqwest::header::ACCEPT;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::network;
use super::options::Token;
use super::rate_limit::RateLimitHeaders;
use super::refusal::{Refusal, is_html};
use super::retry::{Limits, is_transient};
use super::transport::{HttpReply, SendError};
use super::urls::safe_url;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Masker, Secret};

/// The maximum size of a response in bytes; a valid one has a few hundred.
const MAX_REPLY_BYTES: usize = 1 << 20;
/// Time for one whole response.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is followed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The lifetime of a token whose response has none; the usual lifetime of Bitbucket's tokens.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(7200);
/// The longest lifetime after which a token is renewed.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The longest time before its end at which a token is renewed.
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// An OAuth consumer and its current token.
pub(super) struct Consumer {
    key: Token,
    secret: Token,
    url: Url,
    limits: Limits,
    granted: tokio::sync::Mutex<Option<GrantedToken>>,
    /// Learns every granted token, because an error page or a record may repeat it.
    masker: Masker,
}

struct GrantedToken {
    token: Secret,
    renew_at: Instant,
}

impl Consumer {
    pub(super) fn new(
        key: Token,
        secret: Token,
        url: Url,
        limits: &Limits,
        masker: &Masker,
    ) -> Self {
        Self {
            key,
            secret,
            url,
            limits: limits.clone(),
            granted: tokio::sync::Mutex::default(),
            masker: masker.clone(),
        }
    }

    /// Return where key and secret come from.
    pub(super) fn origin(&self) -> String {
        format!("{} and {}", self.key.origin, self.secret.origin)
    }

    /// Return the current token, or fetch one.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] for refused credentials, [`ErrorKind::Unreachable`] for an unreachable host or an
    /// unusable response, [`ErrorKind::Quota`] for a rate limit.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret> {
        let mut granted = self.granted.lock().await;
        if let Some(current) = granted.as_ref().filter(|it| Instant::now() < it.renew_at) {
            return Ok(current.token.clone());
        }
        let renewed = self.fetch_token(http).await;
        let renewed = renewed.map_err(|error| error.with("url", safe_url(&self.url)))?;
        let token = renewed.token.clone();
        *granted = Some(renewed);
        Ok(token)
    }

    /// Discard the current token.
    pub(super) async fn renew(&self) {
        *self.granted.lock().await = None;
    }

    /// Request a token until one is granted or a retry cannot succeed.
    async fn fetch_token(&self, http: &reqwest::Client) -> Result<GrantedToken> {
        let mut delays = self.limits.backoff(self.limits.first_contact_retries);
        loop {
            let requested_at = Instant::now();
            let (min_delay, error) = match self.send(http).await {
                Ok(reply) if reply.status.is_success() => {
                    return self.parse_grant(&reply, requested_at);
                }
                Ok(reply) => (retry_after(&reply), self.refused(&reply)),
                Err(SendError::Transport(source)) => {
                    // A retry after a timeout would most likely time out again.
                    let min_delay = (!source.is_timeout()).then_some(Duration::ZERO);
                    (min_delay, self.unreachable(source))
                }
                Err(SendError::Final(error)) => return Err(error),
            };
            match min_delay.zip(delays.next()) {
                Some((min, delay)) if min <= MAX_RETRY_AFTER => sleep(min.max(delay)).await,
                _ => return Err(error),
            }
        }
    }

    async fn send(&self, http: &reqwest::Client) -> Result<HttpReply, SendError> {
        let (key, secret) = (self.key.secret.expose(), self.secret.secret.expose());
        let response = http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .basic_auth(key, Some(secret))
            .form(&[("grant_type", "client_credentials")])
            .timeout(self.limits.reply_timeout.min(REPLY_TIMEOUT))
            .send()
            .await
            .map_err(SendError::Transport)?;
        let max_bytes = self.limits.max_reply_bytes.min(MAX_REPLY_BYTES);
        let reply = HttpReply::read(response, max_bytes).await?;
        reply.ok_or_else(|| SendError::Final(not_a_token("it is too large")))
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        let message = if source.is_timeout() {
            "the host that grants OAuth tokens does not answer in time"
        } else {
            "cannot fetch an OAuth token"
        };
        let failure = network::classify(&source);
        let error = Error::new(ErrorKind::Unreachable, message)
            .with("host", self.url.host_str().unwrap_or("?"))
            .source(source.without_url())
            .hint("check token_url, the network and the proxy");
        match failure {
            Some(failure) => error.with_network_failure(failure),
            None => error,
        }
    }

    fn refused(&self, reply: &HttpReply) -> Error {
        let mask = |text: &str| self.masker.mask(text).into_owned();
        let status = reply.status;
        let refusal = Refusal::read(status, &reply.headers, &reply.body, mask);
        let is_other_host = refusal.is_html || status.is_redirection();
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::Quota,
            _ if is_other_host || status.is_server_error() || is_transient(status) => {
                ErrorKind::Unreachable
            }
            _ => ErrorKind::Credentials,
        };
        let error = Error::new(kind, "bitbucket grants no OAuth token")
            .with_status(status)
            .with("answer", refusal.message);
        error.hint(match kind {
            ErrorKind::Credentials => format!(
                "check {} and {}: key and secret of an OAuth consumer marked as private",
                self.key.origin, self.secret.origin
            ),
            _ if is_other_host => "check token_url and the proxy".to_owned(),
            _ => "run again later".to_owned(),
        })
    }

    /// Parse a successful response. `requested_at`: the earliest time at which the token's lifetime began.
    fn parse_grant(&self, reply: &HttpReply, requested_at: Instant) -> Result<GrantedToken> {
        if is_html(&reply.headers, &reply.body) {
            return Err(not_a_token("it is a web page"));
        }
        let grant: Grant = serde_json::from_slice(&reply.body)
            .map_err(|error| not_a_token(&self.masker.mask(&error.to_string())))?;
        let token = grant.access_token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(not_a_token("its access_token cannot be one"));
        }
        self.masker.learn([token.as_str()]);
        // Early enough that a token does not expire while a request is in flight.
        let lifetime = lifetime(&grant.expires_in);
        let margin = (lifetime / 10).min(MAX_MARGIN);
        Ok(GrantedToken {
            token: Secret::new(token),
            renew_at: requested_at + lifetime.saturating_sub(margin),
        })
    }
}

/// Return the delay before a retry; `None` when a retry cannot succeed.
fn retry_after(reply: &HttpReply) -> Option<Duration> {
    let is_rate_limited = reply.status == StatusCode::TOO_MANY_REQUESTS;
    if !is_rate_limited && !is_transient(reply.status) {
        return None;
    }
    let delay = RateLimitHeaders::read(&reply.headers, clock::now()).retry_after;
    Some(
        delay
            .and_then(|delay| delay.to_std().ok())
            .unwrap_or_default(),
    )
}

/// Return the error of a successful response without a usable token.
fn not_a_token(reason: &str) -> Error {
    Error::new(ErrorKind::Unreachable, "the OAuth reply is not a token")
        .source(reason.to_owned())
        .hint("check token_url and the proxy")
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

/// Return the lifetime of a token. A value that is not a number of seconds counts as [`DEFAULT_LIFETIME`]; a token that
/// expires earlier is renewed after the 401.
fn lifetime(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    match seconds {
        Some(seconds) if seconds >= MAX_LIFETIME.as_secs_f64() => MAX_LIFETIME,
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(DEFAULT_LIFETIME),
        None => DEFAULT_LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lifetime_is_a_number_of_seconds_or_the_usual_one() {
        let seconds = |value: Value| lifetime(&value).as_secs();
        assert_eq!(seconds(json!(3600)), 3600);
        assert_eq!(seconds(json!("3600")), 3600);
        assert_eq!(seconds(json!(0)), 0);
        for huge in [json!(u64::MAX), json!(1e300), json!("1e400")] {
            assert_eq!(seconds(huge), 24 * 3600);
        }
        for odd in [
            json!(null),
            json!(-1),
            json!("soon"),
            json!("NaN"),
            json!([1]),
            json!({}),
        ] {
            assert_eq!(seconds(odd), 7200);
        }
    }
}
