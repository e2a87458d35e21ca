//! Scopes in the two vocabularies that Bitbucket speaks, and those that a token lacks.
//!
//! API tokens have modern scopes (`read:pipeline:bitbucket`), OAuth consumers and access tokens legacy ones
//! (`pipeline`). `x-oauth-scopes` names what was granted in the token's own words, `x-accepted-oauth-scopes` what the
//! list asks for in legacy words, whatever the token has. So both are translated before they are compared, and a scope
//! that no table knows decides nothing.
//!
//! A token's scopes never change: no other list that needs one that a refusal has named is asked for in the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;

use super::reply::Refusal;

/// A legacy scope: its name, the modern scopes that give the same right, and the legacy scopes that it implies.
type Legacy = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// As Atlassian's page "Bitbucket OAuth 2.0 scopes" lists them. `repository:admin` and `repository:delete` imply no
/// reading.
const LEGACY: [Legacy; 20] = [
    (
        "account",
        &["read:user:bitbucket", "read:workspace:bitbucket"],
        &[],
    ),
    ("account:write", &["write:user:bitbucket"], &["account"]),
    ("email", &["read:user:bitbucket"], &[]),
    ("repository", &["read:repository:bitbucket"], &[]),
    (
        "repository:write",
        &["write:repository:bitbucket"],
        &["repository"],
    ),
    ("repository:admin", &["admin:repository:bitbucket"], &[]),
    ("repository:delete", &["delete:repository:bitbucket"], &[]),
    (
        "pullrequest",
        &["read:pullrequest:bitbucket"],
        &["repository"],
    ),
    (
        "pullrequest:write",
        &["write:pullrequest:bitbucket"],
        &["pullrequest", "repository", "repository:write"],
    ),
    ("issue", &["read:issue:bitbucket"], &[]),
    ("issue:write", &["write:issue:bitbucket"], &["issue"]),
    ("pipeline", &["read:pipeline:bitbucket"], &[]),
    (
        "pipeline:write",
        &["write:pipeline:bitbucket"],
        &["pipeline"],
    ),
    ("project", &["read:project:bitbucket"], &["repository"]),
    ("project:admin", &["admin:project:bitbucket"], &[]),
    ("runner", &["read:runner:bitbucket"], &[]),
    ("runner:write", &["write:runner:bitbucket"], &["runner"]),
    ("snippet", &["read:snippet:bitbucket"], &[]),
    ("snippet:write", &["write:snippet:bitbucket"], &["snippet"]),
    (
        "webhook",
        &["read:webhook:bitbucket", "write:webhook:bitbucket"],
        &[],
    ),
];

fn legacy(name: &str) -> Option<&'static Legacy> {
    LEGACY.iter().find(|(known, ..)| *known == name)
}

fn is_modern(name: &str) -> bool {
    name.split(':').count() == 3 && name.ends_with(":bitbucket")
}

/// The modern scopes that are the same as this one, without what it implies; `None` for a name that no table knows.
fn same_as(name: &str) -> Option<Vec<&str>> {
    match is_modern(name) {
        true => Some(vec![name]),
        false => legacy(name).map(|(_, modern, _)| modern.to_vec()),
    }
}

/// The modern scopes of a token, and whether all of its scopes are known.
fn rights(granted: &[String]) -> (BTreeSet<&str>, bool) {
    let (mut rights, mut all_known) = (BTreeSet::new(), true);
    for name in granted {
        let implied = legacy(name).map_or(&[][..], |(.., implied)| implied);
        match same_as(name) {
            Some(same) => rights.extend(same),
            None => all_known = false,
        }
        rights.extend(implied.iter().filter_map(|it| same_as(it)).flatten());
    }
    (rights, all_known)
}

/// Whether a token with `granted` scopes has the one called `name`; `None` where that cannot be told.
fn has(granted: &[String], name: &str) -> Option<bool> {
    if granted.iter().any(|one| one == name) {
        return Some(true);
    }
    let (rights, all_known) = rights(granted);
    match same_as(name) {
        Some(same) if same.iter().any(|one| rights.contains(one)) => Some(true),
        Some(_) if all_known => Some(false),
        _ => None,
    }
}

/// The scopes of a list's `x-accepted-oauth-scopes`, of which one is enough, where the `granted` ones certainly hold
/// none of them; otherwise nothing.
pub(super) fn none_granted(accepted: Vec<String>, granted: &[String]) -> Vec<String> {
    // No header, or an empty one, says nothing of the token.
    if granted.is_empty() || accepted.iter().any(|one| has(granted, one) != Some(false)) {
        return Vec::new();
    }
    let words = |one: &String| in_words_of(granted, one);
    accepted.iter().flat_map(words).collect()
}

/// Of the scopes that a refusal's body requires, of which all are needed, those that are not among the `granted` ones.
pub(super) fn not_granted(required: Vec<String>, granted: &[String]) -> Vec<String> {
    let lacking = required
        .iter()
        .filter(|one| has(granted, one) != Some(true));
    lacking.flat_map(|one| in_words_of(granted, one)).collect()
}

/// A scope by the name that its owner finds where he grants it: modern beside modern ones, legacy beside legacy ones.
fn in_words_of(granted: &[String], name: &str) -> Vec<String> {
    let translated = match granted.iter().any(|one| is_modern(one)) {
        true => same_as(name),
        false if is_modern(name) && !granted.is_empty() => {
            let means = |entry: &&Legacy| entry.1.contains(&name);
            LEGACY.iter().find(means).map(|entry| vec![entry.0])
        }
        false => None,
    };
    let translated = translated.unwrap_or_else(|| vec![name]);
    translated.into_iter().map(str::to_owned).collect()
}

/// What is known of the scopes of a connection's identities.
#[derive(Default)]
pub(super) struct Scopes(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Refusals that named a scope, by identity and scope.
    lacking: BTreeMap<(usize, &'static str), Refusal>,
    /// As a reply's header says.
    granted: BTreeMap<usize, Vec<String>>,
}

impl Scopes {
    /// Whether the identity may have the scope, for all that is known.
    pub(super) fn allow(&self, scope: &'static str, identity: usize) -> bool {
        !self.known().lacking.contains_key(&(identity, scope))
    }

    /// The refusal that named the scope first, and the identity that it was for.
    pub(super) fn refusal(&self, scope: &'static str) -> Option<(usize, Refusal)> {
        let known = self.known();
        let mut of_scope = known.lacking.iter().filter(|((_, it), _)| *it == scope);
        of_scope
            .next()
            .map(|((identity, _), refusal)| (*identity, refusal.clone()))
    }

    /// Remembers a refusal that names this scope; returns whether it does. One that is about the repository, or about
    /// another scope, says nothing of other lists.
    pub(super) fn lacks(&self, scope: &'static str, identity: usize, refusal: &Refusal) -> bool {
        let means_it = |name: &String| same_as(name).is_some_and(|same| same.contains(&scope));
        let lacks =
            refusal.status == StatusCode::FORBIDDEN && refusal.required_scopes.iter().any(means_it);
        if lacks {
            let mut known = self.known();
            known.lacking.insert((identity, scope), refusal.clone());
        }
        lacks
    }

    /// Whether a reply has said what the identity may do.
    pub(super) fn knows(&self, identity: usize) -> bool {
        self.known().granted.contains_key(&identity)
    }

    /// Remembers what a reply's header grants.
    pub(super) fn hear(&self, identity: usize, granted: Vec<String>) {
        if !granted.is_empty() {
            self.known().granted.insert(identity, granted);
        }
    }

    /// Whether the identity certainly has the scope.
    pub(super) fn grants(&self, scope: &str, identity: usize) -> bool {
        let known = self.known();
        let granted = known.granted.get(&identity);
        granted.is_some_and(|granted| has(granted, scope) == Some(true))
    }

    /// The scope in the words of the identity's own scopes, which follow, where it certainly lacks it.
    pub(super) fn missing(&self, scope: &str, identity: usize) -> Option<(String, Vec<String>)> {
        let granted = self.known().granted.get(&identity)?.clone();
        let lacks = has(&granted, scope) == Some(false);
        lacks.then(|| (in_words_of(&granted, scope).join(" and "), granted))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_legacy_header_is_compared_with_modern_scopes_by_translation() {
        let granted = list("read:repository:bitbucket read:pipeline:bitbucket");
        let lacking = |accepted: &str| none_granted(list(accepted), &granted);
        assert!(lacking("pipeline").is_empty());
        assert!(lacking("repository").is_empty());
        assert_eq!(lacking("pullrequest"), ["read:pullrequest:bitbucket"]);
        // Of several accepted ones, one is enough.
        assert!(lacking("pullrequest repository").is_empty());
        // An API token that may write may not read for that.
        let writes = list("write:pipeline:bitbucket");
        assert_eq!(
            none_granted(list("pipeline"), &writes),
            ["read:pipeline:bitbucket"]
        );
    }

    #[test]
    fn legacy_scopes_imply_others() {
        for (granted, accepted) in [
            ("pullrequest", "repository"),
            ("pipeline:write", "pipeline"),
            ("pullrequest:write", "pullrequest"),
            ("issue:write", "issue"),
            ("project", "repository"),
            ("account:write", "account"),
        ] {
            assert!(
                none_granted(list(accepted), &list(granted)).is_empty(),
                "{granted}"
            );
        }
        assert_eq!(
            none_granted(list("repository"), &list("repository:admin")),
            ["repository"]
        );
    }

    #[test]
    fn a_scope_that_no_table_knows_decides_nothing() {
        assert!(none_granted(list("galaxy"), &list("read:pipeline:bitbucket")).is_empty());
        assert!(none_granted(list("pipeline"), &list("repository galaxy")).is_empty());
        assert!(none_granted(list("pipeline"), &[]).is_empty());
        // The body says so itself.
        assert_eq!(not_granted(list("galaxy"), &list("repository")), ["galaxy"]);
    }

    #[test]
    fn what_a_body_requires_is_lacking_unless_it_was_granted() {
        let required = |required: &str, granted: &str| not_granted(list(required), &list(granted));
        assert_eq!(required("pipeline", ""), ["pipeline"]);
        assert_eq!(
            required("pipeline", "read:repository:bitbucket"),
            ["read:pipeline:bitbucket"]
        );
        assert_eq!(
            required("read:pipeline:bitbucket", "repository"),
            ["pipeline"]
        );
        assert!(required("pipeline", "read:pipeline:bitbucket").is_empty());
    }

    #[test]
    fn every_implied_scope_is_in_the_table() {
        for (name, modern, implied) in LEGACY {
            assert!(modern.iter().all(|it| is_modern(it)), "{name}");
            assert!(implied.iter().all(|it| legacy(it).is_some()), "{name}");
        }
    }
}
