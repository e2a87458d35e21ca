//! The way of one request: log, count, fault, credentials, route, endpoint, and out. Everything mutable lives here.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use url::Url;

use super::auth::Auth;
use super::errors::{self, Reply, Service};
use super::estate::Served;
use super::faults::{Cut, Endless, Fault, Faults};
use super::meter::Meter;
use super::routes::{self, Call};
use super::workspace::World;
use super::{git, huge};

const MAX_BODY: usize = 1 << 20;
const MAX_GIT_BODY: usize = 64 << 20;

/// Long enough for what was written to reach the client.
const FLUSH: Duration = Duration::from_millis(20);

/// Query parameters or form fields, decoded, in order.
pub(super) type Parameters = Vec<(String, String)>;

pub(super) struct Shared {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    pub auth: Auth,
    world: RwLock<Arc<World>>,
    faults: Mutex<Faults>,
    counts: Mutex<BTreeMap<String, u64>>,
    log: Mutex<Vec<String>>,
    /// Forms of `POST …/commits`, so that the `next` of their answers can be a plain link.
    pub forms: Mutex<HashMap<String, Parameters>>,
    rate_limit: Option<u64>,
    pub meter: Meter,
    /// Served in the place of the world.
    pub estate: Option<Served>,
    date: Mutex<Option<DateTime<Utc>>>,
    /// Holds what is served by git.
    pub git: Option<PathBuf>,
}

impl Shared {
    pub fn new(
        origin: String,
        world: World,
        auth: Auth,
        faults: Vec<Fault>,
        rate_limit: Option<u64>,
        date: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            origin,
            auth,
            world: RwLock::new(Arc::new(world)),
            faults: Mutex::new(Faults::new(faults)),
            counts: Mutex::default(),
            log: Mutex::default(),
            forms: Mutex::default(),
            rate_limit,
            meter: Meter::default(),
            estate: None,
            date: Mutex::new(date),
            git: None,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("{}/2.0/", self.origin)
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    pub fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    pub fn reset(&self) {
        lock(&self.counts).clear();
        lock(&self.log).clear();
    }

    pub fn inject(&self, fault: Fault) {
        lock(&self.faults).push(fault);
    }

    pub fn clear_faults(&self) {
        *lock(&self.faults) = Faults::default();
    }

    pub fn set_date(&self, date: DateTime<Utc>) {
        *lock(&self.date) = Some(date);
    }

    pub fn replace(&self, world: World) {
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(world);
    }

    fn count(&self, name: String) {
        *lock(&self.counts).entry(name).or_default() += 1;
    }

    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer as Bitbucket would give it, before faults.
    fn answer(&self, request: &Received) -> Reply {
        let authorization = request.authorization.as_deref();
        if request.path == TOKEN_PATH && request.method == Method::POST {
            return self.auth.issue_token(authorization, &request.form);
        }
        let Some((route, parameters)) = &request.route else {
            return errors::no_such_url();
        };
        let caller = match self.auth.caller(authorization) {
            Ok(caller) => caller,
            Err(refusal) => return refusal,
        };
        if let Some(scope) = &route.scope
            && let Err(mut refusal) = self.auth.check_scope(scope)
        {
            self.auth.announce(scope, &mut refusal);
            return refusal;
        }
        let world = self.world();
        let call = Call {
            shared: self,
            world: &world,
            route,
            caller,
            parameters,
            url: &request.url,
            query: request
                .url
                .query_pairs()
                .into_owned()
                .chain(request.form.iter().cloned())
                .collect(),
            form: &request.form,
            shift: request.shift,
        };
        let answer = match &self.estate {
            Some(estate) => estate.answer(&call),
            None => call.answer(),
        };
        let mut reply = match answer {
            Ok(body) => Reply::json(200, &body),
            Err(refusal) => refusal,
        };
        if let Some(scope) = &route.scope {
            self.auth.announce(scope, &mut reply);
        }
        reply
    }
}

const TOKEN_PATH: &str = "/site/oauth2/access_token";

/// A request as far as the sandbox cares.
struct Received {
    method: Method,
    path: String,
    url: Url,
    authorization: Option<String>,
    form: Parameters,
    route: Option<(&'static routes::Route, Vec<String>)>,
    shift: usize,
}

/// Serves until the sender is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let service = Router::new()
        .fallback(respond)
        .with_state(shared)
        .into_make_service_with_connect_info::<Line>();
    // An error here means that accepting ended; whoever asks next sees a refused connection.
    let _ = axum::serve(Door(listener), service)
        .with_graceful_shutdown(async {
            let _ = stopped.await;
        })
        .await;
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Result<Response, Infallible> {
    let sent = request.uri().path_and_query().map_or_else(
        || request.uri().path().to_owned(),
        |path_and_query| path_and_query.as_str().to_owned(),
    );
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let route = routes::find(&head.method, &path);
    lock(&shared.log).push(sent.clone());
    shared.count(match &route {
        Some((route, _)) => format!("{} {}", route.method, route.template),
        None if path == TOKEN_PATH => format!("{} {TOKEN_PATH}", head.method),
        None if git::target(&path).is_some() => {
            format!("{} /{{workspace}}/{{repo_slug}}.git/…", head.method)
        }
        None => format!("{} (no such route)", head.method),
    });

    let service = route
        .as_ref()
        .map_or(Service::Core, |(route, _)| route.service);
    let fault = lock(&shared.faults).strike(&sent);
    if let Some(fault) = &fault
        && fault.delay_ms > 0
    {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let endpoint = shared.endpoint();
    let replacement = fault
        .as_ref()
        .and_then(|fault| fault.replacement(service, &endpoint));
    let url = Url::parse(&format!("{}{sent}", shared.origin));
    let endless = fault.as_ref().is_some_and(|fault| fault.endless);
    let endless = url.as_ref().ok().filter(|_| endless).map(Endless::of);
    let by_git = shared.git.as_ref();
    let by_git = by_git.filter(|_| git::target(&path).is_some());
    let authorization = head.headers.get("authorization");
    let authorization = authorization.and_then(|text| Some(text.to_str().ok()?.to_owned()));
    // Git has a budget of its own.
    let allowed = by_git.is_some() || shared.meter.take(authorization.as_deref());
    let mut reply = match (replacement, by_git, url) {
        _ if !allowed => errors::rate_limited(),
        (Some(reply), ..) => reply,
        (None, Some(folder), _) => {
            let body = to_bytes(body, MAX_GIT_BODY).await.unwrap_or_default();
            git::answer(&shared, folder, &head, body).await
        }
        (None, None, Err(_)) => errors::no_such_url(),
        (None, None, Ok(url)) => {
            let url = endless
                .as_ref()
                .map_or(url, |endless| endless.first.clone());
            let form = to_bytes(body, MAX_BODY).await.unwrap_or_default();
            shared.answer(&Received {
                method: head.method.clone(),
                path,
                authorization,
                form: decode_form(&form),
                url,
                route,
                shift: fault.as_ref().map_or(0, |fault| fault.shift),
            })
        }
    };
    if let Some(limit) = shared.rate_limit {
        reply.set_header("x-ratelimit-limit", &limit.to_string());
        reply.set_header("x-ratelimit-resource", "api-repositories");
        reply.set_header("x-ratelimit-nearlimit", "false");
    }
    let date = lock(&shared.date).unwrap_or_else(Utc::now);
    reply.set_header(
        "date",
        &date.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    );
    if let Some(fault) = &fault {
        reply = fault.alter(reply, &endpoint);
        if fault.echo {
            reply
                .body
                .extend(format!("\n{:?}", echoed(&head.headers)).bytes());
        }
    }
    if let Some(endless) = endless {
        reply = endless.alter(reply);
    }
    let fault = fault.unwrap_or_default();
    Ok(match fault.huge {
        Some(bytes) => send_huge(&reply, bytes, fault.gzip),
        None => send(reply, fault.cut, &line),
    })
}

/// Headers as text, the secret ones included.
fn echoed(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    };
    headers.iter().map(text).collect()
}

fn head(reply: &Reply) -> Builder {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder
}

fn send_huge(reply: &Reply, bytes: u64, gzip: bool) -> Response {
    let response = match gzip {
        false => head(reply).body(huge::plain(bytes)),
        true => head(reply)
            .header("content-encoding", "gzip")
            .body(huge::packed(bytes)),
    };
    response.unwrap_or_default()
}

fn send(reply: Reply, cut: Option<Cut>, line: &Line) -> Response {
    let mut builder = head(&reply);
    let mut bytes = reply.body;
    let body = match cut {
        None => Body::from(bytes),
        Some(Cut::Text(length)) => {
            bytes.truncate(length);
            Body::from(bytes)
        }
        Some(Cut::Body(length)) => {
            builder = builder.header("content-length", bytes.len());
            bytes.truncate(length);
            let broken = async {
                // Broken off at once, not even the head would leave the buffer.
                tokio::time::sleep(FLUSH).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            };
            Body::from_stream(stream::iter([Ok(bytes)]).chain(stream::once(broken)))
        }
        Some(Cut::Stall(length)) => {
            builder = builder.header("content-length", bytes.len().max(length + 1));
            bytes.truncate(length);
            Body::from_stream(stream::iter([Ok::<_, io::Error>(bytes)]).chain(stream::pending()))
        }
        Some(Cut::Connection) => {
            line.0.store(true, Ordering::Relaxed);
            Body::empty()
        }
    };
    builder.body(body).unwrap_or_default()
}

fn decode_form(body: &[u8]) -> Parameters {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    Url::parse(&format!("http://form/?{}", text.trim()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// A poisoned lock means that another request's handler panicked; the counts are still good enough.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener whose connections can be closed by the handler, which HTTP alone offers no way to do.
struct Door(TcpListener);

/// Raised, the connection breaks at its next write.
#[derive(Debug, Clone, Default)]
struct Line(Arc<AtomicBool>);

struct Breakable {
    stream: TcpStream,
    line: Line,
}

impl Listener for Door {
    type Io = Breakable;
    type Addr = Line;

    async fn accept(&mut self) -> (Breakable, Line) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let line = Line::default();
        let io = Breakable {
            stream,
            line: line.clone(),
        };
        (io, line)
    }

    fn local_addr(&self) -> io::Result<Line> {
        Ok(Line::default())
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.line.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
