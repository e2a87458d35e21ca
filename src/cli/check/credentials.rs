//! Each token by itself: what it looks like, whether it ends soon, whether Bitbucket takes it, how much of the hour is
//! left. Of several tokens one that is bad would otherwise fail every third request of a run, at random.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;

use super::finding::{About, Finding};
use super::trouble::{explain, proxy};
use crate::bitbucket::{
    ApiTarget, Budgets, Client, ClientOptions, Credentials, Limits, NextPage, RecordLookup, Token,
    endpoints,
};
use crate::clock;
use crate::config::{Config, Connection, CredentialExpiry, RepositoryPattern};
use crate::error::{Error, ErrorKind, Result};

/// More than this between two clocks is no matter of seconds on the way.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// A token, with a client that has no other.
pub(super) struct CheckedIdentity {
    /// Whether Bitbucket takes it.
    pub(super) works: bool,
    /// "environment variable BITBUCKET_TOKEN".
    pub(super) origin: String,
    pub(super) client: Client,
}

/// The kind of auth that a token is for, by its first letters, which Atlassian has confirmed to be reliable.
fn looks_like(token: &Token) -> Option<(&'static str, &'static str)> {
    let token = token.secret.expose();
    let kinds = [
        ("ATAT", "api-token", "an API token"),
        ("ATCT", "access-token", "an access token"),
        ("ATBB", "app-password", "an app password"),
    ];
    let kind = kinds.iter().find(|(start, ..)| token.starts_with(start))?;
    Some((kind.1, kind.2))
}

/// The tokens of a connection; the findings say why one does not work.
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
            findings.push(About(name, "token").error(&error));
            return Ok(Vec::new());
        }
    };
    let kind = connection.auth.as_str();
    let expiring = config.expiring();
    let expiring = expiring.iter().filter(|it| it.connection == name);
    findings.extend(expiring.map(|expiry| expires(About(name, "token"), expiry)));
    let proxy = proxy(connection, env);
    let mut identities = Vec::new();
    let mut first = true;
    for (tokens, credentials) in one_by_one(&options.credentials) {
        let origin = match tokens.as_slice() {
            [] => "no credentials".to_owned(),
            tokens => join(tokens.iter().map(|token| token.origin.as_str())),
        };
        findings.extend(
            tokens
                .iter()
                .map(|token| shape(About(name, "token"), token, kind)),
        );
        if let Some(warning) = credentials.warning() {
            findings.push(About(name, "token").warn(&origin, warning));
        }
        let client = Client::new(ClientOptions {
            credentials,
            limits: limits(),
            budgets: budgets.clone(),
            ..options.clone()
        })?;
        let contact = contact(&client, connection, config, findings).await;
        let works = contact.is_ok();
        identities.push(CheckedIdentity {
            works,
            origin,
            client,
        });
        match contact {
            Ok(date) if std::mem::take(&mut first) => {
                findings.extend(date.map(|date| clock(About(name, "clock"), date, clock::now())));
            }
            Ok(_) => {}
            Err(error) => findings.push(explain(About(name, "contact"), &error, proxy.as_deref())),
        }
    }
    Ok(identities)
}

/// Whoever waits for an answer wants it in seconds.
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

/// The same credentials with one token each.
fn one_by_one(credentials: &Credentials) -> Vec<(Vec<Token>, Credentials)> {
    match credentials {
        Credentials::ApiToken { email, tokens } => {
            let alone = |token: &Token| Credentials::ApiToken {
                email: email.clone(),
                tokens: vec![token.clone()],
            };
            tokens
                .iter()
                .map(|it| (vec![it.clone()], alone(it)))
                .collect()
        }
        Credentials::AccessToken { tokens } => {
            let alone = |token: &Token| Credentials::AccessToken {
                tokens: vec![token.clone()],
            };
            tokens
                .iter()
                .map(|it| (vec![it.clone()], alone(it)))
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

/// `kind`: the connection's `auth`.
fn shape(about: About<'_>, token: &Token, kind: &str) -> Finding {
    let origin = &token.origin;
    match looks_like(token) {
        Some((fits, called)) if fits == kind => about.ok(format!("{origin} looks like {called}")),
        Some((fits, called)) => about.failed(
            ErrorKind::Credentials,
            format!("{origin} looks like {called}, and auth is \"{kind}\""),
            format!("write auth = \"{fits}\" with the keys that belong to it, or give what \"{kind}\" needs"),
        ),
        None if kind == "oauth-client" => about.ok(format!("{origin} is there")),
        None => about.warn(
            format!("{origin} looks like none of Bitbucket's tokens"),
            "API tokens begin with ATAT, access tokens with ATCT, app passwords with ATBB: check that all of it was copied",
        ),
    }
}

fn expires(about: About<'_>, expiry: &CredentialExpiry) -> Finding {
    let fix = "make a new one in good time, and correct `expires`";
    match expiry.is_over() {
        true => about.failed(ErrorKind::Credentials, expiry.to_string(), fix),
        false => about.warn(expiry.to_string(), fix),
    }
}

/// Both clocks at about the same moment.
fn clock(about: About<'_>, theirs: DateTime<Utc>, ours: DateTime<Utc>) -> Finding {
    let ahead = ours - theirs;
    if ahead.abs() <= SKEW {
        return about.ok("agrees with Bitbucket's within a minute");
    }
    let (seconds, word) = match ahead.num_seconds() {
        ahead if ahead > 0 => (ahead, "ahead of"),
        behind => (-behind, "behind"),
    };
    about.warn(
        format!("this machine's clock is {seconds} seconds {word} Bitbucket's"),
        "set it (NTP): `--deadline`, `schedule`, the hour of the budget and certificates go by it",
    )
}

/// The first request with a token: what would fail here would fail everywhere. Bitbucket's clock, where it said.
async fn contact(
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
    let answer = match connection.auth.as_str() {
        // Access tokens have no workspaces of their own.
        "access-token" | "none" => match patterns.first() {
            Some(pattern) => one(client, pattern).await,
            None => return Ok(None),
        },
        _ => workspaces(client, connection, &patterns, findings).await,
    };
    match answer {
        // It was let in, and what it may not see is for the repositories to say.
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

async fn one(client: &Client, pattern: &RepositoryPattern) -> Result<Option<DateTime<Utc>>> {
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

/// The workspaces of a person's credentials. None at all is how a token without scopes or of the wrong account shows.
async fn workspaces(
    client: &Client,
    connection: &Connection,
    patterns: &[&RepositoryPattern],
    findings: &mut Vec<Finding>,
) -> Result<Option<DateTime<Utc>>> {
    let about = About(&connection.name, "workspaces");
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
                findings.push(about.warn(
                    "the credentials may not list their workspaces",
                    format!("add scope {} to see them here", endpoints::WORKSPACES.scope),
                ));
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    if slugs.is_empty() {
        return Err(Error::new(
            ErrorKind::Credentials,
            "the credentials see no workspace",
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
        [] => findings.push(about.ok(slugs.join(", "))),
        outside => findings.push(about.warn(
            format!(
                "{} is not among those of the credentials ({})",
                outside.join(", "),
                slugs.join(", ")
            ),
            "of other workspaces only public repositories can be read: correct `include`, or have the account invited",
        )),
    }
    Ok(date)
}

fn slug(record: &str) -> Option<String> {
    let record = crate::json::read(record)?.value;
    let slug = record
        .pointer("/workspace/slug")
        .or_else(|| record.get("slug"))?;
    Some(slug.as_str()?.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_token_is_known_by_its_first_letters_and_never_shown() {
        let shown = |secret: &str, kind: &str| {
            let token = Token {
                secret: Secret::new(secret.to_owned()),
                origin: "environment variable T".to_owned(),
            };
            let finding = shape(About("acme", "token"), &token, kind);
            let text = format!("{} {}", finding.said, finding.fix.unwrap_or_default());
            assert!(!text.contains("3xFf"), "{text}");
            text
        };
        let text = shown("ATATT3xFfGF0", "api-token");
        assert_eq!(
            text.trim(),
            "environment variable T looks like an API token"
        );
        let text = shown("ATCTT3xFfGN0", "api-token");
        assert!(text.contains(
            "looks like an access token, and auth is \"api-token\" write auth = \"access-token\""
        ));
        assert!(shown("ATBB3xFf", "access-token").contains("auth = \"app-password\""));
        assert!(shown("3xFf", "access-token").contains("none of Bitbucket's tokens"));
        assert!(shown("3xFf", "oauth-client").contains("is there"));
    }

    #[test]
    fn clocks_that_differ_by_more_than_a_minute_are_told_with_the_figure() {
        let now = DateTime::UNIX_EPOCH;
        let said = |seconds: i64| {
            let theirs = now - TimeDelta::seconds(seconds);
            clock(About("acme", "clock"), theirs, now).said
        };
        assert!(said(60).contains("agrees") && said(-60).contains("agrees"));
        assert!(said(61).contains("61 seconds ahead of"));
        assert!(said(-3600).contains("3600 seconds behind"));
    }
}
