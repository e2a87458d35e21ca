//! The revision range of commits in the state: which heads are collected, and which commits the server does not know any more.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::bitbucket::Unavailable;
use crate::lake::ListState;

/// Remove commits that the server does not know from the range. Return whether there were any.
pub(super) fn drop_unknown_commits(state: &mut ListState, reason: &Unavailable) -> bool {
    let unknown = |hash: &String| reason.unknown_commits.contains(hash);
    let heads = state.heads();
    let known: BTreeSet<String> = heads.iter().filter(|it| !unknown(it)).cloned().collect();
    let mut any = known.len() < heads.len();
    state.set_heads(known);
    if let Some(cursor) = &mut state.backfill {
        let had_heads = !cursor.heads.is_empty();
        any |= cursor.heads.iter().any(unknown);
        cursor.heads.retain(|hash| !unknown(hash));
        if !reason.unknown_commits.is_empty() {
            cursor.next = None;
        }
        // A range without heads would be the whole list.
        if had_heads && cursor.heads.is_empty() {
            state.backfill = None;
        }
    }
    any
}

/// Record that the history of `heads` is collected. Heads that no branch or tag names any more are forgotten.
pub(super) fn complete_range(
    state: &mut ListState,
    heads: BTreeSet<String>,
    current_heads: Option<&BTreeSet<String>>,
    last_complete: DateTime<Utc>,
) {
    state.backfill = None;
    state.complete_from = None;
    state.complete_through = Some(last_complete);
    let mut collected = state.heads() | &heads;
    if let Some(current) = current_heads {
        collected.retain(|head| current.contains(head));
    }
    state.set_heads(collected);
}
