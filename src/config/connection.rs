//! `[[connection]]`: one Bitbucket identity and how it signs its requests.

use std::net::IpAddr;

use reqwest::Url;

use super::credentials::{self, SecretSource};
use super::keys;
use super::load::Relative;
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;

const CLOUD: &str = "https://api.bitbucket.org/2.0/";
const CLOUD_TOKEN_URL: &str = "https://bitbucket.org/site/oauth2/access_token";

#[derive(Debug, Clone)]
pub struct Connection {
    /// The number in every domain id.
    pub id: i64,
    pub name: String,
    /// Ends in `/`.
    pub endpoint: Url,
    /// Repositories are cloned from `<git_endpoint>workspace/slug.git`. Ends in `/`.
    pub git_endpoint: Url,
    pub auth: Auth,
    /// `http`, `https`, `socks5` or `socks5h`; without a password.
    pub proxy: Option<String>,
    /// None: follow the server's headers.
    pub requests_per_hour: Option<u32>,
    pub place: ConfigPlace,
}

/// How to sign a request. Several tokens spread the load over several identities.
#[derive(Debug, Clone)]
pub enum Auth {
    /// An Atlassian account's API token with scopes: Basic, with the account's e-mail.
    ApiToken {
        email: String,
        tokens: Vec<SecretSource>,
    },
    /// A repository's, project's or workspace's access token: Bearer.
    AccessToken { tokens: Vec<SecretSource> },
    /// An OAuth consumer: client credentials are exchanged for a token of two hours.
    OauthClient {
        key: SecretSource,
        secret: SecretSource,
        token_url: Url,
    },
    /// Removed by Bitbucket on 2026-07-28; servers that stand in for it may still take one.
    AppPassword {
        username: String,
        password: SecretSource,
    },
    /// Public repositories only.
    None,
}

impl Auth {
    /// As written in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ApiToken { .. } => "api-token",
            Self::AccessToken { .. } => "access-token",
            Self::OauthClient { .. } => "oauth-client",
            Self::AppPassword { .. } => "app-password",
            Self::None => "none",
        }
    }

    /// What is read before the first request.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::ApiToken { tokens, .. } | Self::AccessToken { tokens } => tokens.iter().collect(),
            Self::OauthClient { key, secret, .. } => vec![key, secret],
            Self::AppPassword { password, .. } => vec![password],
            Self::None => Vec::new(),
        }
    }
}

/// Each kind of auth with the keys that belong to it.
const AUTH_KEYS: [(&str, &[&str]); 5] = [
    ("api-token", &["email", "token", "expires"]),
    ("access-token", &["token", "expires"]),
    ("oauth-client", &["key", "secret", "token_url"]),
    (
        "app-password",
        &["username", "password", "token", "expires"],
    ),
    ("none", &[]),
];

pub(super) fn read(root: &Section<'_>, relative: &Relative<'_>) -> Result<Vec<Connection>> {
    let known = keys::CONNECTION.names();
    let mut connections: Vec<Connection> = Vec::new();
    for section in root.tables("connection", &known)? {
        let connection = one(&section, relative)?;
        for earlier in &connections {
            let clash = if earlier.id == connection.id {
                Some(("id", connection.id.to_string()))
            } else if earlier.name == connection.name {
                Some(("name", connection.name.clone()))
            } else {
                None
            };
            if let Some((key, value)) = clash {
                return Err(section
                    .place_of(key)
                    .error(format!("two connections have the {key} `{value}`"))
                    .hint(format!("the other one is at {}", earlier.place)));
            }
        }
        connections.push(connection);
    }
    Ok(connections)
}

fn one(section: &Section<'_>, relative: &Relative<'_>) -> Result<Connection> {
    let id = section.positive("id", i64::from(i32::MAX))?;
    let id = id.ok_or_else(|| {
        section.missing(
            "id",
            "add `id = 1`; it becomes part of every id, so never change it",
        )
    })?;
    let name = section.required("name", "add a name for [[repositories]] to refer to")?;
    let requests_per_hour = section.positive("requests_per_hour", 1_000_000)?;
    let api = endpoint(section, "endpoint", CLOUD)?;
    Ok(Connection {
        id,
        name,
        git_endpoint: endpoint(section, "git_endpoint", &git_host(&api))?,
        endpoint: api,
        auth: auth(section, relative)?,
        proxy: proxy(section)?,
        requests_per_hour: requests_per_hour.and_then(|number| u32::try_from(number).ok()),
        place: section.place().clone(),
    })
}

fn auth(section: &Section<'_>, relative: &Relative<'_>) -> Result<Auth> {
    let Some((kind, own)) = section.one_of("auth", &AUTH_KEYS.map(|(k, keys)| (k, (k, keys))))?
    else {
        let kinds = AUTH_KEYS.map(|(kind, _)| kind).join(", ");
        return Err(section.missing("auth", &format!("use one of: {kinds}")));
    };
    let foreign = AUTH_KEYS
        .iter()
        .flat_map(|(_, keys)| *keys)
        .find(|key| section.get(key).is_some() && !own.contains(key));
    if let Some(key) = foreign {
        return Err(section.error(key, &format!("does not go with auth = \"{kind}\"")));
    }
    let tokens = || credentials::list(section, "token", relative);
    let one = |key: &str| credentials::one(section, key, relative);
    Ok(match kind {
        "api-token" => Auth::ApiToken {
            email: section.required("email", "add the Atlassian account's e-mail")?,
            tokens: tokens()?,
        },
        "access-token" => Auth::AccessToken { tokens: tokens()? },
        "oauth-client" => Auth::OauthClient {
            key: one("key")?,
            secret: one("secret")?,
            token_url: url(section, "token_url", CLOUD_TOKEN_URL)?,
        },
        "app-password" => {
            let password = match (section.get("password"), section.get("token")) {
                (Some(_), Some(_)) => {
                    return Err(section.error("token", "stands beside `password`; keep one"));
                }
                (None, Some(_)) => "token",
                _ => "password",
            };
            Auth::AppPassword {
                username: section.required("username", "add the Bitbucket user name")?,
                password: one(password)?,
            }
        }
        _ => Auth::None,
    })
}

/// An address below which paths are joined: with a slash at the end.
fn endpoint(section: &Section<'_>, key: &str, default: &str) -> Result<Url> {
    let mut url = url(section, key, default)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(section.error(key, "must not have a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Git is served where the web pages are: at the API's host without `api.`.
fn git_host(api: &Url) -> String {
    let mut url = api.clone();
    url.set_path("/");
    let host = url.host_str().and_then(|host| host.strip_prefix("api."));
    if let Some(host) = host.map(str::to_owned) {
        // Fails only for what is no host, and this was one.
        let _ = url.set_host(Some(&host));
    }
    url.to_string()
}

/// Credentials travel to this address: https, except on this machine.
fn url(section: &Section<'_>, key: &str, default: &str) -> Result<Url> {
    let text = section.string(key)?.unwrap_or_else(|| default.to_owned());
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            section
                .error(key, "is no http(s) address")
                .hint(format!("the usual one is {default}"))
        })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(section
            .error(key, "must not hold credentials")
            .hint("use `auth`"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(section
            .error(key, "must be https")
            .hint("plain http is for this machine's own addresses only"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn proxy(section: &Section<'_>) -> Result<Option<String>> {
    let Some(text) = section.string("proxy")? else {
        return Ok(None);
    };
    let schemes = ["http", "https", "socks5", "socks5h"];
    let url = Url::parse(&text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| {
            section
                .error("proxy", "is no proxy address")
                .hint("write http://host:port or socks5://host:port")
        })?;
    if url.password().is_some() {
        return Err(section
            .error("proxy", "must not hold a password")
            .hint("set HTTPS_PROXY in the environment instead"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_credential_key_is_a_key_of_the_connection() {
        let known = keys::CONNECTION.names();
        for key in AUTH_KEYS.iter().flat_map(|(_, own)| *own) {
            assert!(known.contains(key), "{key}");
        }
    }
}
