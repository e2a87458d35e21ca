//! The client of one connection: its identities, budgets and counters, and the URLs of its endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use super::auth::Identity;
use super::budgets::{Budgets, HeadRoom};
use super::endpoints::Endpoint;
use super::failures;
use super::options::ClientOptions;
<<<<<<< HEAD
use super::refusal::Refusal;
use super::request::{ApiRequest, ApiTarget};
use super::retry::Limits;
use super::scopes::{MissingScope, Scopes};
use super::transport::transport;
use super::urls::safe_url;
=======
use super::reply::{Refusal, granted_scopes, is_html};
use super::retry::{Limits, RateLimitHeaders, TOO_LONG, is_overload, is_transient};
use super::safe_url;
use super::scopes::Scopes;
use super::transport::{body, transport};
use crate::clock;
>>>>>>> docs
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Masker;

/// A client of Bitbucket Cloud. Clones share budgets, identities and counters.
#[derive(Clone)]
pub struct Client(pub(super) Arc<ClientState>);

pub(super) struct ClientState {
    connection: String,
    endpoint: Url,
    pub(super) http: reqwest::Client,
    pub(super) identities: Vec<Identity>,
    /// Incremented by every request, so that the tokens of one budget are used in rotation.
    pub(super) rotation: AtomicUsize,
    pub(super) limits: Limits,
    pub(super) budgets: Budgets,
    pub(super) masker: Masker,
    pub(super) scopes: Scopes,
    /// Whether any response has arrived; without one the host name is probably wrong.
    pub(super) is_reached: AtomicBool,
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

impl Client {
    /// Create the client of a connection. No request is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the connection has no token, or its proxy is not a URL.
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
            let default_limit = identity.default_limit(&endpoint);
            budgets.add(&identity.budget, requests_per_hour, default_limit, &limits);
        }
        let http = transport(&endpoint, proxy.as_deref(), &limits)
            .map_err(|error| error.with("connection", &connection))?;
        Ok(Self(Arc::new(ClientState {
            connection,
            endpoint,
            http,
            identities,
            rotation: AtomicUsize::new(0),
            limits,
            budgets,
            masker,
            scopes: Scopes::default(),
            is_reached: AtomicBool::new(false),
            requests: Mutex::default(),
        })))
    }

    /// Return the name of the connection.
    #[must_use]
    pub fn connection(&self) -> &str {
        &self.0.connection
    }

    /// Return the number of requests sent, retries included, by [`Endpoint::name`].
    #[must_use]
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        let requests = self.0.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_request(&self, endpoint: &Endpoint) {
        let requests = self.0.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        *requests.entry(endpoint.name).or_default() += 1;
    }

    /// Return the head room of all identities, added up. Identities that share a budget count once.
    #[must_use]
    pub fn head_room(&self) -> HeadRoom {
        let budgets = self.0.identities.iter().map(|it| it.budget.as_str());
        let budgets: BTreeSet<&str> = budgets.collect();
        let rooms = budgets.into_iter().map(|it| self.0.budgets.head_room(it));
        rooms.fold(HeadRoom::default(), |sum, one| HeadRoom {
            left: sum.left.saturating_add(one.left),
            limit: sum.limit.saturating_add(one.limit),
        })
    }

    /// Whether requests are sent without credentials.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.identities.iter().all(Identity::is_anonymous)
    }

    /// Return the scope that the endpoint needs when the first token certainly lacks it. The scopes of the token are known
    /// from the headers of its responses.
    #[must_use]
    pub fn missing_scope(&self, endpoint: &Endpoint) -> Option<MissingScope> {
        self.0.scopes.missing(endpoint.scope, 0)
    }

    /// Whether the first token certainly has the endpoint's scope.
    #[must_use]
    pub fn has_scope(&self, endpoint: &Endpoint) -> bool {
        self.0.scopes.is_granted(endpoint.scope, 0)
    }

    /// Return the masker, which knows the secrets of all connections of the process.
    pub(crate) fn masker(&self) -> &Masker {
        &self.0.masker
    }

    pub(super) fn identity(&self, number: usize) -> Option<&Identity> {
        self.0.identities.get(number)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    /// Return the base URL of the API.
    pub(crate) fn endpoint(&self) -> &Url {
        &self.0.endpoint
    }

    /// Build the URL of an endpoint without parameters. Segments are percent-encoded, because UUIDs contain braces.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a placeholder of the path is empty.
    pub(crate) fn url(&self, endpoint: &Endpoint, target: &ApiTarget) -> Result<Url> {
        let mut url = self.0.endpoint.clone();
        let mut segments: Vec<&str> = Vec::new();
        for segment in endpoint.path.split('/') {
            let value = match segment {
                "{workspace}" => &target.workspace,
                "{repository}" => &target.repository,
                "{parent}" => &target.parent,
                literal => literal,
            };
            // With an empty segment the URL would be that of a removed endpoint, whose error is misleading.
            if value.is_empty() && segment.starts_with('{') {
                return Err(
                    Error::new(ErrorKind::Configuration, format!("{segment} is empty"))
                        .with("connection", &self.0.connection)
                        .with("entity", endpoint.name)
                        .hint("write repositories as workspace/slug"),
                );
            }
            segments.push(value);
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

    /// Return the error of a refusal that does not make the list unavailable.
    pub(super) fn refused(
        &self,
<<<<<<< HEAD
        request: &ApiRequest<'_>,
        refusal: &Refusal,
        identity: usize,
    ) -> Error {
        let origin = self.identity(identity).map(Identity::origin);
        let origin = origin.unwrap_or_default();
        let error = failures::refused(request.endpoint, refusal, &origin);
        self.locate(error, request)
=======
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
>>>>>>> docs
    }

    /// Add the connection, repository, endpoint and URL of a request to its error.
    pub(super) fn locate(&self, error: Error, request: &ApiRequest<'_>) -> Error {
        let error = error.with("connection", self.connection());
        let name = request.target.name();
        let error = match (request.target.repository.as_str(), name.as_str()) {
            (_, "") => error,
            ("", workspace) => error.with("workspace", workspace),
            (_, repository) => error.with("repository", repository),
        };
        error
            .with("entity", request.endpoint.name)
            .with("url", self.masker().mask(&safe_url(&request.url)))
    }
}
