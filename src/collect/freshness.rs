//! What the state says about a repository before any request: whether it moved, whether a list is to be asked for again, and how
//! the repository competes for the hour.

use chrono::{DateTime, TimeDelta, Utc};

use super::deferral::{Candidate, LISTS_OF_A_VISIT};
use super::discovered::DiscoveredRepository;
use crate::lake::{ListState, ListStatus, RepositoryState};

/// How long an unavailable list is not requested again, once it was unavailable for [`CONFIRMED_AFTER`].
const NOT_REQUESTED_FOR: TimeDelta = TimeDelta::days(7);
/// The time after which a repeated answer that something does not exist is believed. Bitbucket has called whole workspaces
/// unavailable by mistake, so one answer is not enough.
pub(super) const CONFIRMED_AFTER: TimeDelta = TimeDelta::days(1);

/// Return how a repository competes for the hour's budget. It is cold when its last visit found nothing new, nothing was
/// pushed since, and no list is unfinished. `state`: `None` for a repository that was never visited.
pub(super) fn candidate<'a>(
    state: Option<&RepositoryState>,
    discovered: &'a DiscoveredRepository,
) -> Candidate<'a> {
    let is_unfinished =
        |list: &ListState| list.has_cursor() || list.is_lost || !list.pending.is_empty();
    let is_cold = |state: &RepositoryState| {
        is_unmoved(state, discovered) && !state.entities.values().any(is_unfinished)
    };
    let last_visit = state.and_then(|state| state.last_visit.as_ref());
    Candidate {
        connection: &discovered.connection,
        requests: last_visit
            .map_or(0, |visit| visit.requests)
            .max(LISTS_OF_A_VISIT),
        cold_since: last_visit
            .filter(|visit| visit.quiet && state.is_some_and(is_cold))
            .map(|visit| visit.on),
    }
}

/// Whether nothing was pushed since branches, tags and commits were read.
pub(super) fn is_unmoved(state: &RepositoryState, discovered: &DiscoveredRepository) -> bool {
    discovered.updated_on.is_some() && state.refs_as_of == discovered.updated_on
}

/// Whether a list was found unavailable so recently that it is not requested again.
pub(super) fn is_known_unavailable(list: &ListState, now: DateTime<Utc>) -> bool {
    let Some((since, on)) = list.unavailable_since.zip(list.unavailable_on) else {
        return false;
    };
    let is_confirmed = on - since >= CONFIRMED_AFTER;
    list.status == ListStatus::Unavailable && is_confirmed && now - on < NOT_REQUESTED_FOR
}
