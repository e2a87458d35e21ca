//! Chooses the repositories that a run skips because the hour's budget has no room for a visit of each.
//!
//! ```text
//! hot     the last visit found new records, or something was pushed since    visited by every run
//! cold    neither                                                           visited while the budget has room, those with
//!                                                                           the oldest visit first; each within three days
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::bitbucket::HeadRoom;

/// The longest time between two visits of a repository.
const LONGEST_DEFERRAL: TimeDelta = TimeDelta::days(3);

/// The lists that a visit of a repository without new records reads: pull requests, pipelines, deployments.
pub(super) const LISTS_OF_A_VISIT: u64 = 3;

/// A repository that a run may visit.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    /// The connection's name.
    pub(super) connection: &'a str,
    /// The requests of its last visit; at least [`LISTS_OF_A_VISIT`].
    pub(super) requests: u64,
    /// The last visit of a cold repository; `None` for a hot one.
    pub(super) cold_since: Option<DateTime<Utc>>,
}

/// Return the positions of the candidates to defer. `head_rooms`: the budgets of the connections, by name; hot
/// repositories and overdue ones are visited whether they fit or not.
pub(super) fn choose_deferred(
    candidates: &[Candidate<'_>],
    head_rooms: &BTreeMap<String, HeadRoom>,
    now: DateTime<Utc>,
) -> BTreeSet<usize> {
    let mut left: BTreeMap<&str, u64> = head_rooms
        .iter()
        .map(|(connection, room)| (connection.as_str(), room.left.into()))
        .collect();
    let mut cold = Vec::new();
    for (position, candidate) in candidates.iter().enumerate() {
        match candidate.cold_since {
            Some(since) if now - since < LONGEST_DEFERRAL => cold.push((since, position)),
            _ => {
                let left = left.entry(candidate.connection).or_default();
                *left = left.saturating_sub(candidate.requests);
            }
        }
    }
    cold.sort_unstable();
    let mut deferred = BTreeSet::new();
    for (_, position) in cold {
        let Some(candidate) = candidates.get(position) else {
            continue;
        };
        let left = left.entry(candidate.connection).or_default();
        match left.checked_sub(candidate.requests) {
            Some(rest) => *left = rest,
            None => {
                deferred.insert(position);
                // A repository with a newer visit must not come before this one.
                *left = 0;
            }
        }
    }
    deferred
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn cold(day: i64) -> Candidate<'static> {
        Candidate {
            connection: "acme",
            requests: 3,
            cold_since: Some(at(day)),
        }
    }

    fn hot(requests: u64) -> Candidate<'static> {
        Candidate {
            connection: "acme",
            requests,
            cold_since: None,
        }
    }

    fn deferred(candidates: &[Candidate<'_>], left: u32, now: DateTime<Utc>) -> BTreeSet<usize> {
        let room = HeadRoom { left, limit: 1_000 };
        let head_rooms = BTreeMap::from([("acme".to_owned(), room)]);
        choose_deferred(candidates, &head_rooms, now)
    }

    #[test]
    fn a_budget_with_room_for_all_defers_none() {
        let all = [hot(4), cold(9), cold(8)];
        assert!(deferred(&all, 10, at(10)).is_empty());
    }

    #[test]
    fn the_oldest_visits_come_first() {
        let all = [hot(4), cold(9), cold(8), cold(9)];
        assert_eq!(deferred(&all, 9, at(10)), BTreeSet::from([1, 3]));
    }

    #[test]
    fn a_visit_is_due_after_three_days_whatever_it_costs() {
        let all = [hot(400), cold(7), cold(8)];
        assert_eq!(deferred(&all, 9, at(10)), BTreeSet::from([2]));
    }

    #[test]
    fn each_connection_has_its_own_budget() {
        let other = Candidate {
            connection: "other",
            ..cold(9)
        };
        let all = [hot(9), cold(9), other];
        let room = |left| HeadRoom { left, limit: 1_000 };
        let head_rooms =
            BTreeMap::from([("acme".to_owned(), room(9)), ("other".to_owned(), room(3))]);
        assert_eq!(
            choose_deferred(&all, &head_rooms, at(10)),
            BTreeSet::from([1])
        );
    }

    #[test]
    fn every_repository_is_visited_within_a_few_nights() {
        let mut visited: Vec<i64> = vec![0; 100];
        for night in 1..=20 {
            let all: Vec<_> = visited.iter().map(|day| cold(*day)).collect();
            let deferred = deferred(&all, 120, at(night));
            for (position, day) in visited.iter_mut().enumerate() {
                if !deferred.contains(&position) {
                    *day = night;
                }
            }
            assert!(visited.iter().all(|day| night - day < 4), "night {night}");
        }
    }
}
