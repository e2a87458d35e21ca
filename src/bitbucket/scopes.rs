//! Scopes that credentials lack, as Bitbucket said when they were first needed: a token's scopes never change, so no
//! other list that needs one of them has to be asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::StatusCode;

use super::reply::Refusal;

/// Refusals by identity and scope.
#[derive(Default)]
pub(super) struct Scopes(Mutex<BTreeMap<(usize, &'static str), Refusal>>);

impl Scopes {
    /// Those of the identities that are not known to lack the scope; what was said to the first, if all do.
    pub(super) fn able<T>(
        &self,
        scope: &'static str,
        identities: impl Iterator<Item = (usize, T)>,
    ) -> Result<Vec<(usize, T)>, (usize, Refusal)> {
        let lacking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = None;
        let mut able = Vec::new();
        for (n, identity) in identities {
            match lacking.get(&(n, scope)) {
                None => able.push((n, identity)),
                Some(refusal) => {
                    refused.get_or_insert_with(|| (n, refusal.clone()));
                }
            }
        }
        match refused {
            Some(refused) if able.is_empty() => Err(refused),
            _ => Ok(able),
        }
    }

    /// Remembers a refusal that names a scope; whether it is one.
    pub(super) fn lacks(&self, scope: &'static str, identity: usize, refusal: &Refusal) -> bool {
        let names_one = !refusal.required_scopes.is_empty();
        let lacks = refusal.status == StatusCode::FORBIDDEN && names_one;
        if lacks {
            let mut lacking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lacking.insert((identity, scope), refusal.clone());
        }
        lacks
    }
}
