//! Error replies as Bitbucket sends them, because clients have crashed on each: text where JSON is expected, `detail` as a
//! string or an object, bodies with and without a top-level `type`.

use axum::http::response;
use serde_json::{Value, json};

/// The two services behind the API. They differ in error bodies, paging and trailing slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Core,
    Pipelines,
}

/// A complete reply, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct SandboxReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl SandboxReply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![(
                "content-type".into(),
                "application/json; charset=utf-8".into(),
            )],
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.set_header(name, value);
        self
    }

    /// Begin a response with the status and the headers.
    pub(crate) fn response_head(&self) -> response::Builder {
        let mut builder = response::Response::builder().status(self.status);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }
}

fn error(service: Service, status: u16, error: Value) -> SandboxReply {
    match service {
        Service::Core => SandboxReply::json(status, &json!({"type": "error", "error": error})),
        Service::Pipelines => SandboxReply::json(status, &json!({"error": error})),
    }
}

pub(crate) fn invalid_pagelen(service: Service) -> SandboxReply {
    error(service, 400, json!({"message": "Invalid pagelen"}))
}

pub(crate) fn invalid_page(service: Service) -> SandboxReply {
    error(service, 400, json!({"message": "Invalid page"}))
}

pub(crate) fn bad_request(detail: &str) -> SandboxReply {
    error(
        Service::Core,
        400,
        json!({"message": "Bad request", "detail": detail}),
    )
}

pub(crate) fn invalid_sort(attribute: &str) -> SandboxReply {
    error(
        Service::Pipelines,
        400,
        json!({
            "message": "Bad request",
            "detail": format!("Invalid sort attribute provided '{attribute}'"),
            "data": {"key": "rest-service.rest-service.invalid-sort-attribute", "arguments": {}},
        }),
    )
}

pub(crate) fn unauthorized(message: &str) -> SandboxReply {
    error(Service::Core, 401, json!({"message": message}))
        .header("www-authenticate", "Basic realm=\"Bitbucket.org HTTP\"")
}

pub(crate) const TOKEN_INVALID: &str =
    "Token is invalid, expired, or not supported for this endpoint.";
pub(crate) const TOKEN_EXPIRED: &str = "Access token expired.";

/// `detail` is an object here and a string in other errors.
pub(crate) fn lacks_scopes(required: &[&str], granted: &[String]) -> SandboxReply {
    error(
        Service::Core,
        403,
        json!({
            "message": "Your credentials lack one or more required privilege scopes.",
            "detail": {"required": required, "granted": granted},
        }),
    )
}

pub(crate) fn no_such_url() -> SandboxReply {
    error(
        Service::Core,
        404,
        json!({"message": "Resource not found", "detail": "There is no API hosted at this URL"}),
    )
}

pub(crate) fn not_found(service: Service) -> SandboxReply {
    match service {
        Service::Core => error(service, 404, json!({"message": "Resource not found"})),
        Service::Pipelines => error(
            service,
            404,
            json!({
                "message": "Not found",
                "detail": "The requested resource does not exist or Pipelines is not enabled",
                "data": {"key": "rest-service.rest-service.not-found", "arguments": {}},
            }),
        ),
    }
}

pub(crate) fn no_workspace(slug: &str) -> SandboxReply {
    error(
        Service::Core,
        404,
        json!({"message": format!("No workspace with identifier '{slug}'.")}),
    )
}

/// The same reply for a repository that does not exist and for a private one.
pub(crate) fn no_repository() -> SandboxReply {
    error(
        Service::Core,
        404,
        json!({
            "message": "You may not have access to this repository or it no longer exists in this workspace. \
                        If you think this repository exists and you have access, make sure you are authenticated."
        }),
    )
}

pub(crate) fn no_issue_tracker() -> SandboxReply {
    error(
        Service::Core,
        404,
        json!({"message": "Repository has no issue tracker."}),
    )
}

/// Name every hash that the repository does not contain, so that a client can repeat the request without them.
pub(crate) fn no_commits(shas: &[String]) -> SandboxReply {
    error(
        Service::Core,
        404,
        json!({"message": "Commit not found", "data": {"shas": shas}}),
    )
}

pub(crate) fn gone(change: &str) -> SandboxReply {
    error(
        Service::Core,
        410,
        json!({
            "message": format!("{change} - Functionality has been deprecated"),
            "detail": "This endpoint has been removed, see the announcement for the alternatives.",
            "data": {
                "announcement_url":
                    format!("https://developer.atlassian.com/cloud/bitbucket/changelog/#{change}")
            },
        }),
    )
}

pub(crate) const CROSS_WORKSPACE_REMOVED: &str = "CHANGE-2770";
pub(crate) const ISSUES_REMOVED: &str = "CHANGE-3071";

/// The body is text, not JSON.
pub(crate) fn rate_limited() -> SandboxReply {
    SandboxReply::text(429, "Rate limit for this resource has been exceeded")
}

/// Return the usual body of a `status`.
pub(crate) fn standard(status: u16, service: Service) -> SandboxReply {
    match status {
        400 => error(service, 400, json!({"message": "Bad request"})),
        401 => unauthorized(TOKEN_INVALID),
        403 => SandboxReply::text(403, "Forbidden"),
        404 => not_found(service),
        410 => gone(CROSS_WORKSPACE_REMOVED),
        429 => rate_limited(),
        500 => error(
            Service::Core,
            500,
            json!({"message": "Something went wrong", "id": "5f1d6c0e8a2b4c739e0f1a2b3c4d5e6f"}),
        ),
        502 => html(502, "502 Bad Gateway"),
        503 => html(503, "503 Service Temporarily Unavailable"),
        504 => html(504, "504 Gateway Time-out"),
        _ => SandboxReply::text(status, ""),
    }
}

/// The load balancer's reply when the service behind it does not answer.
fn html(status: u16, title: &str) -> SandboxReply {
    SandboxReply::text(
        status,
        &format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"),
    )
    .header("content-type", "text/html")
}
