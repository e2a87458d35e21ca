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
use reqwest::{Proxy, StatusCode, Url, redirect};
use tokio::time::sleep;

use super::auth::Identity;
use super::endpoints::Endpoint;
use super::options::ClientOptions;
use super::reply::{Refusal, is_html};
use super::retry::{Limits, asked_wait, is_transient};
use super::{safe_url, same_origin};
use crate::error::{Error, ErrorKind, OrError, Result};

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

    fn name(&self) -> String {
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
        let request = shared
            .http
            .get(ask.url.clone())
            .header(ACCEPT, "application/json");
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

    /// The error of a refusal that nobody can turn into an absence.
    pub(crate) fn refused(&self, ask: &Ask<'_>, refusal: &Refusal, identity: usize) -> Error {
        let identity = self.0.identities.get(identity);
        let origin = identity.map(Identity::origin).unwrap_or_default();
        let said = identity
            .map(|i| i.mask(&refusal.message))
            .unwrap_or_default();
        let status = refusal.status;
        let error = if refusal.html {
            Error::new(
                ErrorKind::Unreachable,
                "the host answers with a web page instead of JSON",
            )
            .hint("check endpoint and proxy: this is not Bitbucket's API")
        } else {
            match status.as_u16() {
                401 => Error::new(ErrorKind::Credentials, "bitbucket does not accept the credentials")
                    .hint(format!(
                        "check {origin}: it is wrong, expired, or made without scopes; an API token needs the \
                         Atlassian account's e-mail as its user"
                    )),
                403 => forbidden(ask.endpoint, refusal),
                404 if refusal.is_wrong_path() => {
                    Error::new(ErrorKind::Api, "the host has no API at this path")
                        .hint("check endpoint: Bitbucket's is https://api.bitbucket.org/2.0/")
                }
                404 => Error::new(ErrorKind::Api, "bitbucket does not find it").hint(
                    "check the name; a private repository is hidden from credentials that may not read it",
                ),
                407 => Error::new(ErrorKind::Unreachable, "the proxy does not accept its credentials")
                    .hint("check user and password in proxy"),
                410 => {
                    let hint = refusal.announcement.clone().unwrap_or_else(|| {
                        "bitbucket has removed this: leave its entity out of the rules".to_owned()
                    });
                    Error::new(ErrorKind::Api, "bitbucket has removed this").hint(hint)
                }
                300..=399 => Error::new(ErrorKind::Unreachable, "the host redirects elsewhere")
                    .hint("check endpoint and proxy: credentials are not sent to other hosts"),
                500.. => Error::new(ErrorKind::Api, "bitbucket fails on this request")
                    .hint("run again later"),
                _ => Error::new(ErrorKind::Api, "bitbucket refuses this request")
                    .hint("please report this with the request's URL"),
            }
        };
        let error = error.with("status", status.as_u16());
        let error = if said.is_empty() {
            error
        } else {
            error.with("answer", said)
        };
        self.place(error, ask)
    }

    fn unreachable(&self, error: reqwest::Error, ask: &Ask<'_>) -> Error {
        let host = ask.url.host_str().unwrap_or("?").to_owned();
        let what = match (error.is_connect(), error.is_timeout()) {
            (_, true) => "the host does not answer in time",
            (true, _) => "cannot connect to the host",
            _ => "the connection breaks",
        };
        Error::new(ErrorKind::Unreachable, what)
            .with("host", host)
            .source(error.without_url())
            .hint("check endpoint, proxy and the network")
    }

    pub(crate) fn place(&self, error: Error, ask: &Ask<'_>) -> Error {
        let error = error.with("connection", &self.0.connection);
        let name = ask.target.name();
        let error = match (ask.target.repository.as_str(), name.as_str()) {
            (_, "") => error,
            ("", workspace) => error.with("workspace", workspace),
            (_, repository) => error.with("repository", repository),
        };
        error
            .with("entity", ask.endpoint.name)
            .with("url", safe_url(&ask.url))
    }
}

enum Failure {
    Transport(reqwest::Error),
    Final(Error),
}

fn transport(endpoint: &Url, proxy: Option<&str>, limits: &Limits) -> Result<reqwest::Client> {
    let origin = endpoint.clone();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("bitlake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .referer(false)
        .redirect(redirect::Policy::custom(move |attempt| {
            // A redirect to another host ends as a refusal that names it, instead of taking anything there.
            match same_origin(attempt.url(), &origin) && attempt.previous().len() <= 5 {
                true => attempt.follow(),
                false => attempt.stop(),
            }
        }));
    let builder = match proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(|_| {
            // The URL may hold a password, and so may the library's message.
            Error::new(ErrorKind::Configuration, "proxy is not a URL")
                .hint("write it as http://host:port or socks5://host:port")
        })?),
        // A proxy of the environment is for the world outside.
        None if is_loopback(endpoint) => builder.no_proxy(),
        None => builder,
    };
    builder
        .build()
        .or_error(ErrorKind::Internal, "cannot set up HTTPS")
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn forbidden(endpoint: &Endpoint, refusal: &Refusal) -> Error {
    let required = match refusal.required_scopes.as_slice() {
        [] => endpoint.scope.to_owned(),
        scopes => scopes.join(" and "),
    };
    let error = Error::new(ErrorKind::Api, "the credentials may not read this");
    let error = match refusal.granted_scopes.as_slice() {
        [] => error,
        granted => error.with("granted", granted.join(" ")),
    };
    error.hint(format!("create the token with scope {required}"))
}

fn quota() -> Error {
    Error::new(
        ErrorKind::Quota,
        "bitbucket still refuses requests after more than an hour of waiting",
    )
    .hint("run again later, or lower requests_per_hour if others use the same credentials")
}

fn broken(body: &[u8], error: serde_json::Error) -> Error {
    let what = match body.len() {
        0 => "the reply is empty".to_owned(),
        length => format!("the reply of {length} bytes is not the JSON expected"),
    };
    Error::new(ErrorKind::Api, what)
        .source(error)
        .hint("run again; if it stays, check endpoint and proxy")
}

fn server_date(reply: &Reply) -> Option<DateTime<Utc>> {
    let date = reply.headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
}
