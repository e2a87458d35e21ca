//! The errors of refusals and failed connections: what failed, why, and what to do. The client adds the place.

use reqwest::StatusCode;

use super::endpoints::Endpoint;
use super::network;
use super::refusal::Refusal;
use super::server_messages::ServerMessage;
use crate::error::{Error, ErrorKind};

/// Return the error of a refusal that does not make the list unavailable. `origin`: where the credentials come from.
pub(super) fn refused(endpoint: &Endpoint, refusal: &Refusal, origin: &str) -> Error {
    let error = if refusal.is_html {
        Error::new(
            ErrorKind::Unreachable,
            "the host answers with a web page instead of JSON",
        )
        .hint("check endpoint and proxy: this is not Bitbucket's API")
    } else {
        refused_by_status(endpoint, refusal, origin)
    };
    let error = error.with_status(refusal.status);
    match refusal.message.as_str() {
        "" => error,
        message => error.with("answer", message),
    }
}

fn refused_by_status(endpoint: &Endpoint, refusal: &Refusal, origin: &str) -> Error {
    let api = |message: &str| Error::new(ErrorKind::Api, message);
    match refusal.status {
        StatusCode::UNAUTHORIZED => Error::new(
            ErrorKind::Credentials,
            "bitbucket does not accept the credentials",
        )
        .hint(format!(
            "check {origin}: it is wrong, expired, or made without scopes; an API token needs the Atlassian account's \
             e-mail as its user"
        )),
        StatusCode::FORBIDDEN => forbidden(endpoint, refusal),
        StatusCode::NOT_FOUND if refusal.meaning == ServerMessage::NoApiAtPath => {
            api("the host has no API at this path")
                .hint("check endpoint: Bitbucket's is https://api.bitbucket.org/2.0/")
        }
        StatusCode::NOT_FOUND => api("bitbucket does not find it").hint(
            "check the name; a private repository is hidden from credentials that may not read it",
        ),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Error::new(
            ErrorKind::Unreachable,
            "the proxy does not accept its credentials",
        )
        .hint("check user and password in proxy"),
        StatusCode::GONE => {
            api("bitbucket has removed this").hint(removal_hint(endpoint, refusal))
        }
        status if status.is_redirection() => {
            Error::new(ErrorKind::Unreachable, "the host redirects elsewhere")
                .hint("check endpoint and proxy: credentials are not sent to other hosts")
        }
        // Bitbucket's own 555 and anything above count as failures of the server too.
        status if status >= StatusCode::INTERNAL_SERVER_ERROR => {
            api("bitbucket fails on this request").hint("run again later")
        }
        _ => api("bitbucket refuses this request")
            .hint("please report this with the request's URL"),
    }
}

fn forbidden(endpoint: &Endpoint, refusal: &Refusal) -> Error {
    let required = match refusal.required_scopes.as_slice() {
        [] => endpoint.scope.to_owned(),
        scopes => scopes.join(" and "),
    };
    let error = Error::new(ErrorKind::Api, "the credentials may not read this");
    let error = match refusal.granted_scopes.as_slice() {
        [] => error,
        granted => error.with("granted", granted.join(" ")),
    };
    error.hint(format!("create the token with scope {required}"))
}

/// Return what to do about an endpoint that Bitbucket has removed, and where the removal was announced.
pub(super) fn removal_hint(endpoint: &Endpoint, refusal: &Refusal) -> String {
    let hint = match endpoint.group {
        Some(group) => format!("take \"{}\" out of `entities`", group.as_str()),
        None => "check `include` (workspace/slug) and `endpoint`, or update bitlake".to_owned(),
    };
    match &refusal.announcement {
        Some(url) => format!("{hint} (announced at {url})"),
        None => hint,
    }
}

/// Return the error of a request that has no response. `host`: of the request.
pub(super) fn unreachable(error: reqwest::Error, host: &str) -> Error {
    let message = match (error.is_connect(), error.is_timeout()) {
        (_, true) => "the host does not answer in time",
        (true, _) => "cannot connect to the host",
        _ => "the connection breaks",
    };
    let failure = network::classify(&error);
    let error = Error::new(ErrorKind::Unreachable, message)
        .with("host", host)
        .source(error.without_url())
        .hint("check endpoint, proxy and the network");
    match failure {
        Some(failure) => error.with_network_failure(failure),
        None => error,
    }
}

/// Return the error of a body that cannot be parsed. `reason`: of the parser, without secrets.
pub(super) fn unparsable(body: &[u8], reason: String) -> Error {
    let message = match body.len() {
        0 => "the reply is empty".to_owned(),
        length => format!("the reply of {length} bytes is not the JSON expected"),
    };
    Error::new(ErrorKind::Api, message)
        .source(reason)
        .hint("run again; if it fails again, check endpoint and proxy")
}

/// Return the error of a response larger than [`Limits::max_reply_bytes`](super::Limits::max_reply_bytes).
pub(super) fn too_large(max_bytes: usize) -> Error {
    let message = format!("the reply is larger than {} MiB", max_bytes >> 20);
    Error::new(ErrorKind::Api, message).hint("please report this with the request's URL")
}
