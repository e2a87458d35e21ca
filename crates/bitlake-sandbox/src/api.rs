//! The API: credentials, scope, route, handler, reply.

use axum::body::{Body, to_bytes};
use axum::http::Method;
use axum::http::request::Parts;
use serde_json::Value;
use url::Url;

use crate::call::{Call, Route};
use crate::errors::{self, SandboxReply};
use crate::routes;
use crate::state::{Parameters, ServerState};

const MAX_BODY: usize = 1 << 20;
const TOKEN_PATH: &str = "/site/oauth2/access_token";

/// A request without its body.
pub(crate) struct ApiRequest {
    pub head: Parts,
    /// Path and query as sent.
    pub sent: String,
    pub path: String,
    /// `None` when the address cannot be parsed.
    pub url: Option<Url>,
    pub authorization: Option<String>,
    pub route: Option<(&'static Route, Vec<String>)>,
    /// By how many records later pages begin early.
    pub shift: usize,
}

impl ApiRequest {
    pub(crate) fn new(head: Parts, origin: &str) -> Self {
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
    pub(crate) fn name(&self) -> String {
        let method = &self.head.method;
        match &self.route {
            Some((route, _)) => format!("{} {}", route.method, route.template),
            None if self.path == TOKEN_PATH => format!("{method} {TOKEN_PATH}"),
            None => format!("{method} (no such route)"),
        }
    }
}

/// Answer as Bitbucket would; `handle` returns the records of an accepted request.
pub(crate) async fn answer(
    state: &ServerState,
    request: &ApiRequest,
    body: Body,
    handle: &(dyn Fn(&Call) -> Result<Value, SandboxReply> + Sync),
) -> SandboxReply {
    let form = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let form = decode_form(&form);
    let Some(url) = &request.url else {
        return errors::no_such_url();
    };
    let authorization = request.authorization.as_deref();
    if request.path == TOKEN_PATH && request.head.method == Method::POST {
        return state.access.issue_token(authorization, &form);
    }
    let Some((route, parameters)) = &request.route else {
        return errors::no_such_url();
    };
    let caller = match state.access.caller(authorization) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    if let Some(scope) = &route.scope
        && let Err(mut refusal) = state.access.check_scope(scope)
    {
        state.access.announce(scope, &mut refusal);
        return refusal;
    }
    let fixtures = state.fixtures();
    let query = url.query_pairs().into_owned();
    let call = Call {
        state,
        fixtures: &fixtures,
        route,
        caller,
        parameters,
        url,
        query: query.chain(form.iter().cloned()).collect(),
        form: &form,
        shift: request.shift,
    };
    let mut reply = match handle(&call) {
        Ok(body) => SandboxReply::json(200, &body),
        Err(refusal) => refusal,
    };
    if let Some(scope) = &route.scope {
        state.access.announce(scope, &mut reply);
    }
    reply
}

fn decode_form(body: &[u8]) -> Parameters {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    Url::parse(&format!("http://form/?{}", text.trim()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}
