//! Scopes that credentials lack, as Bitbucket said when they were first needed: a token's scopes never change, so no
//! other list that needs one of them has to be asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::StatusCode;

use super::reply::Refusal;

#[derive(Default)]
pub(super) struct Scopes(Mutex<Refusals>);

/// By identity and scope.
type Refusals = BTreeMap<(usize, &'static str), Refusal>;

impl Scopes {
    /// Whether the identity may have the scope, for all that is known.
    pub(super) fn allow(&self, scope: &'static str, identity: usize) -> bool {
        !self.lacking().contains_key(&(identity, scope))
    }

    /// What was said when the scope was asked for first, and to which identity.
    pub(super) fn refusal(&self, scope: &'static str) -> Option<(usize, Refusal)> {
        let lacking = self.lacking();
        let mut of_scope = lacking.iter().filter(|((_, lacked), _)| *lacked == scope);
        of_scope
            .next()
            .map(|((identity, _), refusal)| (*identity, refusal.clone()))
    }

    /// Remembers a refusal that names a scope; whether it is one.
    pub(super) fn lacks(&self, scope: &'static str, identity: usize, refusal: &Refusal) -> bool {
        let names_one = !refusal.required_scopes.is_empty();
        let lacks = refusal.status == StatusCode::FORBIDDEN && names_one;
        if lacks {
            self.lacking().insert((identity, scope), refusal.clone());
        }
        lacks
    }

    fn lacking(&self) -> MutexGuard<'_, Refusals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
