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
use super::refusal::Refusal;
use super::request::{ApiTarget, EndpointRequest};
use super::retry::Limits;
use super::scopes::{MissingScope, Scopes};
use super::transport::transport;
use super::urls::safe_url;
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
        request: &EndpointRequest<'_>,
        refusal: &Refusal,
        identity: usize,
    ) -> Error {
        let origin = self.identity(identity).map(Identity::origin);
        let origin = origin.unwrap_or_default();
        let error = failures::refused(request.endpoint, refusal, &origin);
        self.locate(error, request)
    }

    /// Add the connection, repository, endpoint and URL of a request to its error.
    pub(super) fn locate(&self, error: Error, request: &EndpointRequest<'_>) -> Error {
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
