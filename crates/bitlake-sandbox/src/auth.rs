//! Who is asking, and what they may read. Wrong credentials are refused, missing ones are not: a request whose
//! `Authorization` header got lost sees public repositories only, which is how whole exports came out empty.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::errors::{self, SandboxReply};
use crate::server::lock;

/// One set of credentials that the sandbox lets in.
#[derive(Debug, Clone)]
pub enum AcceptedCredentials {
    /// API token (with the account's e-mail) or app password (with the user name).
    Basic { user: String, password: String },
    /// Repository, project or workspace access token.
    Bearer { token: String },
    /// An OAuth consumer; its access tokens live for `expires_in`.
    OauthClient {
        key: String,
        secret: String,
        expires_in: Duration,
    },
}

impl AcceptedCredentials {
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            user: user.into(),
            password: password.into(),
        }
    }

    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }

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

/// What a route asks of a token: the same right in API-token and in OAuth-consumer spelling.
pub(crate) struct Scope {
    pub new: &'static str,
    pub old: &'static str,
}

/// How a request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Sees everything its scopes allow.
    Known,
    /// Access tokens and consumers act as a bot of their own.
    Bot,
    /// Sees public repositories.
    Anonymous,
}

pub(crate) struct AccessControl {
    accepted: Vec<AcceptedCredentials>,
    scopes: Option<Vec<String>>,
    /// Access tokens handed out, with the moment they die.
    tokens: Mutex<BTreeMap<String, Instant>>,
}

impl AccessControl {
    pub fn new(accepted: Vec<AcceptedCredentials>, scopes: Option<Vec<String>>) -> Self {
        Self {
            accepted,
            scopes,
            tokens: Mutex::default(),
        }
    }

    /// Reads an `Authorization` header.
    pub fn caller(&self, header: Option<&str>) -> Result<Caller, SandboxReply> {
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

    /// Reads git's `Authorization` header; `None` for wrong credentials.
    pub fn git_caller(&self, header: Option<&str>) -> Option<Caller> {
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

    pub fn check_scope(&self, scope: &Scope) -> Result<(), SandboxReply> {
        let Some(granted) = &self.scopes else {
            return Ok(());
        };
        let new_style = granted.iter().any(|scope| scope.contains(":bitbucket"));
        let allowed = granted.iter().any(|held| {
            held == scope.new
                || !new_style
                    && (held == scope.old
                        || held.strip_suffix(":write") == Some(scope.old)
                        || held.starts_with("pullrequest") && scope.old == "repository")
        });
        if allowed {
            return Ok(());
        }
        let required = if new_style { scope.new } else { scope.old };
        Err(errors::lacks_scopes(&[required], granted))
    }

    /// Required and granted scopes travel in headers, too.
    pub fn announce(&self, scope: &Scope, reply: &mut SandboxReply) {
        if let Some(granted) = &self.scopes {
            reply.set_header("x-oauth-scopes", &granted.join(", "));
            reply.set_header("x-accepted-oauth-scopes", scope.old);
        }
    }

    /// `POST /site/oauth2/access_token`: key and secret by Basic or in the form.
    pub fn issue_token(&self, header: Option<&str>, form: &[(String, String)]) -> SandboxReply {
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

    pub fn expire_tokens(&self) {
        let now = Instant::now();
        for expiry in lock(&self.tokens).values_mut() {
            *expiry = now;
        }
    }
}

/// The header that a client with these credentials sends.
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
