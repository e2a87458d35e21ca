//! What a client needs to know about its connection: the configuration's words, with the secrets read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use super::budgets::Budgets;
use super::retry::Limits;
use crate::config::{Auth, Connection, SecretSource};
use crate::error::Result;
use crate::secret::{Masker, Secret};

/// One `[[connection]]`, ready to use.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The connection's name, for errors.
    pub connection: String,
    pub connection_id: i64,
    /// The API's base; ends in `/`.
    pub endpoint: Url,
    pub credentials: Credentials,
    /// `http://`, `https://`, `socks5://` or `socks5h://`; may carry its own user and password.
    pub proxy: Option<String>,
    pub requests_per_hour: Option<u32>,
    pub limits: Limits,
    /// Shared by all connections of a process.
    pub budgets: Budgets,
    /// Learns this connection's secrets. Shared by all connections of a process, so that no one's secret gets into
    /// what another one reads.
    pub masker: Masker,
}

/// A secret, and the place it came from, so that a refusal can name what to correct.
#[derive(Debug, Clone)]
pub struct Token {
    pub secret: Secret,
    /// "environment variable BITBUCKET_TOKEN" or "file /run/secrets/bitbucket".
    pub origin: String,
}

#[derive(Debug, Clone)]
pub enum Credentials {
    /// Basic, with the Atlassian account's e-mail as the user. Several tokens share the load.
    ApiToken { email: String, tokens: Vec<Token> },
    /// Bearer: a repository's, project's or workspace's token.
    AccessToken { tokens: Vec<Token> },
    /// OAuth 2 client credentials: a bearer token of about two hours, renewed while running.
    OauthClient {
        key: Token,
        secret: Token,
        token_url: Url,
    },
    /// Basic, with the Bitbucket user name. Removed by Atlassian.
    AppPassword { username: String, password: Token },
    /// Public repositories only.
    None,
}

impl Credentials {
    /// What the user should know before the first request.
    pub fn warning(&self) -> Option<&'static str> {
        match self {
            Self::AppPassword { .. } => Some(
                "app passwords were removed from Bitbucket Cloud on 28 July 2026: create an API token with scopes \
                 and set auth = \"api-token\"",
            ),
            _ => None,
        }
    }
}

/// A part of a URL as it was before it was encoded.
fn decoded(part: &str) -> Option<String> {
    let query = format!("x:?={}", part.replace('+', "%2B"));
    let url = Url::parse(&query).ok()?;
    Some(url.query_pairs().next()?.1.into_owned())
}

impl ClientOptions {
    /// Every text that must not leave the process: secrets alone, and with their user as a header carries them.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let plain = |token: &Token| token.secret.expose().to_owned();
        let basic = |user: &str, token: &Token| {
            let header = BASE64_STANDARD.encode(format!("{user}:{}", token.secret.expose()));
            [plain(token), header]
        };
        let mut secrets = match &self.credentials {
            Credentials::ApiToken { email, tokens } => {
                tokens.iter().flat_map(|it| basic(email, it)).collect()
            }
            Credentials::AccessToken { tokens } => tokens.iter().map(plain).collect(),
            Credentials::OauthClient { key, secret, .. } => {
                let mut all = basic(key.secret.expose(), secret).to_vec();
                all.push(plain(key));
                all
            }
            Credentials::AppPassword { username, password } => basic(username, password).to_vec(),
            Credentials::None => Vec::new(),
        };
        let proxy = self.proxy.as_deref().and_then(|it| Url::parse(it).ok());
        if let Some(password) = proxy.as_ref().and_then(Url::password) {
            secrets.push(password.to_owned());
            secrets.extend(decoded(password));
        }
        secrets
    }

    /// Reads the connection's secrets, now.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`](crate::error::ErrorKind::Credentials) naming the variable or file that is missing.
    pub fn from_connection(
        connection: &Connection,
        env: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let token = |source: &SecretSource| -> Result<Token> {
            let secret = source
                .read(env)
                .map_err(|error| error.with("connection", &connection.name))?;
            Ok(Token {
                secret,
                origin: source.origin(),
            })
        };
        let tokens =
            |sources: &[SecretSource]| sources.iter().map(token).collect::<Result<Vec<_>>>();
        let credentials = match &connection.auth {
            Auth::ApiToken {
                email,
                tokens: sources,
            } => Credentials::ApiToken {
                email: email.clone(),
                tokens: tokens(sources)?,
            },
            Auth::AccessToken { tokens: sources } => Credentials::AccessToken {
                tokens: tokens(sources)?,
            },
            Auth::OauthClient {
                key,
                secret,
                token_url,
            } => Credentials::OauthClient {
                key: token(key)?,
                secret: token(secret)?,
                token_url: token_url.clone(),
            },
            Auth::AppPassword { username, password } => Credentials::AppPassword {
                username: username.clone(),
                password: token(password)?,
            },
            Auth::None => Credentials::None,
        };
        Ok(Self {
            connection: connection.name.clone(),
            connection_id: connection.id,
            endpoint: connection.endpoint.clone(),
            credentials,
            proxy: connection.proxy.clone(),
            requests_per_hour: connection.requests_per_hour,
            limits: Limits::default(),
            budgets: Budgets::default(),
            masker: Masker::default(),
        })
    }
}
