//! Authentication and scopes. Wrong credentials are refused, missing ones are not: a request that lost its
//! `Authorization` header sees public repositories only, which is how whole exports came out empty.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::errors::{self, SandboxReply};
use crate::lock::lock;

/// One set of credentials that the sandbox accepts.
#[derive(Debug, Clone)]
pub enum AcceptedCredentials {
    /// API token (with the account's e-mail) or app password (with the user name).
    Basic {
        /// The user name or e-mail.
        user: String,
        /// The API token or app password.
        password: String,
    },
    /// Repository, project or workspace access token.
    Bearer {
        /// The token.
        token: String,
    },
    /// An OAuth consumer; its access tokens are valid for `expires_in`.
    OauthClient {
        /// The consumer's key.
        key: String,
        /// The consumer's secret.
        secret: String,
        /// How long an issued token is valid.
        expires_in: Duration,
    },
}

impl AcceptedCredentials {
    /// Accept Basic authentication.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    /// Accept a bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }

    /// Accept tokens that are issued to this OAuth consumer.
    pub fn oauth_client(
        key: impl Into<String>,
        secret: impl Into<String>,
        expires_in: Duration,
    ) -> Self {
        Self::OauthClient {
            key: key.into(),
            secret: secret.into(),
            expires_in,
        }
    }
}

/// The scope that a route requires, in the spelling of API tokens and in that of OAuth consumers.
pub(crate) struct Scope {
    pub new: &'static str,
    pub old: &'static str,
}

/// The identity behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A user: sees everything that the scopes allow.
    Known,
    /// An access token or OAuth consumer, which acts as a bot of its own.
    Bot,
    /// No credentials: sees public repositories.
    Anonymous,
}

pub(crate) struct AccessControl {
    accepted: Vec<AcceptedCredentials>,
    scopes: Option<Vec<String>>,
    /// The issued access tokens with their expiry.
    tokens: Mutex<BTreeMap<String, Instant>>,
}

impl AccessControl {
    pub(crate) fn new(accepted: Vec<AcceptedCredentials>, scopes: Option<Vec<String>>) -> Self {
        Self {
            accepted,
            scopes,
            tokens: Mutex::default(),
        }
    }

    /// Identify the caller by the `Authorization` header.
    pub(crate) fn caller(&self, header: Option<&str>) -> Result<Caller, SandboxReply> {
        if self.accepted.is_empty() {
            return Ok(Caller::Known);
        }
        let Some(header) = header else {
            return Ok(Caller::Anonymous);
        };
        for credentials in &self.accepted {
            match credentials {
                AcceptedCredentials::Basic { user, password }
                    if header == basic(user, password) =>
                {
                    return Ok(Caller::Known);
                }
                AcceptedCredentials::Bearer { token } if header == format!("Bearer {token}") => {
                    return Ok(Caller::Bot);
                }
                _ => {}
            }
        }
        let expiry = header
            .strip_prefix("Bearer ")
            .and_then(|token| lock(&self.tokens).get(token).copied());
        match expiry {
            Some(expiry) if Instant::now() < expiry => Ok(Caller::Bot),
            Some(_) => Err(errors::unauthorized(errors::TOKEN_EXPIRED)),
            None => Err(errors::unauthorized(errors::TOKEN_INVALID)),
        }
    }

    /// Identify the caller by git's `Authorization` header; `None` for wrong credentials.
    #[cfg(feature = "testing")]
    pub(crate) fn git_caller(&self, header: Option<&str>) -> Option<Caller> {
        if self.accepted.is_empty() {
            return Some(Caller::Known);
        }
        let Some(header) = header else {
            return Some(Caller::Anonymous);
        };
        let accepted = self
            .accepted
            .iter()
            .find_map(|credentials| match credentials {
                AcceptedCredentials::Basic { user, password } => {
                    let user = match user.contains('@') {
                        true => "x-bitbucket-api-token-auth",
                        false => user,
                    };
                    (header == basic(user, password)).then_some(Caller::Known)
                }
                AcceptedCredentials::Bearer { token } => {
                    (header == basic("x-token-auth", token)).then_some(Caller::Bot)
                }
                AcceptedCredentials::OauthClient { .. } => None,
            });
        let now = Instant::now();
        let granted = || {
            let tokens = lock(&self.tokens);
            let mut tokens = tokens.iter();
            tokens.any(|(token, end)| now < *end && header == basic("x-token-auth", token))
        };
        accepted.or_else(|| granted().then_some(Caller::Bot))
    }

    pub(crate) fn check_scope(&self, scope: &Scope) -> Result<(), SandboxReply> {
        let Some(granted) = &self.scopes else {
            return Ok(());
        };
        let new_style = granted.iter().any(|scope| scope.contains(":bitbucket"));
        let allowed = granted.iter().any(|one| {
            one == scope.new
                || !new_style
                    && (one == scope.old
                        || one.strip_suffix(":write") == Some(scope.old)
                        || one.starts_with("pullrequest") && scope.old == "repository")
        });
        if allowed {
            return Ok(());
        }
        let required = if new_style { scope.new } else { scope.old };
        Err(errors::lacks_scopes(&[required], granted))
    }

    /// Set the headers that name required and granted scopes.
    pub(crate) fn announce(&self, scope: &Scope, reply: &mut SandboxReply) {
        if let Some(granted) = &self.scopes {
            reply.set_header("x-oauth-scopes", &granted.join(", "));
            reply.set_header("x-accepted-oauth-scopes", scope.old);
        }
    }

    /// Answer `POST /site/oauth2/access_token`, with key and secret by Basic authentication or in the form.
    pub(crate) fn issue_token(
        &self,
        header: Option<&str>,
        form: &[(String, String)],
    ) -> SandboxReply {
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        if field("grant_type") != Some("client_credentials") {
            return SandboxReply::json(
                400,
                &json!({"error": "unsupported_grant_type", "error_description": "Unsupported grant type"}),
            );
        }
        let consumer = self
            .accepted
            .iter()
            .find_map(|credentials| match credentials {
                AcceptedCredentials::OauthClient {
                    key,
                    secret,
                    expires_in,
                } if header == Some(basic(key, secret).as_str())
                    || header.is_none()
                        && field("client_id") == Some(key)
                        && field("client_secret") == Some(secret) =>
                {
                    Some(*expires_in)
                }
                _ => None,
            });
        let Some(expires_in) = consumer else {
            return SandboxReply::json(
                400,
                &json!({"error": "unauthorized_client", "error_description": "Invalid OAuth client credentials"}),
            );
        };
        let mut tokens = lock(&self.tokens);
        let token = format!("sandbox-access-token-{}=", tokens.len() + 1);
        tokens.insert(token.clone(), Instant::now() + expires_in);
        let scope = match &self.scopes {
            Some(scopes) => Value::String(scopes.join(" ")),
            None => json!("repository pullrequest pipeline account"),
        };
        SandboxReply::json(
            200,
            &json!({
                "access_token": token,
                "token_type": "bearer",
                "expires_in": expires_in.as_secs(),
                "scope": scope,
            }),
        )
    }

    pub(crate) fn expire_tokens(&self) {
        let now = Instant::now();
        for expiry in lock(&self.tokens).values_mut() {
            *expiry = now;
        }
    }
}

/// Return the header that a client with these credentials sends.
fn basic(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut header = String::from("Basic ");
    for chunk in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits = (0..3).fold(0usize, |bits, at| {
            bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let letter = ALPHABET.get(bits >> (18 - 6 * at) & 63).copied();
            header.push(match letter {
                Some(letter) if at <= chunk.len() => char::from(letter),
                _ => '=',
            });
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_header_is_padded_base64() {
        assert_eq!(basic("a", "b"), "Basic YTpi");
        assert_eq!(basic("ab", "c"), "Basic YWI6Yw==");
        assert_eq!(basic("ab", "cd"), "Basic YWI6Y2Q=");
    }

    #[test]
    fn write_scope_of_an_api_token_does_not_imply_reading() {
        let scope = Scope {
            new: "read:pullrequest:bitbucket",
            old: "pullrequest",
        };
        let with = |scopes: &[&str]| {
            let scopes = scopes.iter().map(|scope| scope.to_string()).collect();
            AccessControl::new(Vec::new(), Some(scopes)).check_scope(&scope)
        };
        assert!(with(&["write:pullrequest:bitbucket"]).is_err());
        assert!(with(&["read:pullrequest:bitbucket"]).is_ok());
        assert!(with(&["pullrequest:write"]).is_ok());
        assert!(with(&["repository"]).is_err());
    }
}
