//! The HTTP server: receive a request, record it, answer it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::api::ApiRequest;
use crate::state::ServerState;
#[cfg(feature = "testing")]
use crate::testing::{self, BreakableListener, ConnectionHandle, TestingState};
#[cfg(not(feature = "testing"))]
use crate::{api, call::Call};

/// What is served.
pub(crate) struct Server {
    pub state: ServerState,
    #[cfg(feature = "testing")]
    pub testing: TestingState,
}

/// Serve until the sender is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    stopped: oneshot::Receiver<()>,
) {
    let router = Router::new().fallback(respond).with_state(server);
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

#[cfg(feature = "testing")]
async fn respond(
    State(server): State<Arc<Server>>,
    axum::extract::ConnectInfo(connection): axum::extract::ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Result<Response, Infallible> {
    let (state, testing) = (&server.state, &server.testing);
    let (head, body) = request.into_parts();
    let request = ApiRequest::new(head, &state.origin);
    state.record(testing::request_name(&request), &request.sent);
    Ok(testing::respond(state, testing, request, body, &connection).await)
}

#[cfg(not(feature = "testing"))]
async fn respond(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, Infallible> {
    let state = &server.state;
    let (head, body) = request.into_parts();
    let request = ApiRequest::new(head, &state.origin);
    state.record(request.name(), &request.sent);
    let mut reply = api::answer(state, &request, body, &|call: &Call| call.answer()).await;
    state.set_common_headers(&mut reply);
    let head = reply.response_head();
    Ok(head.body(reply.body.into()).unwrap_or_default())
}
