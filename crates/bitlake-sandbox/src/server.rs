//! The handling of one request: log, count, credentials, route, endpoint, reply. Everything mutable lives here.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::http::response;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use crate::auth::AccessControl;
#[cfg(feature = "testing")]
use crate::errors::Service;
use crate::errors::{self, SandboxReply};
use crate::routes::{self, Call};
#[cfg(feature = "testing")]
use crate::testing::{self, BreakableListener, ConnectionHandle, TestingState};
use crate::workspace::Fixtures;

const MAX_BODY: usize = 1 << 20;
const TOKEN_PATH: &str = "/site/oauth2/access_token";

/// Query parameters or form fields, decoded, in order.
pub(crate) type Parameters = Vec<(String, String)>;

/// Everything that the requests share.
pub(crate) struct ServerState {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    pub access: AccessControl,
    fixtures: RwLock<Arc<Fixtures>>,
    counts: Mutex<BTreeMap<String, u64>>,
    log: Mutex<Vec<String>>,
    /// The forms of `POST …/commits`, so that the `next` of their replies can be a plain link.
    pub forms: Mutex<HashMap<String, Parameters>>,
    rate_limit: Option<u64>,
    date: Mutex<Option<DateTime<Utc>>>,
    #[cfg(feature = "testing")]
    pub testing: TestingState,
}

impl ServerState {
    pub(crate) fn new(origin: String, access: AccessControl, fixtures: Fixtures) -> Self {
        Self {
            origin,
            access,
            fixtures: RwLock::new(Arc::new(fixtures)),
            counts: Mutex::default(),
            log: Mutex::default(),
            forms: Mutex::default(),
            rate_limit: None,
            date: Mutex::default(),
            #[cfg(feature = "testing")]
            testing: TestingState::default(),
        }
    }

    /// Announce `rate_limit` and replace the clock by `date`, where they are given.
    pub(crate) fn with_headers(
        mut self,
        rate_limit: Option<u64>,
        date: Option<DateTime<Utc>>,
    ) -> Self {
        self.rate_limit = rate_limit;
        self.date = Mutex::new(date);
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn with_testing(mut self, testing: TestingState) -> Self {
        self.testing = testing;
        self
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}/2.0/", self.origin)
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    pub(crate) fn reset(&self) {
        lock(&self.counts).clear();
        lock(&self.log).clear();
    }

    pub(crate) fn set_date(&self, date: DateTime<Utc>) {
        *lock(&self.date) = Some(date);
    }

    pub(crate) fn replace_fixtures(&self, fixtures: Fixtures) {
        *self
            .fixtures
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(fixtures);
    }

    pub(crate) fn fixtures(&self) -> Arc<Fixtures> {
        Arc::clone(&self.fixtures.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, request: &ApiRequest) {
        lock(&self.log).push(request.sent.clone());
        *lock(&self.counts).entry(request.name()).or_default() += 1;
    }

    /// Answer as Bitbucket would.
    pub(crate) async fn answer(&self, request: &ApiRequest, body: Body) -> SandboxReply {
        let form = to_bytes(body, MAX_BODY).await.unwrap_or_default();
        let form = decode_form(&form);
        match &request.url {
            Some(url) => self.answer_form(request, url, &form),
            None => errors::no_such_url(),
        }
    }

    fn answer_form(
        &self,
        request: &ApiRequest,
        url: &Url,
        form: &[(String, String)],
    ) -> SandboxReply {
        let authorization = request.authorization.as_deref();
        if request.path == TOKEN_PATH && request.head.method == Method::POST {
            return self.access.issue_token(authorization, form);
        }
        let Some((route, parameters)) = &request.route else {
            return errors::no_such_url();
        };
        let caller = match self.access.caller(authorization) {
            Ok(caller) => caller,
            Err(refusal) => return refusal,
        };
        if let Some(scope) = &route.scope
            && let Err(mut refusal) = self.access.check_scope(scope)
        {
            self.access.announce(scope, &mut refusal);
            return refusal;
        }
        let fixtures = self.fixtures();
        let query = url.query_pairs().into_owned();
        let call = Call {
            state: self,
            fixtures: &fixtures,
            route,
            caller,
            parameters,
            url,
            query: query.chain(form.iter().cloned()).collect(),
            form,
            shift: request.shift,
        };
        let mut reply = match self.records(&call) {
            Ok(body) => SandboxReply::json(200, &body),
            Err(refusal) => refusal,
        };
        if let Some(scope) = &route.scope {
            self.access.announce(scope, &mut reply);
        }
        reply
    }

    fn records(&self, call: &Call) -> Result<Value, SandboxReply> {
        #[cfg(feature = "testing")]
        if let Some(synthetic) = &self.testing.synthetic {
            return synthetic.answer(call);
        }
        call.answer()
    }

    /// Set the headers that every reply carries: rate limit and date.
    #[allow(
        clippy::disallowed_methods,
        reason = "a server dates its replies by the clock"
    )]
    pub(crate) fn set_common_headers(&self, reply: &mut SandboxReply) {
        if let Some(limit) = self.rate_limit {
            reply.set_header("x-ratelimit-limit", &limit.to_string());
            reply.set_header("x-ratelimit-resource", "api-repositories");
            reply.set_header("x-ratelimit-nearlimit", "false");
        }
        let date = lock(&self.date).unwrap_or_else(Utc::now);
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        reply.set_header("date", &date);
    }
}

/// A request without its body.
pub(crate) struct ApiRequest {
    pub head: Parts,
    /// Path and query as sent.
    pub sent: String,
    pub path: String,
    /// `None` when the address cannot be parsed.
    pub url: Option<Url>,
    pub authorization: Option<String>,
    pub route: Option<(&'static routes::Route, Vec<String>)>,
    /// By how many records later pages begin early.
    pub shift: usize,
}

impl ApiRequest {
    fn new(head: Parts, origin: &str) -> Self {
        let path = head.uri.path().to_owned();
        let sent = match head.uri.path_and_query() {
            Some(path_and_query) => path_and_query.as_str().to_owned(),
            None => path.clone(),
        };
        let authorization = head.headers.get("authorization");
        let authorization = authorization.and_then(|text| Some(text.to_str().ok()?.to_owned()));
        Self {
            url: Url::parse(&format!("{origin}{sent}")).ok(),
            route: routes::find(&head.method, &path),
            authorization,
            sent,
            path,
            head,
            shift: 0,
        }
    }

    /// Return the name under which the request is counted: method and route.
    fn name(&self) -> String {
        let method = &self.head.method;
        match &self.route {
            Some((route, _)) => format!("{} {}", route.method, route.template),
            None if self.path == TOKEN_PATH => format!("{method} {TOKEN_PATH}"),
            #[cfg(feature = "testing")]
            None if testing::git_target(&self.path).is_some() => {
                format!("{method} /{{workspace}}/{{repo_slug}}.git/…")
            }
            None => format!("{method} (no such route)"),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn service(&self) -> Service {
        let route = self.route.as_ref();
        route.map_or(Service::Core, |(route, _)| route.service)
    }
}

/// Serve until the sender is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<ServerState>,
    stopped: oneshot::Receiver<()>,
) {
    let router = Router::new().fallback(respond).with_state(state);
    #[cfg(feature = "testing")]
    let (listener, router) = (
        BreakableListener(listener),
        router.into_make_service_with_connect_info::<ConnectionHandle>(),
    );
    // An error here means that accepting failed; the next client sees a refused connection.
    let _ = axum::serve(listener, router)
        .with_graceful_shutdown(async {
            let _ = stopped.await;
        })
        .await;
}

async fn respond(
    State(state): State<Arc<ServerState>>,
    #[cfg(feature = "testing")] axum::extract::ConnectInfo(connection): axum::extract::ConnectInfo<
        ConnectionHandle,
    >,
    request: Request,
) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let request = ApiRequest::new(head, &state.origin);
    state.record(&request);
    #[cfg(feature = "testing")]
    let response = testing::respond(&state, request, body, &connection).await;
    #[cfg(not(feature = "testing"))]
    let response = {
        let mut reply = state.answer(&request, body).await;
        state.set_common_headers(&mut reply);
        let head = response_head(&reply);
        head.body(Body::from(reply.body)).unwrap_or_default()
    };
    Ok(response)
}

/// Begin a response with the reply's status and headers.
pub(crate) fn response_head(reply: &SandboxReply) -> response::Builder {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder
}

fn decode_form(body: &[u8]) -> Parameters {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    Url::parse(&format!("http://form/?{}", text.trim()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// Lock a mutex even if it is poisoned: another request's handler panicked, and the counts are still good enough.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
