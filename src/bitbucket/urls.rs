//! Predicates over URLs, and their form for logs and errors.

use reqwest::Url;

/// Whether both URLs have the same scheme, host and port. Credentials are sent to the origin of the endpoint only.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether the host of the URL is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Format a URL for logs and errors: without user and password, and without the query when that may contain a token.
pub(super) fn safe_url(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs without a host, which have no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url
        .query_pairs()
        .any(|(key, _)| key.contains("token") || key.contains("jwt"))
    {
        url.set_query(None);
    }
    url.to_string()
}
