//! The handling of one request with faults, the meter and git around it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use futures::{StreamExt, stream};

use super::TestingState;
use super::connection::ConnectionHandle;
use super::faults::{Endless, Fault, Interruption};
use super::{git, huge};
use crate::api::{self, ApiRequest};
use crate::call::Call;
use crate::errors::{self, SandboxReply, Service};
use crate::lock::lock;
use crate::state::ServerState;

const MAX_GIT_BODY: usize = 64 << 20;

/// Long enough for the written bytes to reach the client.
const FLUSH: Duration = Duration::from_millis(20);

/// Return the name under which a request is counted: method and route, or git.
pub(crate) fn request_name(request: &ApiRequest) -> String {
    match git::target(&request.path) {
        Some(_) => format!("{} /{{workspace}}/{{repo_slug}}.git/…", request.head.method),
        None => request.name(),
    }
}

/// Answer one request, subject to the fault that matches it.
pub(crate) async fn respond(
    state: &ServerState,
    testing: &TestingState,
    mut request: ApiRequest,
    body: Body,
    connection: &ConnectionHandle,
) -> Response {
    let fault = lock(&testing.faults).strike(&request.sent);
    let fault = fault.unwrap_or_default();
    if fault.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    request.shift = fault.shift;
    let endless = match (&request.url, fault.endless) {
        (Some(url), true) => Some(Endless::of(url)),
        _ => None,
    };
    if let Some(endless) = &endless {
        request.url = Some(endless.first.clone());
    }
    let mut reply = reply(state, testing, &request, body, &fault).await;
    state.set_common_headers(&mut reply);
    let mut reply = fault.alter(reply, &state.endpoint());
    if fault.echo {
        let headers = format!("\n{:?}", text_of(&request.head.headers));
        reply.body.extend(headers.bytes());
    }
    if let Some(endless) = endless {
        reply = endless.alter(reply);
    }
    match fault.huge {
        Some(bytes) => send_huge(&reply, bytes, fault.gzip),
        None => send(reply, fault.cut, connection),
    }
}

async fn reply(
    state: &ServerState,
    testing: &TestingState,
    request: &ApiRequest,
    body: Body,
    fault: &Fault,
) -> SandboxReply {
    let git_folder = testing.git.as_ref();
    let git_folder = git_folder.filter(|_| git::target(&request.path).is_some());
    let authorization = request.authorization.as_deref();
    // Git has a budget of its own.
    if git_folder.is_none() && !testing.meter.take(authorization) {
        return errors::rate_limited();
    }
    let route = request.route.as_ref();
    let service = route.map_or(Service::Core, |(route, _)| route.service);
    if let Some(reply) = fault.replacement(service, &state.endpoint()) {
        return reply;
    }
    if let Some(reply) = testing.known_replies.get(request) {
        return reply;
    }
    match git_folder {
        Some(folder) => {
            let body = to_bytes(body, MAX_GIT_BODY).await.unwrap_or_default();
            git::answer(state, folder, &request.head, body).await
        }
        None => {
            let records = |call: &Call| match &testing.synthetic {
                Some(synthetic) => synthetic.answer(call),
                None => call.answer(),
            };
            let reply = api::answer(state, request, body, &records).await;
            testing.known_replies.put(request, &reply);
            reply
        }
    }
}

/// The headers as text, including secret ones.
fn text_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    };
    headers.iter().map(text).collect()
}

fn send_huge(reply: &SandboxReply, bytes: u64, gzip: bool) -> Response {
    let response = match gzip {
        false => reply.response_head().body(huge::plain(bytes)),
        true => reply
            .response_head()
            .header("content-encoding", "gzip")
            .body(huge::packed(bytes)),
    };
    response.unwrap_or_default()
}

fn send(
    reply: SandboxReply,
    interruption: Option<Interruption>,
    connection: &ConnectionHandle,
) -> Response {
    let mut builder = reply.response_head();
    let mut bytes = reply.body;
    let body = match interruption {
        None => Body::from(bytes),
        Some(Interruption::Text(length)) => {
            bytes.truncate(length);
            Body::from(bytes)
        }
        Some(Interruption::Body(length)) => {
            builder = builder.header("content-length", bytes.len());
            bytes.truncate(length);
            let broken = async {
                // Without this pause, not even the head would leave the buffer.
                tokio::time::sleep(FLUSH).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            };
            Body::from_stream(stream::iter([Ok(bytes)]).chain(stream::once(broken)))
        }
        Some(Interruption::Stall(length)) => {
            builder = builder.header("content-length", bytes.len().max(length + 1));
            bytes.truncate(length);
            Body::from_stream(stream::iter([Ok::<_, io::Error>(bytes)]).chain(stream::pending()))
        }
        Some(Interruption::Connection) => {
            connection.break_off();
            Body::empty()
        }
    };
    builder.body(body).unwrap_or_default()
}
