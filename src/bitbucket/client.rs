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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, DATE, HeaderMap};
use reqwest::{StatusCode, Url};
use tokio::time::sleep;

use super::auth::Identity;
use super::budgets::Budgets;
use super::endpoints::Endpoint;
use super::failures::{broken, too_large};
use super::options::ClientOptions;
use super::reply::{Refusal, is_html};
use super::retry::{Limits, Said, TOO_LONG, is_overload, is_transient};
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
    /// Whose turn it is among the tokens of one budget.
    turn: AtomicUsize,
    limits: Limits,
    budgets: Budgets,
    /// Refusals that name a scope, by identity and the scope that was needed: the next list that needs it is answered
    /// with them.
    lacking: Mutex<BTreeMap<(usize, &'static str), Refusal>>,
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
    pub(crate) remedy: Remedy,
    /// Repetitions before the remedy.
    pub(crate) patience: usize,
    /// What does not fit into the address; with any of it, the request is a POST.
    pub(crate) form: &'a [(&'static str, String)],
}

/// What the caller can ask instead when the server cannot do what was asked, so that it is not repeated for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    None,
    /// A smaller page.
    Smaller,
    /// The list without its sort: dear, so only for a 500, which comes again for certain.
    Unsorted,
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
            connection_id,
            endpoint,
            credentials,
            proxy,
            requests_per_hour,
            limits,
            budgets,
        } = options;
        if let Some(warning) = credentials.warning() {
            tracing::warn!(connection = %connection, "{warning}");
        }
        let identities = Identity::all(&credentials, connection_id);
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
            lacking: Mutex::default(),
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
        let budgets = self.0.identities.iter().map(|it| it.budget.as_str());
        let budgets: BTreeSet<&str> = budgets.collect();
        let rooms = budgets.into_iter().map(|it| self.0.budgets.head_room(it));
        rooms.fold((0, 0), |(left, limit), (more_left, more)| {
            (left.saturating_add(more_left), limit.saturating_add(more))
        })
    }

    /// Whether requests go out without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.0.identities.iter().all(Identity::is_anonymous)
    }

    pub(super) fn identity(&self, turn: usize) -> Option<&Identity> {
        self.0.identities.get(turn)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
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
        let limits = &shared.limits;
        let mut waits = limits.waits(match shared.reached.load(Ordering::Relaxed) {
            true => limits.tries,
            false => limits.first_contact_tries,
        });
        let (mut failures, mut renewed) = (0, false);
        let budgets: Vec<&str> = shared
            .identities
            .iter()
            .map(|it| it.budget.as_str())
            .collect();
        loop {
            let permit = shared.budgets.acquire(&budgets, limits.deadline).await;
            let permit = permit.map_err(|error| self.place(error, ask))?;
            let Some((turn, identity)) = self.next_of(permit.identity()) else {
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
                waits = limits.waits(limits.tries);
            }
            let said = Said::read(&reply.headers, Utc::now());
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                tracing::warn!(connection = %shared.connection, "bitbucket's rate limit is reached");
                permit.refused(&said).await?;
                continue;
            }
            permit.answered(&said);
            if reply.status == StatusCode::UNAUTHORIZED && !renewed && identity.renew().await {
                renewed = true;
                continue;
            }
            let refusal = || {
                let mask = |text: &str| identity.mask(text);
                Refusal::read(reply.status, &reply.headers, &reply.body, mask)
            };
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
                                let said = identity.mask(&error.to_string());
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
                sleep(asked.min(limits.refused_longest_wait).max(wait)).await;
                continue;
            }
            let refusal = refusal();
            if !self.lacks(turn, ask.endpoint.scope, &refusal) {
                return Ok(Answer::Refused {
                    refusal,
                    identity: turn,
                });
            }
        }
    }

    /// The identities that are not known to lack the scope.
    fn able(&self, scope: &'static str) -> Vec<(usize, &Identity)> {
        let lacking = self
            .0
            .lacking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let identities = self.0.identities.iter().enumerate();
        identities
            .filter(|(turn, _)| !lacking.contains_key(&(*turn, scope)))
            .collect()
    }

    /// What Bitbucket said when it was asked with the first identity, if all lack the scope.
    fn lacked(&self, able: &[(usize, &Identity)], scope: &'static str) -> Option<Refusal> {
        let lacking = self
            .0
            .lacking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lacking
            .get(&(0, scope))
            .filter(|_| able.is_empty())
            .cloned()
    }

    /// Remembers a refusal that names a scope; whether another identity may have it.
    fn lacks(&self, identity: usize, scope: &'static str, refusal: &Refusal) -> bool {
        if refusal.status != StatusCode::FORBIDDEN || refusal.required_scopes.is_empty() {
            return false;
        }
        let mut lacking = self
            .0
            .lacking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lacking.insert((identity, scope), refusal.clone());
        (0..self.0.identities.len()).any(|other| !lacking.contains_key(&(other, scope)))
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
        let mut response = request.send().await.map_err(Failure::Transport)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // Piece by piece: unpacked, a small reply may be larger than the memory.
        while let Some(piece) = response.chunk().await.map_err(Failure::Transport)? {
            if body.len() + piece.len() > shared.limits.largest_reply {
                return Err(Failure::Final(too_large(shared.limits.largest_reply)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply {
            status,
            headers,
            body,
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
