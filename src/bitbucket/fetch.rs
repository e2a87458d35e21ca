//! Sending requests: the choice of an identity, retries, and the meaning of a response.
//!
//! ```text
//! list/get ─▶ fetch ─▶ acquire: identity and permit ─▶ send
//!               ▲                                       │
//!               └── delay ◀── failed connection,        │
//!                   408, 425, 5xx, truncated body ◀─────┤
//!                   429: the rate limiter delays        │
//!                   401 with OAuth: renew once          ▼
//!                              parsed value, or a refusal for the caller
//! ```

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, DATE};
use tokio::time::sleep;

use super::auth::Identity;
use super::budgets::Permit;
use super::client::Client;
use super::failures::{too_large, unparsable, unreachable};
use super::rate_limit::RateLimitHeaders;
use super::refusal::{Refusal, granted_scopes, is_html};
use super::request::{ApiAnswer, EndpointRequest, Fallback};
use super::retry::{DIFF_TIMEOUT, is_overload, is_transient};
use super::transport::{HttpReply, SendError};
use super::urls::safe_url;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// The next step after a response.
enum AfterReply<T> {
    Return(ApiAnswer<T>),
    Retry(Duration),
}

/// The retries of one request.
struct Retries {
    /// The delays that are left, one per retry.
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    /// Responses with an error status.
    failures: usize,
    has_renewed: bool,
    has_unexpected_shape: bool,
}

/// An identity that may send a request, by its number.
struct Sender<'a> {
    number: usize,
    identity: &'a Identity,
    permit: Permit,
}

impl Client {
    /// Send a request until it returns a value, a refusal that a retry cannot change, or an error.
    ///
    /// # Errors
    /// An unreachable host, a used-up quota, refused OAuth credentials, a response that is too large or cannot be parsed.
    pub(super) async fn fetch<T>(
        &self,
        request: &EndpointRequest<'_>,
        parse: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<ApiAnswer<T>> {
        let mut retries = self.retries();
        loop {
            if let Some(answer) = self.find_known_refusal(request) {
                return Ok(answer);
            }
            let sender = self.acquire(request).await?;
            let reply = match self.send(sender.identity, request).await {
                Ok(reply) => reply,
                Err(SendError::Final(error)) => return Err(self.locate(error, request)),
                Err(SendError::Transport(error)) => {
                    drop(sender.permit);
                    let delay = self.delay_after(error, request, &mut retries)?;
                    sleep(delay).await;
                    continue;
                }
            };
            if !self.0.is_reached.swap(true, Ordering::Relaxed) {
                let limits = self.limits();
                retries.delays = Box::new(limits.backoff(limits.retries));
            }
            let headers = RateLimitHeaders::read(&reply.headers, clock::now());
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                self.record_rate_limit(sender.permit, &headers).await?;
                continue;
            }
            sender.permit.record_response(&headers);
            if reply.status == StatusCode::UNAUTHORIZED
                && !retries.has_renewed
                && sender.identity.renew().await
            {
                retries.has_renewed = true;
                continue;
            }
            self.record_scopes(sender.number, &reply);
            let next = if reply.status.is_success() {
                self.read_success(&reply, sender.number, request, &parse, &mut retries)?
            } else {
                self.read_failure(&reply, sender.number, request, &headers, &mut retries)
            };
            match next {
                AfterReply::Return(answer) => return Ok(answer),
                AfterReply::Retry(delay) => sleep(delay).await,
            }
        }
    }

    fn retries(&self) -> Retries {
        let limits = self.limits();
        let retries = if self.0.is_reached.load(Ordering::Relaxed) {
            limits.retries
        } else {
            limits.first_contact_retries
        };
        Retries {
            delays: Box::new(limits.backoff(retries)),
            failures: 0,
            has_renewed: false,
            has_unexpected_shape: false,
        }
    }

    /// Return an earlier refusal when every identity is known to lack the endpoint's scope.
    fn find_known_refusal<T>(&self, request: &EndpointRequest<'_>) -> Option<ApiAnswer<T>> {
        let (scopes, scope) = (&self.0.scopes, request.endpoint.scope);
        let mut numbers = 0..self.0.identities.len();
        if numbers.any(|number| scopes.is_allowed(scope, number)) {
            return None;
        }
        let (identity, refusal) = scopes.refusal(scope)?;
        Some(ApiAnswer::Refused { refusal, identity })
    }

    /// Wait until an identity that may have the endpoint's scope may send a request.
    async fn acquire(&self, request: &EndpointRequest<'_>) -> Result<Sender<'_>> {
        let scope = request.endpoint.scope;
        let identities = self.0.identities.iter().enumerate();
        let allowed: Vec<(usize, &Identity)> = identities
            .filter(|(number, _)| self.0.scopes.is_allowed(scope, *number))
            .collect();
        let budgets: Vec<&str> = allowed.iter().map(|(_, it)| it.budget.as_str()).collect();
        let permit = self.0.budgets.acquire(&budgets, self.limits().deadline);
        let permit = permit.await.map_err(|error| self.locate(error, request))?;
        let of_budget: Vec<(usize, &Identity)> = allowed
            .into_iter()
            .filter(|(_, identity)| identity.budget == permit.identity())
            .collect();
        let rotation = self.0.rotation.fetch_add(1, Ordering::Relaxed);
        let (number, identity) = of_budget
            .get(rotation % of_budget.len().max(1))
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no identity"))?;
        Ok(Sender {
            number,
            identity,
            permit,
        })
    }

    async fn send(
        &self,
        identity: &Identity,
        request: &EndpointRequest<'_>,
    ) -> Result<HttpReply, SendError> {
        let (http, limits) = (self.http(), self.limits());
        let builder = match request.form {
            [] => http.get(request.url.clone()),
            form => http.post(request.url.clone()).form(form),
        };
        let builder = builder
            .header(ACCEPT, "application/json")
            .timeout(limits.reply_timeout);
        let builder = identity.authorize(http, builder).await;
        let builder = builder.map_err(SendError::Final)?;
        request.attempts.fetch_add(1, Ordering::Relaxed);
        self.count_request(request.endpoint);
        let response = builder.send().await.map_err(SendError::Transport)?;
        let reply = HttpReply::read(response, limits.max_reply_bytes).await?;
        reply.ok_or_else(|| SendError::Final(too_large(limits.max_reply_bytes)))
    }

    /// Return the delay before the retry of a request that has no response.
    fn delay_after(
        &self,
        error: reqwest::Error,
        request: &EndpointRequest<'_>,
        retries: &mut Retries,
    ) -> Result<Duration> {
        let Some(delay) = retries.delays.next() else {
            let host = request.url.host_str().unwrap_or("?");
            return Err(self.locate(unreachable(error, host), request));
        };
        tracing::debug!(url = %safe_url(&request.url), %error, "retrying request");
        Ok(delay)
    }

    async fn record_rate_limit(&self, permit: Permit, headers: &RateLimitHeaders) -> Result<()> {
        // Consecutive refusals are logged once.
        if permit.record_refusal(headers).await? {
            tracing::warn!(connection = %self.connection(), "bitbucket's rate limit is reached");
        }
        Ok(())
    }

    fn record_scopes(&self, identity: usize, reply: &HttpReply) {
        if !self.0.scopes.has_granted(identity) {
            let granted = granted_scopes(&reply.headers, |text| self.mask(text));
            self.0.scopes.record_granted(identity, granted);
        }
    }

    /// Parse the body of a successful response.
    fn read_success<T>(
        &self,
        reply: &HttpReply,
        identity: usize,
        request: &EndpointRequest<'_>,
        parse: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
        retries: &mut Retries,
    ) -> Result<AfterReply<T>> {
        if is_html(&reply.headers, &reply.body) {
            let refusal = self.read_refusal(reply);
            return Ok(AfterReply::Return(ApiAnswer::Refused { refusal, identity }));
        }
        let error = match parse(&reply.body) {
            Ok(value) => {
                let date = server_date(reply);
                return Ok(AfterReply::Return(ApiAnswer::Value { value, date }));
            }
            Err(error) => error,
        };
        // Invalid JSON was probably truncated. A body with another shape is requested once more, because it rarely
        // changes.
        let is_retried =
            !error.is_data() || !std::mem::replace(&mut retries.has_unexpected_shape, true);
        if is_retried && let Some(delay) = retries.delays.next() {
            return Ok(AfterReply::Retry(delay));
        }
        let reason = self.mask(&error.to_string());
        Err(self.locate(unparsable(&reply.body, reason), request))
    }

    /// Decide whether a response with an error status is retried.
    fn read_failure<T>(
        &self,
        reply: &HttpReply,
        identity: usize,
        request: &EndpointRequest<'_>,
        headers: &RateLimitHeaders,
        retries: &mut Retries,
    ) -> AfterReply<T> {
        retries.failures += 1;
        if retries.failures <= max_failures(request, reply.status)
            && let Some(delay) = retries.delays.next()
        {
            tracing::debug!(url = %safe_url(&request.url), status = %reply.status, "retrying request");
            let requested = headers.retry_after.and_then(|delay| delay.to_std().ok());
            // A longer delay than after a 429 cannot be meant.
            let longest = self.limits().rate_limit_longest_wait;
            let requested = requested.unwrap_or_default().min(longest);
            return AfterReply::Retry(requested.max(delay));
        }
        let refusal = self.read_refusal(reply);
        let scope = request.endpoint.scope;
        // After a missing scope, another identity is tried; without one the recorded refusal is returned.
        if self.0.scopes.record_refusal(scope, identity, &refusal) {
            return AfterReply::Retry(Duration::ZERO);
        }
        AfterReply::Return(ApiAnswer::Refused { refusal, identity })
    }

    fn read_refusal(&self, reply: &HttpReply) -> Refusal {
        let mask = |text: &str| self.mask(text);
        Refusal::read(reply.status, &reply.headers, &reply.body, mask)
    }

    fn mask(&self, text: &str) -> String {
        self.masker().mask(text).into_owned()
    }
}

/// Return how many responses with this status are retried.
fn max_failures(request: &EndpointRequest<'_>, status: StatusCode) -> usize {
    match request.fallback {
        Fallback::SmallerPage if is_overload(status) => request.retries_before_fallback,
        Fallback::Unsorted if status == StatusCode::INTERNAL_SERVER_ERROR => {
            request.retries_before_fallback
        }
        _ if status.as_u16() == DIFF_TIMEOUT => 1,
        _ if is_transient(status) => usize::MAX,
        _ => 0,
    }
}

fn server_date(reply: &HttpReply) -> Option<DateTime<Utc>> {
    let date = reply.headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
}
