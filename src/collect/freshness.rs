//! What the state says about a repository before any request: whether it moved, whether a list is to be asked for again, and how
//! the repository competes for the hour.

use chrono::{DateTime, TimeDelta, Utc};

use super::repositories::DiscoveredRepository;
use super::rotation::{Candidate, LISTS_OF_A_VISIT};
use crate::lake::{ListState, ListStatus, RepositoryState};

/// How long an unavailable list is not requested again, once it was unavailable for [`CONFIRMED_AFTER`].
const NOT_REQUESTED_FOR: TimeDelta = TimeDelta::days(7);
/// Bitbucket has called the lists of whole workspaces unavailable by mistake, so one answer is not enough.
const CONFIRMED_AFTER: TimeDelta = TimeDelta::days(1);

/// How a repository competes for the hour. It is cold when its last visit found nothing new, nothing was pushed since, and no
/// list is unfinished.
pub(super) fn candidate(state: &RepositoryState, discovered: &DiscoveredRepository) -> Candidate {
    let is_unfinished =
        |list: &ListState| list.has_cursor() || list.is_lost || !list.pending.is_empty();
    let is_cold = is_unmoved(state, discovered) && !state.entities.values().any(is_unfinished);
    let last = state.last_visit.as_ref();
    Candidate {
        requests: last.map_or(0, |visit| visit.requests).max(LISTS_OF_A_VISIT),
        cold_since: last
            .filter(|visit| is_cold && visit.quiet)
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
