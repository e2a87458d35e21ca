//! The HTTP client underneath: TLS, proxy, time-outs, redirects that stay at home, and replies that fit into memory.

use reqwest::{Proxy, Response, Url, redirect};

use super::retry::Limits;
use super::same_origin;
use crate::error::{Error, ErrorKind, OrError, Result};

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
            // A redirect to another host ends as a refusal that names it, instead of taking anything there.
            match same_origin(attempt.url(), &origin) && attempt.previous().len() <= 5 {
                true => attempt.follow(),
                false => attempt.stop(),
            }
        }));
    let builder = match proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(|_| {
            // The URL may hold a password, and so may the library's message.
            Error::new(ErrorKind::Configuration, "proxy is not a URL")
                .hint("write it as http://host:port or socks5://host:port")
        })?),
        // A proxy of the environment is for the world outside.
        None if is_loopback(endpoint) => builder.no_proxy(),
        None => builder,
    };
    builder
        .build()
        .or_error(ErrorKind::Internal, "cannot set up HTTPS")
}

/// The body of `response`; `None` when it is larger than `most` bytes, unpacked.
pub(super) async fn body(
    mut response: Response,
    most: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    // Piece by piece: unpacked, a small reply may be larger than the memory.
    while let Some(piece) = response.chunk().await? {
        if body.len().saturating_add(piece.len()) > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
