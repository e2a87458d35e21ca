//! Sends requests: the one place that knows identities, budgets, retries and what a refusal means.
//!
//! ```text
//! walk/get ─▶ fetch ─▶ budgets (whose turn is it, and when?) ─▶ send
//!                ▲                                               │
//!                └── wait ◀── lost, 408, 425, 5xx, broken body ◀─┤
//!                    429: at the budgets                         │
//!                    401 with OAuth: renew once                  ▼
//!                                      parsed value, or a Refusal the caller judges
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, DATE, HeaderMap};
use reqwest::{StatusCode, Url};
use tokio::time::sleep;

use super::ask::{Answer, ApiTarget, Ask, Remedy};
use super::auth::Identity;
use super::budgets::{Budgets, HeadRoom};
use super::endpoints::Endpoint;
use super::failures::{broken, too_large};
use super::options::ClientOptions;
use super::reply::{Refusal, granted_scopes, is_html};
use super::retry::{Limits, RateLimitHeaders, TOO_LONG, is_overload, is_transient};
use super::safe_url;
use super::scopes::Scopes;
use super::transport::{body, transport};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Masker;

/// A connection to Bitbucket Cloud. Cheap to clone; clones share budget, identities and counts.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connection: String,
    endpoint: Url,
    http: reqwest::Client,
    identities: Vec<Identity>,
    /// Whose turn it is among the tokens of one budget.
    turn: AtomicUsize,
    limits: Limits,
    budgets: Budgets,
    masker: Masker,
    scopes: Scopes,
    /// Whether any reply ever arrived; until then the host is probably wrong.
    reached: std::sync::atomic::AtomicBool,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    pub fn new(options: ClientOptions) -> Result<Self> {
        let secrets = options.secrets();
        let ClientOptions {
            connection,
            connection_id,
            endpoint,
            credentials,
            proxy,
            requests_per_hour,
            limits,
            budgets,
            masker,
        } = options;
        masker.learn(secrets.iter().map(String::as_str));
        if let Some(warning) = credentials.warning() {
            tracing::warn!(connection = %connection, "{warning}");
        }
        let identities = Identity::all(&credentials, connection_id, &limits, &masker);
        if identities.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "no token given")
                .with("connection", &connection)
                .hint("set token = { env = \"…\" }"));
        }
        for identity in &identities {
            let usual = identity.usual_per_hour(&endpoint);
            budgets.open(&identity.budget, requests_per_hour, usual, &limits);
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
            budgets,
            masker,
            scopes: Scopes::default(),
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

    /// Return the head room of all identities, added up. Identities that share a budget count once.
    pub fn head_room(&self) -> HeadRoom {
        let budgets = self.0.identities.iter().map(|it| it.budget.as_str());
        let budgets: BTreeSet<&str> = budgets.collect();
        let rooms = budgets.into_iter().map(|it| self.0.budgets.head_room(it));
        rooms.fold(HeadRoom::default(), |sum, one| HeadRoom {
            left: sum.left.saturating_add(one.left),
            limit: sum.limit.saturating_add(one.limit),
        })
    }

    /// Whether requests go out without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.0.identities.iter().all(Identity::is_anonymous)
    }

    /// Knows the secrets of all connections of the process.
    pub(crate) fn masker(&self) -> &Masker {
        &self.0.masker
    }

    /// A scope that this list needs and the first token certainly lacks, as its replies' headers say, in the words of
    /// its own scopes; and these.
    pub fn missing_scope(&self, endpoint: &Endpoint) -> Option<(String, Vec<String>)> {
        self.0.scopes.missing(endpoint.scope, 0)
    }

    /// Whether the first token has the list's scope, as its replies' headers say.
    pub fn has_scope(&self, endpoint: &Endpoint) -> bool {
        self.0.scopes.grants(endpoint.scope, 0)
    }

    pub(super) fn identity(&self, turn: usize) -> Option<&Identity> {
        self.0.identities.get(turn)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(crate) fn endpoint(&self) -> &Url {
        &self.0.endpoint
    }

    /// The URL of an endpoint without parameters. Segments are encoded here: uuids come with braces.
    pub(crate) fn url(&self, endpoint: &Endpoint, target: &ApiTarget) -> Result<Url> {
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
        let limits = &shared.limits;
        let mut waits = limits.backoff(match shared.reached.load(Ordering::Relaxed) {
            true => limits.retries,
            false => limits.first_contact_retries,
        });
        let (mut failures, mut renewed, mut misshapen) = (0, false, false);
        loop {
            let scope = ask.endpoint.scope;
            let identities = shared.identities.iter().enumerate();
            let able = identities.filter(|(turn, _)| shared.scopes.allow(scope, *turn));
            let able: Vec<_> = able.collect();
            if able.is_empty()
                && let Some((identity, refusal)) = shared.scopes.refusal(scope)
            {
                return Ok(Answer::Refused { refusal, identity });
            }
            let budgets: Vec<&str> = able.iter().map(|(_, it)| it.budget.as_str()).collect();
            let permit = shared.budgets.acquire(&budgets, limits.deadline).await;
            let permit = permit.map_err(|error| self.place(error, ask))?;
            let of_budget = able.iter().filter(|(_, it)| it.budget == permit.identity());
            let of_budget: Vec<_> = of_budget.copied().collect();
            let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
            let Some((turn, identity)) = of_budget.get(turn % of_budget.len().max(1)).copied()
            else {
                return Err(Error::new(ErrorKind::Internal, "no identity"));
            };
            let reply = match self.send(identity, ask).await {
                Ok(reply) => reply,
                Err(Failure::Final(error)) => return Err(self.place(error, ask)),
                Err(Failure::Transport(error)) => match waits.next() {
                    Some(wait) => {
                        drop(permit);
                        tracing::debug!(url = %safe_url(&ask.url), %error, "asking again");
                        sleep(wait).await;
                        continue;
                    }
                    None => return Err(self.place(self.unreachable(error, ask), ask)),
                },
            };
            if !shared.reached.swap(true, Ordering::Relaxed) {
                waits = limits.backoff(limits.retries);
            }
            let said = RateLimitHeaders::read(&reply.headers, clock::now());
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                // Of those in a row, one is news.
                if permit.refused(&said).await? {
                    tracing::warn!(connection = %shared.connection, "bitbucket's rate limit is reached");
                }
                continue;
            }
            permit.answered(&said);
            if reply.status == StatusCode::UNAUTHORIZED && !renewed && identity.renew().await {
                renewed = true;
                continue;
            }
            let mask = |text: &str| shared.masker.mask(text).into_owned();
            if !shared.scopes.knows(turn) {
                let granted = granted_scopes(&reply.headers, mask);
                shared.scopes.hear(turn, granted);
            }
            let refusal = || Refusal::read(reply.status, &reply.headers, &reply.body, mask);
            if reply.status.is_success() {
                if is_html(&reply.headers, &reply.body) {
                    return Ok(Answer::Refused {
                        refusal: refusal(),
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
                    Err(error) => {
                        // Cut short on its way, most likely; what has another shape will have it again.
                        let again = !error.is_data() || !std::mem::replace(&mut misshapen, true);
                        match waits.next().filter(|_| again) {
                            Some(wait) => sleep(wait).await,
                            None => {
                                let said = mask(&error.to_string());
                                return Err(self.place(broken(&reply.body, said), ask));
                            }
                        }
                    }
                }
                continue;
            }
            failures += 1;
            let enough = match (ask.remedy, reply.status.as_u16()) {
                (Remedy::Smaller, _) if is_overload(reply.status) => ask.patience,
                (Remedy::Unsorted, 500) => ask.patience,
                (_, TOO_LONG) => 1,
                _ if is_transient(reply.status) => usize::MAX,
                _ => 0,
            };
            if failures <= enough
                && let Some(wait) = waits.next()
            {
                tracing::debug!(url = %safe_url(&ask.url), status = %reply.status, "asking again");
                // Whoever names more than a 429 could mean is wrong.
                let asked = said
                    .wait
                    .and_then(|asked| asked.to_std().ok())
                    .unwrap_or_default();
                sleep(asked.min(limits.rate_limit_longest_wait).max(wait)).await;
                continue;
            }
            let refusal = refusal();
            // Another identity may have the scope; if none has, the next round says so.
            if !shared.scopes.lacks(scope, turn, &refusal) {
                return Ok(Answer::Refused {
                    refusal,
                    identity: turn,
                });
            }
        }
    }

    async fn send(&self, identity: &Identity, ask: &Ask<'_>) -> Result<Reply, Failure> {
        let shared = &*self.0;
        let request = match ask.form {
            [] => shared.http.get(ask.url.clone()),
            form => shared.http.post(ask.url.clone()).form(form),
        };
        let request = request
            .header(ACCEPT, "application/json")
            .timeout(shared.limits.reply_timeout);
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
        let most = shared.limits.max_reply_bytes;
        let body = body(response, most).await.map_err(Failure::Transport)?;
        Ok(Reply {
            status,
            headers,
            body: body.ok_or_else(|| Failure::Final(too_large(most)))?,
        })
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
