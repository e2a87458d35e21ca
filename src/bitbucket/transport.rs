//! The HTTP client below the API client: TLS, proxy, timeouts, redirects within the origin, and responses of limited
//! size.

use reqwest::header::HeaderMap;
use reqwest::{Proxy, Response, StatusCode, Url, redirect};

use super::retry::Limits;
use super::urls::{is_loopback, is_same_origin};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The most memory that is reserved for a body because the server announces its size.
const MAX_RESERVED_BYTES: usize = 1 << 20;
/// Redirects that are followed within the origin of the endpoint.
const MAX_REDIRECTS: usize = 5;

/// Build the HTTP client of a connection.
///
/// # Errors
/// [`ErrorKind::Configuration`] when the proxy is not a URL.
pub(super) fn transport(
    endpoint: &Url,
    proxy: Option<&str>,
    limits: &Limits,
) -> Result<reqwest::Client> {
    let origin = endpoint.clone();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("bitlake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .referer(false)
        .redirect(redirect::Policy::custom(move |attempt| {
            // A redirect to another origin becomes a refusal that names the target.
            let is_allowed = is_same_origin(attempt.url(), &origin);
            if is_allowed && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
    let builder = match proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(|_| {
            // The URL and the library's message may contain a password.
            Error::new(ErrorKind::Configuration, "proxy is not a URL")
                .hint("write it as http://host:port or socks5://host:port")
        })?),
        // A proxy of the environment cannot reach this machine's loopback address.
        None if is_loopback(endpoint) => builder.no_proxy(),
        None => builder,
    };
    builder
        .build()
        .or_error(ErrorKind::Internal, "cannot set up HTTPS")
}

/// Why a request has no response.
pub(super) enum SendError {
    /// The connection failed; a retry may succeed.
    Transport(reqwest::Error),
    /// A retry would fail in the same way.
    Final(Error),
}

/// A response whose body is in memory.
pub(super) struct HttpReply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl HttpReply {
    /// Read the body of `response`; `None` when it is larger than `max_bytes` after decompression.
    pub(super) async fn read(
        mut response: Response,
        max_bytes: usize,
    ) -> Result<Option<Self>, SendError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let announced = response.content_length().unwrap_or_default();
        let announced = usize::try_from(announced).unwrap_or(max_bytes);
        let mut body = Vec::with_capacity(announced.min(MAX_RESERVED_BYTES));
        // The size after decompression is unknown until the last chunk.
        while let Some(chunk) = response.chunk().await.map_err(SendError::Transport)? {
            if body.len().saturating_add(chunk.len()) > max_bytes {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(Self {
            status,
            headers,
            body,
        }))
    }
}
