//! Checks each token: its kind, its expiry, and whether Bitbucket accepts it.
//!
//! A run spreads its requests over all tokens of a connection, so that one bad token of three fails every third request.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;

use super::finding::{Finding, Topic};
use super::trouble::{explain, find_proxy};
use crate::bitbucket::{
    ApiTarget, Budgets, Client, ClientOptions, Credentials, Limits, NextPage, RecordLookup, Token,
    endpoints,
};
use crate::clock;
use crate::config::{AuthKind, Config, Connection, CredentialExpiry, RepositoryPattern};
use crate::error::{Error, ErrorKind, Result};

/// The largest difference between two clocks that is not reported.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(1);

/// A token with a client that uses no other token.
pub(super) struct CheckedIdentity {
    /// Whether Bitbucket accepts the token.
    pub(super) works: bool,
    /// Where the token is read from, such as `environment variable BITBUCKET_TOKEN`.
    pub(super) origin: String,
    pub(super) client: Client,
}

/// Return the kind of a token and its name in messages. The prefix tells the kind, which Atlassian has confirmed.
fn recognise(token: &Token) -> Option<(AuthKind, &'static str)> {
    let token = token.secret.expose();
    let kinds = [
        ("ATAT", AuthKind::ApiToken, "an API token"),
        ("ATCT", AuthKind::AccessToken, "an access token"),
        ("ATBB", AuthKind::AppPassword, "an app password"),
    ];
    let (_, kind, name) = kinds
        .iter()
        .find(|(prefix, ..)| token.starts_with(prefix))?;
    Some((*kind, name))
}

/// Check the tokens of a connection, add the findings, and return an identity for each token.
///
/// # Errors
/// If the HTTP client cannot be built.
pub(super) async fn check(
    connection: &Connection,
    config: &Config,
    env: &BTreeMap<String, String>,
    budgets: &Budgets,
    findings: &mut Vec<Finding>,
) -> Result<Vec<CheckedIdentity>> {
    let name = connection.name.as_str();
    let options = match ClientOptions::from_connection(connection, env) {
        Ok(options) => options,
        Err(error) => {
            findings.push(Topic(name, "token").error(&error));
            return Ok(Vec::new());
        }
    };
    let kind = connection.auth.kind();
    let expiring = config.expiring();
    let expiring = expiring.iter().filter(|it| it.connection == name);
    findings.extend(expiring.map(|expiry| check_expiry(Topic(name, "token"), expiry)));
    let proxy = find_proxy(connection, env);
    let mut identities = Vec::new();
    let mut first = true;
    for (tokens, credentials) in split_tokens(&options.credentials) {
        let origin = match tokens.as_slice() {
            [] => "no credentials".to_owned(),
            tokens => join(tokens.iter().map(|token| token.origin.as_str())),
        };
        findings.extend(
            tokens
                .iter()
                .map(|token| check_kind(Topic(name, "token"), token, kind)),
        );
        if let Some(warning) = credentials.warning() {
            findings.push(Topic(name, "token").warn(&origin, warning));
        }
        let client = Client::new(ClientOptions {
            credentials,
            limits: limits(),
            budgets: budgets.clone(),
            ..options.clone()
        })?;
        let contact = send_first_request(&client, connection, config, findings).await;
        let works = contact.is_ok();
        identities.push(CheckedIdentity {
            works,
            origin,
            client,
        });
        match contact {
            Ok(date) if std::mem::take(&mut first) => {
                findings
                    .extend(date.map(|date| check_clock(Topic(name, "clock"), date, clock::now())));
            }
            Ok(_) => {}
            Err(error) => findings.push(explain(Topic(name, "contact"), &error, proxy.as_deref())),
        }
    }
    Ok(identities)
}

/// Return limits with few retries, because the user expects the result soon.
fn limits() -> Limits {
    Limits {
        connect_timeout: std::time::Duration::from_secs(10),
        read_timeout: std::time::Duration::from_secs(30),
        retries: 2,
        first_contact_retries: 1,
        rate_limit_retries: 0,
        rate_limit_longest_total_wait: std::time::Duration::ZERO,
        ..Limits::default()
    }
}

/// Return the tokens of `credentials`, each with credentials that contain no other token.
fn split_tokens(credentials: &Credentials) -> Vec<(Vec<Token>, Credentials)> {
    match credentials {
        Credentials::ApiToken { email, tokens } => {
            let single = |token: &Token| Credentials::ApiToken {
                email: email.clone(),
                tokens: vec![token.clone()],
            };
            tokens
                .iter()
                .map(|it| (vec![it.clone()], single(it)))
                .collect()
        }
        Credentials::AccessToken { tokens } => {
            let single = |token: &Token| Credentials::AccessToken {
                tokens: vec![token.clone()],
            };
            tokens
                .iter()
                .map(|it| (vec![it.clone()], single(it)))
                .collect()
        }
        Credentials::OauthClient { key, secret, .. } => {
            vec![(vec![key.clone(), secret.clone()], credentials.clone())]
        }
        Credentials::AppPassword { password, .. } => {
            vec![(vec![password.clone()], credentials.clone())]
        }
        Credentials::None => vec![(Vec::new(), Credentials::None)],
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(" and ")
}

/// Check that a token is of `kind`, which the connection's `auth` names.
fn check_kind(topic: Topic<'_>, token: &Token, kind: AuthKind) -> Finding {
    let origin = &token.origin;
    match recognise(token) {
        Some((found, name)) if found == kind => topic.ok(format!("{origin} looks like {name}")),
        Some((found, name)) => topic.failed(
            ErrorKind::Credentials,
            format!("{origin} looks like {name}, but auth is \"{}\"", kind.as_str()),
            format!(
                "write auth = \"{}\" with its keys, or provide a credential of the kind \"{}\"",
                found.as_str(),
                kind.as_str()
            ),
        ),
        None if kind == AuthKind::OauthClient => topic.ok(format!("{origin} is set")),
        None => topic.warn(
            format!("{origin} looks like none of Bitbucket's tokens"),
            "check that the whole token was copied: API tokens begin with ATAT, access tokens with ATCT, app passwords with ATBB",
        ),
    }
}

fn check_expiry(topic: Topic<'_>, expiry: &CredentialExpiry) -> Finding {
    let fix = "create a new one before that day, and update `expires`";
    match expiry.is_expired() {
        true => topic.failed(ErrorKind::Credentials, expiry.to_string(), fix),
        false => topic.warn(expiry.to_string(), fix),
    }
}

/// Compare the clock of this machine with that of Bitbucket.
fn check_clock(topic: Topic<'_>, theirs: DateTime<Utc>, ours: DateTime<Utc>) -> Finding {
    let ahead = ours - theirs;
    if ahead.abs() <= MAX_SKEW {
        return topic.ok("agrees with Bitbucket's within a minute");
    }
    let (seconds, relation) = match ahead.num_seconds() {
        ahead if ahead > 0 => (ahead, "ahead of"),
        behind => (-behind, "behind"),
    };
    topic.warn(
        format!("this machine's clock is {seconds} seconds {relation} Bitbucket's"),
        "synchronise the clock (NTP): `--deadline`, `schedule`, the request budget and certificates depend on it",
    )
}

/// Send the first request with a token, and return Bitbucket's clock if the response has one. An error of this request
/// affects all requests of the token.
async fn send_first_request(
    client: &Client,
    connection: &Connection,
    config: &Config,
    findings: &mut Vec<Finding>,
) -> Result<Option<DateTime<Utc>>> {
    let selections = config.repositories.iter();
    let patterns = selections
        .filter(|selection| selection.connection == connection.name)
        .flat_map(|selection| &selection.include);
    let patterns: Vec<&RepositoryPattern> = patterns.collect();
    let answer = match connection.auth.kind() {
        // Access tokens cannot list workspaces.
        AuthKind::AccessToken | AuthKind::None => match patterns.first() {
            Some(pattern) => request_pattern(client, pattern).await,
            None => return Ok(None),
        },
        _ => check_workspaces(client, connection, &patterns, findings).await,
    };
    match answer {
        // The credentials are accepted; the checks of the repositories report what they may not read.
        Err(error)
            if matches!(
                error.status(),
                Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
            ) =>
        {
            Ok(None)
        }
        answer => answer,
    }
}

/// Request the repository or the listing that `pattern` names, and return Bitbucket's clock.
async fn request_pattern(
    client: &Client,
    pattern: &RepositoryPattern,
) -> Result<Option<DateTime<Utc>>> {
    if pattern.is_exact() {
        let target = ApiTarget::full_name(&pattern.text);
        return Ok(match client.get(&endpoints::REPOSITORY, &target).await? {
            RecordLookup::Found { date, .. } => date,
            RecordLookup::Unavailable(_) => None,
        });
    }
    let target = ApiTarget::workspace(pattern.workspace());
    let mut pages = client
        .list(&endpoints::REPOSITORIES, target)
        .with_page(1, 1);
    Ok(match pages.next().await? {
        NextPage::Page(page) => page.date,
        NextPage::End | NextPage::Unavailable(_) => None,
    })
}

/// Check the workspaces that the credentials can list. A token without scopes, or of the wrong account, lists none.
async fn check_workspaces(
    client: &Client,
    connection: &Connection,
    patterns: &[&RepositoryPattern],
    findings: &mut Vec<Finding>,
) -> Result<Option<DateTime<Utc>>> {
    let topic = Topic(&connection.name, "workspaces");
    let mut pages = client.list(&endpoints::WORKSPACES, ApiTarget::default());
    let (mut slugs, mut date) = (Vec::new(), None);
    loop {
        match pages.next().await {
            Ok(NextPage::Page(page)) => {
                date = page.date;
                slugs.extend(page.values.iter().filter_map(|record| slug(record.get())));
            }
            Ok(NextPage::End | NextPage::Unavailable(_)) => break,
            Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {
                findings.push(topic.warn(
                    "the credentials may not list workspaces",
                    format!(
                        "add scope {} to list them here",
                        endpoints::WORKSPACES.scope
                    ),
                ));
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    if slugs.is_empty() {
        return Err(Error::new(
            ErrorKind::Credentials,
            "the credentials can list no workspace",
        )
        .hint("check that the account is a member of the workspace and the token was created with scopes"));
    }
    let missing =
        |pattern: &&&RepositoryPattern| !slugs.iter().any(|slug| slug == pattern.workspace());
    let mut outside: Vec<_> = patterns
        .iter()
        .filter(missing)
        .map(|it| it.workspace())
        .collect();
    outside.dedup();
    match outside.as_slice() {
        [] => findings.push(topic.ok(slugs.join(", "))),
        outside => findings.push(topic.warn(
            format!(
                "the account is not a member of {} (member of {})",
                outside.join(", "),
                slugs.join(", ")
            ),
            "only public repositories of other workspaces can be read: correct `include`, or invite the account",
        )),
    }
    Ok(date)
}

/// Return the slug of a workspace, which a membership wraps.
fn slug(record: &str) -> Option<String> {
    let record = crate::json::read(record)?.document;
    let slug = record
        .root()
        .pointer("/workspace/slug")
        .or_else(|| record.root().get("slug"))?;
    Some(slug.as_str()?.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_token_is_recognised_by_its_prefix_and_never_shown() {
        let shown = |secret: &str, kind: AuthKind| {
            let token = Token {
                secret: Secret::new(secret.to_owned()),
                origin: "environment variable T".to_owned(),
            };
            let finding = check_kind(Topic("acme", "token"), &token, kind);
            let text = format!("{} {}", finding.message, finding.fix.unwrap_or_default());
            assert!(!text.contains("3xFf"), "{text}");
            text
        };
        let text = shown("ATATT3xFfGF0", AuthKind::ApiToken);
        assert_eq!(
            text.trim(),
            "environment variable T looks like an API token"
        );
        let text = shown("ATCTT3xFfGN0", AuthKind::ApiToken);
        assert!(text.contains(
            "looks like an access token, but auth is \"api-token\" write auth = \"access-token\""
        ));
        assert!(shown("ATBB3xFf", AuthKind::AccessToken).contains("auth = \"app-password\""));
        assert!(shown("3xFf", AuthKind::AccessToken).contains("none of Bitbucket's tokens"));
        assert!(shown("3xFf", AuthKind::OauthClient).contains("is set"));
    }

    #[test]
    fn a_clock_that_differs_by_more_than_a_minute_is_reported_with_the_difference() {
        let now = DateTime::UNIX_EPOCH;
        let message = |seconds: i64| {
            let theirs = now - TimeDelta::seconds(seconds);
            check_clock(Topic("acme", "clock"), theirs, now).message
        };
        assert!(message(60).contains("agrees") && message(-60).contains("agrees"));
        assert!(message(61).contains("61 seconds ahead of"));
        assert!(message(-3600).contains("3600 seconds behind"));
    }
}
