//! Sends requests: the one place that knows identities, budgets, retries and what a refusal means.
//!
//! ```text
//! walk/get ─▶ fetch ─▶ gate (someone sleeps off a 429?) ─▶ pace (room in this hour?) ─▶ send
//!                ▲                                                                     │
//!                └── wait ◀── connection lost, 408, 425, 5xx, 429, broken body ◀───────┤
//!                    401 with OAuth: renew once                                        ▼
//!                                                            parsed value, or a Refusal the caller judges
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, DATE, HeaderMap};
use reqwest::{StatusCode, Url};
use tokio::time::sleep;

use super::auth::Identity;
use super::endpoints::Endpoint;
use super::failures::{broken, quota};
use super::options::ClientOptions;
use super::reply::{Refusal, is_html};
use super::retry::{Limits, asked_wait, is_transient};
use super::safe_url;
use super::transport::transport;
use crate::error::{Error, ErrorKind, Result};

/// A connection to Bitbucket Cloud. Cheap to clone; clones share budget, identities and counts.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connection: String,
    endpoint: Url,
    http: reqwest::Client,
    identities: Vec<Identity>,
    turn: AtomicUsize,
    limits: Limits,
    /// Whether any reply ever arrived; until then the host is probably wrong.
    reached: std::sync::atomic::AtomicBool,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

/// Whose list: the segments that an endpoint's path is filled with.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub workspace: String,
    /// The slug; empty for lists of a workspace.
    pub repository: String,
    /// The pull request's or issue's id, the pipeline's uuid.
    pub parent: String,
}

impl Target {
    pub fn workspace(workspace: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            ..Self::default()
        }
    }

    pub fn repository(workspace: impl Into<String>, slug: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            repository: slug.into(),
            ..Self::default()
        }
    }

    /// From "workspace/slug".
    pub fn full_name(full_name: &str) -> Self {
        let (workspace, slug) = full_name.split_once('/').unwrap_or((full_name, ""));
        Self::repository(workspace, slug)
    }

    #[must_use]
    pub fn parent(&self, parent: impl ToString) -> Self {
        Self {
            parent: parent.to_string(),
            ..self.clone()
        }
    }

    pub(super) fn name(&self) -> String {
        match self.repository.as_str() {
            "" => self.workspace.clone(),
            slug => format!("{}/{slug}", self.workspace),
        }
    }
}

/// One request, with what its errors must name.
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) target: &'a Target,
    pub(crate) url: Url,
    /// Counts every attempt.
    pub(crate) requests: &'a AtomicU64,
    /// A 500 has a remedy (dropping the sort), so it is not repeated for long.
    pub(crate) remedy: bool,
    /// What does not fit into the address; with any of it, the request is a POST.
    pub(crate) form: &'a [(&'static str, String)],
}

/// What came back in the end.
pub(crate) enum Answer<T> {
    Value {
        value: T,
        date: Option<DateTime<Utc>>,
    },
    Refused {
        refusal: Refusal,
        identity: usize,
    },
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    pub fn new(options: ClientOptions) -> Result<Self> {
        let ClientOptions {
            connection,
            endpoint,
            credentials,
            proxy,
            requests_per_hour,
            limits,
        } = options;
        if let Some(warning) = credentials.warning() {
            tracing::warn!(connection = %connection, "{warning}");
        }
        let identities = Identity::all(&credentials, &endpoint, requests_per_hour);
        if identities.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "no token given")
                .with("connection", &connection)
                .hint("set token = { env = \"…\" }"));
        }
        let http = transport(&endpoint, proxy.as_deref(), &limits)
            .map_err(|error| error.with("connection", &connection))?;
        Ok(Self(Arc::new(Shared {
            connection,
            endpoint,
            http,
            identities,
            turn: AtomicUsize::new(0),
            limits,
            reached: false.into(),
            requests: Mutex::default(),
        })))
    }

    pub fn connection(&self) -> &str {
        &self.0.connection
    }

    /// Requests sent so far, retries included, by [`Endpoint::name`].
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Requests that can go out now, and the hourly limits they come from, over all identities.
    pub fn head_room(&self) -> (u32, u32) {
        let now = Instant::now();
        self.0
            .identities
            .iter()
            .fold((0u32, 0u32), |(left, limit), identity| {
                let mut pace = identity.pace();
                (
                    left.saturating_add(pace.left(now)),
                    limit.saturating_add(pace.limit()),
                )
            })
    }

    /// Whether requests go out without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.0.identities.iter().all(Identity::is_anonymous)
    }

    pub(super) fn identity(&self, turn: usize) -> Option<&Identity> {
        self.0.identities.get(turn)
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(crate) fn endpoint(&self) -> &Url {
        &self.0.endpoint
    }

    /// The URL of an endpoint without parameters. Segments are encoded here: uuids come with braces.
    pub(crate) fn url(&self, endpoint: &Endpoint, target: &Target) -> Result<Url> {
        let mut url = self.0.endpoint.clone();
        let mut segments: Vec<&str> = Vec::new();
        for segment in endpoint.path.split('/') {
            let filled = match segment {
                "{workspace}" => &target.workspace,
                "{repository}" => &target.repository,
                "{parent}" => &target.parent,
                literal => literal,
            };
            // An empty segment would reach a list that was removed, and its message would blame that.
            if filled.is_empty() && segment.starts_with('{') {
                return Err(
                    Error::new(ErrorKind::Configuration, format!("{segment} is empty"))
                        .with("connection", &self.0.connection)
                        .with("entity", endpoint.name)
                        .hint("write repositories as workspace/slug"),
                );
            }
            segments.push(filled);
        }
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty().extend(segments);
            }
            Err(()) => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "endpoint is not a URL with a path",
                )
                .with("connection", &self.0.connection));
            }
        }
        Ok(url)
    }

    /// Sends until there is a value, a refusal that stays, or no point in trying.
    pub(crate) async fn fetch<T>(
        &self,
        ask: &Ask<'_>,
        parse: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
    ) -> Result<Answer<T>> {
        let shared = &*self.0;
        let turn = shared.turn.fetch_add(1, Ordering::Relaxed) % shared.identities.len().max(1);
        let Some(identity) = shared.identities.get(turn) else {
            return Err(Error::new(ErrorKind::Internal, "no identity"));
        };
        let limits = &shared.limits;
        let mut waits = limits.waits(match shared.reached.load(Ordering::Relaxed) {
            true => limits.tries,
            false => limits.first_contact_tries,
        });
        let mut refused_waits = limits.refused_waits();
        let (mut refusals, mut failures, mut renewed) = (0, 0, false);
        let mut probe = None;
        loop {
            let gate = match probe.take() {
                Some(gate) => gate,
                None => identity.gate.lock().await,
            };
            self.keep_pace(identity).await;
            // Only the request that has just slept off a 429 keeps the others waiting for its outcome.
            let mut gate = (refusals > 0).then_some(gate);
            let sent = Instant::now();
            let reply = match self.send(identity, ask).await {
                Ok(reply) => reply,
                Err(Failure::Final(error)) => return Err(self.place(error, ask)),
                Err(Failure::Transport(error)) => match waits.next() {
                    Some(wait) => {
                        tracing::debug!(url = %safe_url(&ask.url), %error, "asking again");
                        sleep(wait).await;
                        continue;
                    }
                    None => return Err(self.place(self.unreachable(error, ask), ask)),
                },
            };
            if !shared.reached.swap(true, Ordering::Relaxed) {
                waits = limits.waits(limits.tries);
            }
            self.follow_limit(identity, &reply.headers);

            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                let mut gate = match gate.take() {
                    Some(gate) => gate,
                    None => identity.gate.lock().await,
                };
                // Another request was refused as well and has waited meanwhile: its wait was ours.
                if gate.is_some_and(|open_since| sent < open_since) {
                    continue;
                }
                refusals += 1;
                let Some(wait) = refused_waits.next() else {
                    return Err(self.place(quota(), ask));
                };
                let wait = match asked_wait(&reply.headers, Utc::now()) {
                    Some(asked) if refusals <= 3 => asked.max(Duration::from_secs(1)),
                    Some(asked) => asked.max(wait),
                    None => wait,
                };
                tracing::warn!(
                    connection = %shared.connection, seconds = wait.as_secs(),
                    "bitbucket's rate limit is reached: waiting"
                );
                sleep(wait).await;
                *gate = Some(Instant::now());
                probe = Some(gate);
                continue;
            }
            drop(gate);
            if reply.status == StatusCode::UNAUTHORIZED && !renewed && identity.renew().await {
                renewed = true;
                continue;
            }
            if reply.status.is_success() {
                if is_html(&reply.headers, &reply.body) {
                    let refusal = Refusal::read(reply.status, &reply.headers, &reply.body);
                    return Ok(Answer::Refused {
                        refusal,
                        identity: turn,
                    });
                }
                match parse(&reply.body) {
                    Ok(value) => {
                        return Ok(Answer::Value {
                            value,
                            date: server_date(&reply),
                        });
                    }
                    // Cut short on its way, most likely.
                    Err(error) => match waits.next() {
                        Some(wait) => sleep(wait).await,
                        None => return Err(self.place(broken(&reply.body, error), ask)),
                    },
                }
                continue;
            }
            failures += 1;
            let pointless = ask.remedy
                && matches!(reply.status.as_u16(), 500 | 504)
                && failures > limits.first_contact_tries;
            if is_transient(reply.status)
                && !pointless
                && let Some(wait) = waits.next()
            {
                tracing::debug!(url = %safe_url(&ask.url), status = %reply.status, "asking again");
                sleep(
                    asked_wait(&reply.headers, Utc::now())
                        .unwrap_or_default()
                        .max(wait),
                )
                .await;
                continue;
            }
            let refusal = Refusal::read(reply.status, &reply.headers, &reply.body);
            return Ok(Answer::Refused {
                refusal,
                identity: turn,
            });
        }
    }

    async fn keep_pace(&self, identity: &Identity) {
        loop {
            let taken = identity.pace().take(Instant::now());
            let Err(wait) = taken else { return };
            tracing::warn!(
                connection = %self.0.connection, seconds = wait.as_secs(),
                "this hour's requests are used up: waiting"
            );
            sleep(wait).await;
        }
    }

    async fn send(&self, identity: &Identity, ask: &Ask<'_>) -> Result<Reply, Failure> {
        let shared = &*self.0;
        let request = match ask.form {
            [] => shared.http.get(ask.url.clone()),
            form => shared.http.post(ask.url.clone()).form(form),
        };
        let request = request.header(ACCEPT, "application/json");
        let request = identity
            .authorize(&shared.http, request)
            .await
            .map_err(Failure::Final)?;
        ask.requests.fetch_add(1, Ordering::Relaxed);
        *shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(ask.endpoint.name)
            .or_default() += 1;
        let response = request.send().await.map_err(Failure::Transport)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(Failure::Transport)?.to_vec();
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    fn follow_limit(&self, identity: &Identity, headers: &HeaderMap) {
        let limit = headers
            .get("x-ratelimit-limit")
            .and_then(|value| value.to_str().ok());
        if let Some(limit) = limit.and_then(|value| value.trim().parse().ok()) {
            identity.pace().follow(limit);
        }
    }
}

enum Failure {
    Transport(reqwest::Error),
    Final(Error),
}

fn server_date(reply: &Reply) -> Option<DateTime<Utc>> {
    let date = reply.headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
}
