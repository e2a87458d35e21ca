//! OAuth 2 with a consumer's own key and secret: a token of about two hours, fetched on first use and before it ends.
//!
//! The host that grants tokens is trusted no more than the API's: its reply has a time, a size and a type, and its
//! numbers may be anything.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::options::Token;
use super::reply::{Refusal, is_html};
use super::retry::{Limits, RateLimitHeaders, is_transient};
use super::safe_url;
use super::transport::body;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Masker, Secret};

/// A reply of a few hundred bytes; what is larger is none.
const LARGEST_REPLY: usize = 1 << 20;
/// The longest that it may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait that a refusal may ask for before the request is repeated.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where the reply names no lifetime: Bitbucket's usual one.
const USUAL_LIFETIME: Duration = Duration::from_secs(7200);
/// A token is renewed at least this often.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Consumer {
    key: Token,
    secret: Token,
    url: Url,
    limits: Limits,
    granted: tokio::sync::Mutex<Option<Granted>>,
    /// Learns every token that is granted: an error page or a record may repeat one.
    masker: Masker,
}

struct Granted {
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

    pub(super) fn origin(&self) -> String {
        format!("{} and {}", self.key.origin, self.secret.origin)
    }

    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret> {
        let mut granted = self.granted.lock().await;
        if let Some(held) = granted.as_ref().filter(|it| Instant::now() < it.renew_at) {
            return Ok(held.token.clone());
        }
        let fresh = self.grant(http).await;
        let fresh = fresh.map_err(|error| error.with("url", safe_url(&self.url)))?;
        let token = fresh.token.clone();
        *granted = Some(fresh);
        Ok(token)
    }

    /// The next request fetches another token.
    pub(super) async fn renew(&self) {
        *self.granted.lock().await = None;
    }

    /// Asks until there is a token, or no point in asking again.
    async fn grant(&self, http: &reqwest::Client) -> Result<Granted> {
        let mut waits = self.limits.backoff(self.limits.first_contact_retries);
        loop {
            let asked_at = Instant::now();
            let (again, error) = match self.ask(http).await {
                Ok((status, headers, body)) if status.is_success() => {
                    return self.read(&headers, &body, asked_at);
                }
                Ok((status, headers, body)) => {
                    let refused = status == StatusCode::TOO_MANY_REQUESTS;
                    let asked = RateLimitHeaders::read(&headers, clock::now()).wait;
                    let asked = asked
                        .and_then(|wait| wait.to_std().ok())
                        .unwrap_or_default();
                    let again = (refused || is_transient(status)).then_some(asked);
                    (again, self.refused(status, &headers, &body))
                }
                Err(Failure::Transport(source)) => {
                    // What took too long once would take as long again.
                    let again = (!source.is_timeout()).then_some(Duration::ZERO);
                    (again, self.unreachable(source))
                }
                Err(Failure::Final(error)) => return Err(error),
            };
            match again.zip(waits.next()) {
                Some((asked, wait)) if asked <= LONGEST_WAIT => sleep(asked.max(wait)).await,
                _ => return Err(error),
            }
        }
    }

    async fn ask(
        &self,
        http: &reqwest::Client,
    ) -> std::result::Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let (key, secret) = (self.key.secret.expose(), self.secret.secret.expose());
        let response = http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .basic_auth(key, Some(secret))
            .form(&[("grant_type", "client_credentials")])
            .timeout(self.limits.reply_timeout.min(REPLY_TIMEOUT))
            .send()
            .await
            .map_err(Failure::Transport)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = body(response, self.limits.max_reply_bytes.min(LARGEST_REPLY));
        let body = body.await.map_err(Failure::Transport)?;
        let body = body.ok_or_else(|| Failure::Final(no_token("it is too large")))?;
        Ok((status, headers, body))
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        let what = match source.is_timeout() {
            true => "the host that grants OAuth tokens does not answer in time",
            false => "cannot fetch an OAuth token",
        };
        Error::new(ErrorKind::Unreachable, what)
            .with("host", self.url.host_str().unwrap_or("?"))
            .source(source.without_url())
            .hint("check token_url, the network and the proxy")
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let mask = |text: &str| self.masker.mask(text).into_owned();
        let refusal = Refusal::read(status, headers, body, mask);
        let elsewhere = refusal.html || status.is_redirection();
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::Quota,
            _ if elsewhere || status.is_server_error() || is_transient(status) => {
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
            _ if elsewhere => "check token_url and the proxy".to_owned(),
            _ => "run again later".to_owned(),
        })
    }

    /// A reply that says yes. `asked_at`: when the token's life may have begun.
    fn read(&self, headers: &HeaderMap, body: &[u8], asked_at: Instant) -> Result<Granted> {
        if is_html(headers, body) {
            return Err(no_token("it is a web page"));
        }
        let grant: Grant = serde_json::from_slice(body)
            .map_err(|error| no_token(&self.masker.mask(&error.to_string())))?;
        let token = grant.access_token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(no_token("its access_token cannot be one"));
        }
        self.masker.learn([token.as_str()]);
        // Renewed a little early, so that no request starts with a token that ends on its way.
        let lifetime = lifetime(&grant.expires_in);
        let margin = (lifetime / 10).min(Duration::from_secs(300));
        Ok(Granted {
            token: Secret::new(token),
            renew_at: asked_at + lifetime.saturating_sub(margin),
        })
    }
}

enum Failure {
    Transport(reqwest::Error),
    Final(Error),
}

fn no_token(why: &str) -> Error {
    Error::new(ErrorKind::Unreachable, "the OAuth reply is not a token")
        .source(why.to_owned())
        .hint("check token_url and the proxy")
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

/// How long a token is good for. What is no number of seconds is taken as the usual: should it end sooner, a 401 has
/// it renewed.
fn lifetime(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    match seconds {
        Some(seconds) if seconds >= LONGEST_LIFETIME.as_secs_f64() => LONGEST_LIFETIME,
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(USUAL_LIFETIME),
        None => USUAL_LIFETIME,
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
