//! The scopes that each identity of a connection has or lacks.
//!
//! The scopes of a token never change. After a refusal that names a missing scope, no other list that needs the scope is
//! requested with the same token during the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;

use super::refusal::Refusal;
use super::scope_names::{has_scope, is_same, translate};

/// A scope that a token lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingScope {
    /// The name of the scope in the vocabulary of the token.
    pub scope: String,
    /// The scopes of the token.
    pub granted: Vec<String>,
}

/// The known scopes of a connection's identities, by their number.
#[derive(Default)]
pub(super) struct Scopes(Mutex<KnownScopes>);

#[derive(Default)]
struct KnownScopes {
    /// Refusals that name a missing scope, by identity and scope.
    refused: BTreeMap<(usize, &'static str), Refusal>,
    /// The scopes of each identity, from the headers of a response.
    granted: BTreeMap<usize, Vec<String>>,
}

impl Scopes {
    /// Whether no refusal says that the identity lacks the scope.
    pub(super) fn is_allowed(&self, scope: &'static str, identity: usize) -> bool {
        !self.known().refused.contains_key(&(identity, scope))
    }

    /// Return a refusal that names the scope, and the identity that was refused.
    pub(super) fn refusal(&self, scope: &'static str) -> Option<(usize, Refusal)> {
        let known = self.known();
        let mut of_scope = known.refused.iter().filter(|((_, it), _)| *it == scope);
        let ((identity, _), refusal) = of_scope.next()?;
        Some((*identity, refusal.clone()))
    }

    /// Record a refusal that names this scope. Return whether it does: a refusal of a repository or of another scope
    /// does not apply to other lists.
    pub(super) fn record_refusal(
        &self,
        scope: &'static str,
        identity: usize,
        refusal: &Refusal,
    ) -> bool {
        let mut required = refusal.required_scopes.iter();
        let names_scope =
            refusal.status == StatusCode::FORBIDDEN && required.any(|name| is_same(name, scope));
        if names_scope {
            let mut known = self.known();
            known.refused.insert((identity, scope), refusal.clone());
        }
        names_scope
    }

    /// Whether the scopes of the identity are known.
    pub(super) fn has_granted(&self, identity: usize) -> bool {
        self.known().granted.contains_key(&identity)
    }

    /// Record the scopes of the identity; an empty list is ignored.
    pub(super) fn record_granted(&self, identity: usize, granted: Vec<String>) {
        if !granted.is_empty() {
            self.known().granted.insert(identity, granted);
        }
    }

    /// Whether the identity certainly has the scope.
    pub(super) fn is_granted(&self, scope: &str, identity: usize) -> bool {
        let known = self.known();
        let granted = known.granted.get(&identity);
        granted.is_some_and(|granted| has_scope(granted, scope) == Some(true))
    }

    /// Return the scope when the identity certainly lacks it.
    pub(super) fn missing(&self, scope: &str, identity: usize) -> Option<MissingScope> {
        let granted = self.known().granted.get(&identity)?.clone();
        if has_scope(&granted, scope) != Some(false) {
            return None;
        }
        Some(MissingScope {
            scope: translate(scope, &granted).join(" and "),
            granted,
        })
    }

    fn known(&self) -> MutexGuard<'_, KnownScopes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
