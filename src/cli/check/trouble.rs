//! Explains why no request of a connection succeeds: because of the proxy, TLS inspection, the network or Bitbucket.
//!
//! The client's error describes the failure of one request. Together with the proxy settings it shows the cause.

use std::collections::BTreeMap;

use reqwest::{StatusCode, Url};

use super::finding::{Finding, Topic, message_without_hint};
use crate::config::Connection;
use crate::error::{Error, ErrorKind, NetworkFailure};

const STATUS_PAGE: &str = "see https://bitbucket.status.atlassian.com and try again later";

/// Return the host and port of the proxy that a connection uses; `None` if it uses none.
pub(super) fn find_proxy(
    connection: &Connection,
    env: &BTreeMap<String, String>,
) -> Option<String> {
    if let Some(proxy) = &connection.proxy {
        return Some(address(proxy));
    }
    let host = connection.endpoint.host_str().unwrap_or_default();
    let variable = |name: &str| env.get(&name.to_uppercase()).or_else(|| env.get(name));
    let exempt = variable("no_proxy").is_some_and(|list| {
        let mut names = list
            .split(',')
            .map(|name| name.trim().trim_start_matches('.'));
        names.any(|name| name == "*" || !name.is_empty() && host.ends_with(name))
    });
    // The client uses no proxy for plain HTTP, which only loopback addresses allow.
    if exempt || connection.endpoint.scheme() == "http" {
        return None;
    }
    let proxy = variable("https_proxy").or_else(|| variable("all_proxy"))?;
    Some(address(proxy))
}

/// Return the host and port of a proxy URL, without user and password.
fn address(proxy: &str) -> String {
    let url = Url::parse(proxy).or_else(|_| Url::parse(&format!("http://{proxy}")));
    let parts = url.ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        Some((host, url.port_or_known_default()?))
    });
    match parts {
        Some((host, port)) => format!("{host}:{port}"),
        None => "the proxy".to_owned(),
    }
}

/// Return the finding of a request whose failure affects all requests of a connection.
pub(super) fn explain(topic: Topic<'_>, error: &Error, proxy: Option<&str>) -> Finding {
    let message = message_without_hint(error);
    let failed =
        |cause: String, fix: &str| topic.failed(error.kind(), format!("{cause}: {message}"), fix);
    match error.kind() {
        // The client's message mentions the hour for which a run pauses, but `check` does not pause.
        ErrorKind::Quota => topic.failed(
            error.kind(),
            "no requests are left: bitbucket refuses more (429)",
            "try again within the hour; a lower `requests_per_hour` leaves requests to other users of the same credentials",
        ),
        ErrorKind::Api => match error.status() {
            Some(status) if status.is_server_error() => {
                failed("bitbucket is reachable but fails".to_owned(), STATUS_PAGE)
            }
            // Bitbucket answers 410 to a listing without a workspace: its developer changelog, CHANGE-2770.
            Some(StatusCode::GONE) => failed(
                "bitbucket answers this to an empty workspace name".to_owned(),
                "check `include` (workspace/slug) and `endpoint` (https://api.bitbucket.org/2.0/)",
            ),
            _ => topic.error(error),
        },
        ErrorKind::Unreachable => {
            let (cause, fix) = explain_unreachable(error, proxy);
            failed(cause, fix)
        }
        _ => topic.error(error),
    }
}

/// Return the cause and the fix of an [`ErrorKind::Unreachable`] error.
fn explain_unreachable(error: &Error, proxy: Option<&str>) -> (String, &'static str) {
    let intermediary = match proxy {
        Some(proxy) => format!("the proxy {proxy}"),
        None => "an intermediary".to_owned(),
    };
    let failure = match error.status() {
        Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            Some(NetworkFailure::ProxyAuthentication)
        }
        _ => error.network_failure(),
    };
    match (failure, error.status()) {
        (Some(NetworkFailure::ProxyAuthentication), _) => (
            format!("{intermediary} does not accept its user and password"),
            "remove `proxy` and set HTTPS_PROXY=http://user:password@host:port in the environment",
        ),
        (Some(NetworkFailure::Certificate), _) => (
            format!("{intermediary} inspects TLS: the certificate is not bitbucket's"),
            "set SSL_CERT_FILE to a file with the certificate authority, or exempt api.bitbucket.org from TLS inspection",
        ),
        (Some(NetworkFailure::ProxyRefusal), _) => (
            format!("{intermediary} refuses connections to this host"),
            "allow api.bitbucket.org, port 443, at the proxy",
        ),
        (None, Some(status)) if status.is_server_error() => (
            match proxy {
                Some(proxy) => format!("bitbucket or the proxy {proxy} is down"),
                None => "bitbucket is down".to_owned(),
            },
            STATUS_PAGE,
        ),
        // The response is a web page or a redirect.
        (None, Some(_)) => (
            format!("{intermediary} answers in place of bitbucket"),
            "check `endpoint`; sign in to the network if it requires that, or exempt api.bitbucket.org from the proxy",
        ),
        (None, None) if proxy.is_some() => (
            format!("{intermediary} cannot be reached"),
            "check the address in `proxy` or HTTPS_PROXY",
        ),
        (None, None) => (
            "bitbucket cannot be reached".to_owned(),
            "check `endpoint`, name resolution and the network; set `proxy` if the network requires one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_proxy_of_the_connection_or_the_environment_is_shown_without_its_password() {
        let proxy_of = |keys: &str, variables: &[(&str, &str)]| {
            let text = format!(
                "[lake]\nurl = \"out\"\n[[connection]]\nid = 1\nname = \"acme\"\nauth = \"none\"\n{keys}\n"
            );
            let config = Config::parse(&text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]);
            let env = variables
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            find_proxy(&config.unwrap().connections[0], &env.collect())
        };
        let outside = ("HTTPS_PROXY", "http://me:s3cr3t@proxy.acme:3128");
        assert_eq!(proxy_of("", &[]), None);
        assert_eq!(proxy_of("", &[outside]).as_deref(), Some("proxy.acme:3128"));
        assert_eq!(
            proxy_of("", &[outside, ("no_proxy", "localhost, .bitbucket.org")]),
            None
        );
        assert_eq!(
            proxy_of("endpoint = \"http://127.0.0.1:1/\"", &[outside]),
            None
        );
        let own = "proxy = \"socks5://other:1080\"";
        assert_eq!(proxy_of(own, &[outside]).as_deref(), Some("other:1080"));
    }
}
