//! Reads `[[connection]]`: one Bitbucket identity, its addresses and its credentials.

use std::net::IpAddr;

use reqwest::Url;

use super::credentials::{self, SecretSource};
use super::keys;
use super::paths::BasePath;
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;

const CLOUD: &str = "https://api.bitbucket.org/2.0/";
const CLOUD_TOKEN_URL: &str = "https://bitbucket.org/site/oauth2/access_token";

/// One `[[connection]]`.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The number that is part of every id of the domain layer.
    pub id: i64,
    /// The name by which `[[repositories]]` refers to the connection.
    pub name: String,
    /// The API's base URL. It ends with `/`.
    pub endpoint: Url,
    /// The base URL of Git: repositories are cloned from `<git_endpoint>workspace/slug.git`. It ends with `/`.
    pub git_endpoint: Url,
    /// The credentials.
    pub auth: Auth,
    /// An `http`, `https`, `socks5` or `socks5h` URL without a password.
    pub proxy: Option<String>,
    /// The upper limit of requests an hour; `None` follows the server's headers.
    pub requests_per_hour: Option<u32>,
    /// The line of the table's header.
    pub place: ConfigPlace,
}

/// Credentials of a connection. Several tokens spread the requests over several identities.
#[derive(Debug, Clone)]
pub enum Auth {
    /// API tokens with scopes of an Atlassian account, sent with HTTP Basic authentication.
    ApiToken {
        /// The account's e-mail address.
        email: String,
        /// Where each token is read from.
        tokens: Vec<SecretSource>,
    },
    /// Access tokens of a repository, project or workspace, sent as bearer tokens.
    AccessToken {
        /// Where each token is read from.
        tokens: Vec<SecretSource>,
    },
    /// An OAuth consumer, whose client credentials are exchanged for an access token that lasts two hours.
    OauthClient {
        /// Where the consumer's key is read from.
        key: SecretSource,
        /// Where the consumer's secret is read from.
        secret: SecretSource,
        /// The URL that grants access tokens.
        token_url: Url,
    },
    /// An app password. Bitbucket Cloud removed them on 2026-07-28; other servers may still accept them.
    AppPassword {
        /// The Bitbucket user name.
        username: String,
        /// Where the app password is read from.
        password: SecretSource,
    },
    /// No credentials, which give access to public repositories only.
    None,
}

impl Auth {
    /// Return the kind, which is the value of the key `auth`.
    pub fn kind(&self) -> AuthKind {
        match self {
            Self::ApiToken { .. } => AuthKind::ApiToken,
            Self::AccessToken { .. } => AuthKind::AccessToken,
            Self::OauthClient { .. } => AuthKind::OauthClient,
            Self::AppPassword { .. } => AuthKind::AppPassword,
            Self::None => AuthKind::None,
        }
    }

    /// Return every secret that is read before the first request.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::ApiToken { tokens, .. } | Self::AccessToken { tokens } => tokens.iter().collect(),
            Self::OauthClient { key, secret, .. } => vec![key, secret],
            Self::AppPassword { password, .. } => vec![password],
            Self::None => Vec::new(),
        }
    }
}

/// A value of the key `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// See [`Auth::ApiToken`].
    ApiToken,
    /// See [`Auth::AccessToken`].
    AccessToken,
    /// See [`Auth::OauthClient`].
    OauthClient,
    /// See [`Auth::AppPassword`].
    AppPassword,
    /// See [`Auth::None`].
    None,
}

impl AuthKind {
    pub(super) const ALL: [Self; 5] = [
        Self::ApiToken,
        Self::AccessToken,
        Self::OauthClient,
        Self::AppPassword,
        Self::None,
    ];

    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api-token",
            Self::AccessToken => "access-token",
            Self::OauthClient => "oauth-client",
            Self::AppPassword => "app-password",
            Self::None => "none",
        }
    }

    /// Return the keys of `[[connection]]` that belong to this kind.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::ApiToken => &["email", "token", "expires"],
            Self::AccessToken => &["token", "expires"],
            Self::OauthClient => &["key", "secret", "token_url"],
            Self::AppPassword => &["username", "password", "token", "expires"],
            Self::None => &[],
        }
    }
}

pub(super) fn read(root: &Section<'_>, base: &BasePath<'_>) -> Result<Vec<Connection>> {
    let known = keys::CONNECTION.names();
    let mut connections: Vec<Connection> = Vec::new();
    for section in root.tables("connection", &known)? {
        let connection = read_connection(&section, base)?;
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
                    .hint(format!(
                        "change one of them; the other is at {}",
                        earlier.place
                    )));
            }
        }
        connections.push(connection);
    }
    Ok(connections)
}

fn read_connection(section: &Section<'_>, base: &BasePath<'_>) -> Result<Connection> {
    let id = section.positive("id", i64::from(i32::MAX))?;
    let id = id.ok_or_else(|| {
        section.missing(
            "id",
            "add `id = 1`; it becomes part of every id of the domain layer, so never change it",
        )
    })?;
    let name = section.required("name", "add a name that [[repositories]] can refer to")?;
    let requests_per_hour = section.positive("requests_per_hour", keys::MAX_REQUESTS)?;
    let api = read_base_url(section, "endpoint", CLOUD)?;
    Ok(Connection {
        id,
        name,
        git_endpoint: read_base_url(section, "git_endpoint", &default_git_endpoint(&api))?,
        endpoint: api,
        auth: read_auth(section, base)?,
        proxy: read_proxy(section)?,
        requests_per_hour: requests_per_hour.and_then(|number| u32::try_from(number).ok()),
        place: section.place().clone(),
    })
}

fn read_auth(section: &Section<'_>, base: &BasePath<'_>) -> Result<Auth> {
    let kinds = AuthKind::ALL.map(|kind| (kind.as_str(), kind));
    let Some(kind) = section.one_of("auth", &kinds)? else {
        let kinds = AuthKind::ALL.map(AuthKind::as_str).join(", ");
        return Err(section.missing("auth", &format!("use one of: {kinds}")));
    };
    let foreign = AuthKind::ALL
        .iter()
        .flat_map(|other| other.keys())
        .find(|key| section.get(key).is_some() && !kind.keys().contains(key));
    if let Some(key) = foreign {
        let complaint = format!("does not apply to auth = \"{}\"", kind.as_str());
        return Err(section.error(key, &complaint));
    }
    let tokens = || credentials::read_list(section, "token", base);
    let one = |key: &str| credentials::read_one(section, key, base);
    Ok(match kind {
        AuthKind::ApiToken => Auth::ApiToken {
            email: section.required("email", "add the Atlassian account's e-mail address")?,
            tokens: tokens()?,
        },
        AuthKind::AccessToken => Auth::AccessToken { tokens: tokens()? },
        AuthKind::OauthClient => Auth::OauthClient {
            key: one("key")?,
            secret: one("secret")?,
            token_url: read_url(section, "token_url", CLOUD_TOKEN_URL)?,
        },
        AuthKind::AppPassword => {
            let password = match (section.get("password"), section.get("token")) {
                (Some(_), Some(_)) => {
                    return Err(section.error(
                        "token",
                        "is given in addition to `password`; keep one of them",
                    ));
                }
                (None, Some(_)) => "token",
                _ => "password",
            };
            Auth::AppPassword {
                username: section.required("username", "add the Bitbucket user name")?,
                password: one(password)?,
            }
        }
        AuthKind::None => Auth::None,
    })
}

/// Read a URL that paths are joined to, and let it end with `/`.
fn read_base_url(section: &Section<'_>, key: &str, default: &str) -> Result<Url> {
    let mut url = read_url(section, key, default)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(section.error(key, "must not have a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Return the default of `git_endpoint`: Bitbucket serves Git at the API's host without `api.`.
fn default_git_endpoint(api: &Url) -> String {
    let mut url = api.clone();
    url.set_path("/");
    let host = url.host_str().and_then(|host| host.strip_prefix("api."));
    if let Some(host) = host.map(str::to_owned) {
        // `set_host` fails only for an invalid host, and this one comes from a valid URL.
        let _ = url.set_host(Some(&host));
    }
    url.to_string()
}

/// Read a URL that credentials are sent to, which must be HTTPS except on loopback.
fn read_url(section: &Section<'_>, key: &str, default: &str) -> Result<Url> {
    let text = section.string(key)?.unwrap_or_else(|| default.to_owned());
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            section
                .error(key, "is not an HTTP(S) URL")
                .hint(format!("use a URL such as {default}"))
        })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(section
            .error(key, "must not contain credentials")
            .hint("set the credentials with `auth`"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(section
            .error(key, "must be HTTPS")
            .hint("plain HTTP is allowed for loopback addresses only"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn read_proxy(section: &Section<'_>) -> Result<Option<String>> {
    let Some(text) = section.string("proxy")? else {
        return Ok(None);
    };
    let schemes = ["http", "https", "socks5", "socks5h"];
    let url = Url::parse(&text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| {
            section
                .error("proxy", "is not a proxy URL")
                .hint("write http://host:port or socks5://host:port")
        })?;
    if url.password().is_some() {
        return Err(section
            .error("proxy", "must not contain a password")
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
        for key in AuthKind::ALL.iter().flat_map(|kind| kind.keys()) {
            assert!(known.contains(key), "{key}");
        }
    }
}
