//! Who is to blame when no request comes through: the proxy, something that reads TLS on the way, the network, or
//! Bitbucket. The client's errors say what happened; which of the four it was, only the whole picture tells.

use std::collections::BTreeMap;

use reqwest::Url;

use super::finding::{About, Finding, said};
use crate::config::Connection;
use crate::error::{Error, ErrorKind};

const STATUS_PAGE: &str = "see https://bitbucket.status.atlassian.com and try again later";

/// The host and port of the proxy that a connection's requests go through.
pub(super) fn proxy(connection: &Connection, env: &BTreeMap<String, String>) -> Option<String> {
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
    // On this machine and without TLS: the client asks no proxy there.
    if exempt || connection.endpoint.scheme() == "http" {
        return None;
    }
    let proxy = variable("https_proxy").or_else(|| variable("all_proxy"))?;
    Some(address(proxy))
}

/// Without user and password.
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

/// The finding for a request that failed for all that a connection would ask.
pub(super) fn explain(about: About<'_>, error: &Error, proxy: Option<&str>) -> Finding {
    let text = error.to_string().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let status = error.status().map_or(0, |status| status.as_u16());
    let failed = |what: String, fix: &str| {
        about.failed(error.kind(), format!("{what}: {}", said(error)), fix)
    };
    let by = proxy.map_or("something on the way".to_owned(), |proxy| {
        format!("the proxy {proxy}")
    });
    match error.kind() {
        // The client speaks of the hour that a run would have waited.
        ErrorKind::Quota => about.failed(
            error.kind(),
            "no requests are left: bitbucket refuses more (429)",
            "try again within the hour; a lower `requests_per_hour` leaves room to others with the same credentials",
        ),
        ErrorKind::Api if status >= 500 => {
            failed("bitbucket is up and fails".to_owned(), STATUS_PAGE)
        }
        ErrorKind::Api if status == 410 && text.contains("change-2770") => failed(
            "this is what an empty workspace name gets".to_owned(),
            "check `include` (workspace/slug) and `endpoint` (https://api.bitbucket.org/2.0/)",
        ),
        ErrorKind::Unreachable if status == 407 || has(&["proxy auth"]) => failed(
            format!("{by} does not accept its user and password"),
            "take `proxy` out and set HTTPS_PROXY=http://user:password@host:port in the environment",
        ),
        ErrorKind::Unreachable if has(&["certificate", "unknownissuer"]) => failed(
            format!("{by} reads TLS: the certificate is not bitbucket's"),
            "set SSL_CERT_FILE to a file with the authority that signed it, or exempt api.bitbucket.org from TLS inspection",
        ),
        ErrorKind::Unreachable if has(&["tunnel error: unsuccessful"]) => failed(
            format!("{by} does not let this host through"),
            "allow api.bitbucket.org, port 443, at the proxy",
        ),
        ErrorKind::Unreachable if status >= 500 => failed(
            match proxy {
                Some(proxy) => format!("bitbucket or the proxy {proxy} is down"),
                None => "bitbucket is down".to_owned(),
            },
            STATUS_PAGE,
        ),
        // A page or a redirect instead of an answer.
        ErrorKind::Unreachable if status > 0 => failed(
            format!("{by} answers in bitbucket's place"),
            "check `endpoint`; sign in where the network wants it, or exempt api.bitbucket.org from the proxy",
        ),
        ErrorKind::Unreachable if proxy.is_some() => failed(
            format!("{by} cannot be reached"),
            "check the address in `proxy` or HTTPS_PROXY",
        ),
        ErrorKind::Unreachable => failed(
            "bitbucket cannot be reached".to_owned(),
            "check `endpoint`, name resolution and the network; where only a proxy leads out, set `proxy`",
        ),
        _ => about.error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_proxy_is_the_connections_or_the_environments_and_shows_no_password() {
        let proxy_of = |keys: &str, variables: &[(&str, &str)]| {
            let text = format!(
                "[lake]\nurl = \"out\"\n[[connection]]\nid = 1\nname = \"acme\"\nauth = \"none\"\n{keys}\n"
            );
            let config = Config::parse(&text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]);
            let env = variables
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            proxy(&config.unwrap().connections[0], &env.collect())
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
