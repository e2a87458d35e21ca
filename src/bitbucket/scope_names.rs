//! The names of scopes in Bitbucket's two vocabularies.
//!
//! API tokens have modern scopes (`read:pipeline:bitbucket`), OAuth consumers and access tokens legacy ones
//! (`pipeline`). The header `x-oauth-scopes` lists the granted scopes in the token's own vocabulary,
//! `x-accepted-oauth-scopes` the scopes of the list in the legacy vocabulary, whatever the token has. Names are therefore
//! translated before they are compared, and an unknown name is never taken as missing.

use std::collections::BTreeSet;

/// A legacy scope: its name, the modern scopes that grant the same permission, and the legacy scopes that it implies.
type LegacyScope = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// The legacy scopes of Atlassian's page "Bitbucket OAuth 2.0 scopes". `repository:admin` and `repository:delete` do not
/// imply read access.
const LEGACY: [LegacyScope; 20] = [
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

fn find_legacy(name: &str) -> Option<&'static LegacyScope> {
    LEGACY.iter().find(|(known, ..)| *known == name)
}

fn is_modern(name: &str) -> bool {
    name.split(':').count() == 3 && name.ends_with(":bitbucket")
}

/// Return the modern scopes that equal this one, without implied ones; `None` for an unknown name.
fn to_modern(name: &str) -> Option<Vec<&str>> {
    if is_modern(name) {
        return Some(vec![name]);
    }
    find_legacy(name).map(|(_, modern, _)| modern.to_vec())
}

/// Return the modern scopes of a token, implied ones included, and whether all of its scopes are known.
fn expand(granted: &[String]) -> (BTreeSet<&str>, bool) {
    let (mut scopes, mut all_known) = (BTreeSet::new(), true);
    for name in granted {
        let implied = find_legacy(name).map_or(&[][..], |(.., implied)| implied);
        match to_modern(name) {
            Some(modern) => scopes.extend(modern),
            None => all_known = false,
        }
        scopes.extend(implied.iter().filter_map(|name| to_modern(name)).flatten());
    }
    (scopes, all_known)
}

/// Whether the scope `name` and the modern scope `scope` are the same.
pub(super) fn is_same(name: &str, scope: &str) -> bool {
    to_modern(name).is_some_and(|modern| modern.contains(&scope))
}

/// Whether a token with the `granted` scopes has the scope `name`; `None` when unknown scopes make it undecidable.
pub(super) fn has_scope(granted: &[String], name: &str) -> Option<bool> {
    if granted.iter().any(|one| one == name) {
        return Some(true);
    }
    let (scopes, all_known) = expand(granted);
    match to_modern(name) {
        Some(modern) if modern.iter().any(|one| scopes.contains(one)) => Some(true),
        Some(_) if all_known => Some(false),
        _ => None,
    }
}

/// Return the `accepted` scopes of a list, any one of which is sufficient, when a token with the `granted` scopes
/// certainly has none of them; otherwise an empty list.
pub(super) fn missing_accepted(accepted: &[String], granted: &[String]) -> Vec<String> {
    let is_undecided = |one: &String| has_scope(granted, one) != Some(false);
    // A missing or empty header does not describe the token.
    if granted.is_empty() || accepted.iter().any(is_undecided) {
        return Vec::new();
    }
    let translate = |one: &String| translate(one, granted);
    accepted.iter().flat_map(translate).collect()
}

/// Return the `required` scopes, all of which are necessary, that a token with the `granted` scopes may lack.
pub(super) fn missing_required(required: &[String], granted: &[String]) -> Vec<String> {
    let missing = required
        .iter()
        .filter(|one| has_scope(granted, one) != Some(true));
    missing.flat_map(|one| translate(one, granted)).collect()
}

/// Translate a scope into the vocabulary of the `granted` scopes, in which the owner of the token knows it.
pub(super) fn translate(name: &str, granted: &[String]) -> Vec<String> {
    let translated = if granted.iter().any(|one| is_modern(one)) {
        to_modern(name)
    } else if is_modern(name) && !granted.is_empty() {
        let is_equal = |entry: &&LegacyScope| entry.1.contains(&name);
        LEGACY.iter().find(is_equal).map(|entry| vec![entry.0])
    } else {
        None
    };
    let translated = translated.unwrap_or_else(|| vec![name]);
    translated.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn accepted(accepted: &str, granted: &str) -> Vec<String> {
        missing_accepted(&list(accepted), &list(granted))
    }

    fn required(required: &str, granted: &str) -> Vec<String> {
        missing_required(&list(required), &list(granted))
    }

    #[test]
    fn legacy_names_are_translated_before_they_are_compared_with_modern_scopes() {
        let granted = "read:repository:bitbucket read:pipeline:bitbucket";
        assert!(accepted("pipeline", granted).is_empty());
        assert!(accepted("repository", granted).is_empty());
        assert_eq!(
            accepted("pullrequest", granted),
            ["read:pullrequest:bitbucket"]
        );
        // Any one of several accepted scopes is sufficient.
        assert!(accepted("pullrequest repository", granted).is_empty());
        // A modern write scope does not imply read access.
        assert_eq!(
            accepted("pipeline", "write:pipeline:bitbucket"),
            ["read:pipeline:bitbucket"]
        );
    }

    #[test]
    fn legacy_scopes_imply_other_scopes() {
        for (granted, name) in [
            ("pullrequest", "repository"),
            ("pipeline:write", "pipeline"),
            ("pullrequest:write", "pullrequest"),
            ("issue:write", "issue"),
            ("project", "repository"),
            ("account:write", "account"),
        ] {
            assert!(accepted(name, granted).is_empty(), "{granted}");
        }
        assert_eq!(accepted("repository", "repository:admin"), ["repository"]);
    }

    #[test]
    fn an_unknown_scope_is_undecidable() {
        assert!(accepted("galaxy", "read:pipeline:bitbucket").is_empty());
        assert!(accepted("pipeline", "repository galaxy").is_empty());
        assert!(accepted("pipeline", "").is_empty());
        // The body of a refusal names it explicitly.
        assert_eq!(required("galaxy", "repository"), ["galaxy"]);
    }

    #[test]
    fn a_required_scope_is_missing_unless_it_is_granted() {
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
            assert!(implied.iter().all(|it| find_legacy(it).is_some()), "{name}");
        }
    }
}
