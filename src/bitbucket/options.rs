//! The options of a client: one connection of the configuration, with its secrets read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use super::budgets::Budgets;
use super::retry::Limits;
use crate::config::{Auth, Connection, SecretSource};
use crate::error::Result;
use crate::secret::{Masker, Secret};

/// The options of one `[[connection]]`.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The name of the connection, for errors and logs.
    pub connection: String,
    /// The id of the connection in the lake.
    pub connection_id: i64,
    /// The base URL of the API; ends in `/`.
    pub endpoint: Url,
    /// How requests are authenticated.
    pub credentials: Credentials,
    /// `http://`, `https://`, `socks5://` or `socks5h://`; may contain a user and a password.
    pub proxy: Option<String>,
    /// An upper limit of requests per hour, in addition to that of the server.
    pub requests_per_hour: Option<u32>,
    /// Timeouts, retries and maximum sizes.
    pub limits: Limits,
    /// Shared by all connections of a process, because connections can share an identity.
    pub budgets: Budgets,
    /// Learns the secrets of this connection. Shared by all connections of a process, so that a secret of one connection
    /// is masked in the responses to another one.
    pub masker: Masker,
}

/// A secret and its origin, which the error of a refusal names.
#[derive(Debug, Clone)]
pub struct Token {
    /// The secret itself.
    pub secret: Secret,
    /// For example `environment variable BITBUCKET_TOKEN` or `file /run/secrets/bitbucket`.
    pub origin: String,
}

/// How the requests of a connection are authenticated.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Basic authentication with API tokens of an Atlassian account.
    ApiToken {
        /// The e-mail address of the account, which is the user of the header.
        email: String,
        /// Tokens that are used in rotation.
        tokens: Vec<Token>,
    },
    /// Bearer tokens of a repository, a project or a workspace.
    AccessToken {
        /// Tokens that are used in rotation.
        tokens: Vec<Token>,
    },
    /// OAuth 2 client credentials: a bearer token with a lifetime of about two hours, renewed during the run.
    OauthClient {
        /// The key of the OAuth consumer.
        key: Token,
        /// The secret of the OAuth consumer.
        secret: Token,
        /// The URL that grants tokens.
        token_url: Url,
    },
    /// Basic authentication with an app password, which Atlassian has removed.
    AppPassword {
        /// The Bitbucket user name.
        username: String,
        /// The app password.
        password: Token,
    },
    /// No authentication: public repositories only.
    None,
}

impl Credentials {
    /// Return a warning that the user should read before the first request.
    #[must_use]
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

/// Percent-decode a part of a URL.
fn decode(part: &str) -> Option<String> {
    let query = format!("x:?={}", part.replace('+', "%2B"));
    let url = Url::parse(&query).ok()?;
    Some(url.query_pairs().next()?.1.into_owned())
}

impl ClientOptions {
    /// Return every text that must not leave the process: each secret, and its encoding in a header.
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
            secrets.extend(decode(password));
        }
        secrets
    }

    /// Create the options of a connection, and read its secrets.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`](crate::error::ErrorKind::Credentials) for a missing environment variable or file.
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
