//! When even a request or three for each repository is more than the hour has, those where nothing has happened for a
//! while take turns.
//!
//! ```text
//! hot    the last visit brought something, or something was pushed since    every run
//! cold   neither                                                           as many as the hour has room for, those first
//!                                                                          that were visited longest ago; all within three days
//! ```

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

/// The longest that a repository goes without a visit: so stale may what is known of a cold one be.
const LONGEST_REST: TimeDelta = TimeDelta::days(3);

/// The lists that even a repository without news is asked for: pull requests, pipelines, deployments.
pub(super) const LISTS_OF_A_VISIT: u64 = 3;

/// A repository that may be visited.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What its last visit cost; at least the lists that every visit reads.
    pub(super) requests: u64,
    /// When a cold one was visited last; nothing for a hot one.
    pub(super) cold_since: Option<DateTime<Utc>>,
}

impl Candidate {
    /// One that was never visited.
    pub(super) const NEW: Self = Self {
        requests: LISTS_OF_A_VISIT,
        cold_since: None,
    };
}

/// The places of those that rest this time. `per_hour`: requests that all identities of their connection have.
pub(super) fn resting(
    candidates: &[Candidate],
    per_hour: u64,
    now: DateTime<Utc>,
) -> BTreeSet<usize> {
    let mut room = per_hour;
    let mut cold = Vec::new();
    for (place, candidate) in candidates.iter().enumerate() {
        match candidate.cold_since {
            Some(since) if now - since < LONGEST_REST => cold.push((since, place, candidate)),
            _ => room = room.saturating_sub(candidate.requests),
        }
    }
    cold.sort_by_key(|(since, place, _)| (*since, *place));
    let mut resting = BTreeSet::new();
    for (_, place, candidate) in cold {
        match room.checked_sub(candidate.requests) {
            Some(rest) => room = rest,
            None => {
                resting.insert(place);
                // The next one's turn does not come before this one's.
                room = 0;
            }
        }
    }
    resting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn cold(day: i64) -> Candidate {
        Candidate {
            requests: 3,
            cold_since: Some(at(day)),
        }
    }

    fn hot(requests: u64) -> Candidate {
        Candidate {
            requests,
            cold_since: None,
        }
    }

    #[test]
    fn an_hour_with_room_for_all_lets_nobody_rest() {
        let all = [hot(4), cold(9), cold(8)];
        assert!(resting(&all, 10, at(10)).is_empty());
    }

    #[test]
    fn those_visited_longest_ago_come_first() {
        let all = [hot(4), cold(9), cold(8), cold(9)];
        assert_eq!(resting(&all, 9, at(10)), BTreeSet::from([1, 3]));
    }

    #[test]
    fn after_three_days_a_visit_is_due_whatever_it_costs() {
        let all = [hot(400), cold(7), cold(8)];
        assert_eq!(resting(&all, 9, at(10)), BTreeSet::from([2]));
    }

    #[test]
    fn in_a_few_nights_everybody_had_a_visit() {
        let mut visited: Vec<i64> = vec![0; 100];
        for night in 1..=20 {
            let all: Vec<_> = visited.iter().map(|day| cold(*day)).collect();
            let rest = resting(&all, 120, at(night));
            for (place, day) in visited.iter_mut().enumerate() {
                if !rest.contains(&place) {
                    *day = night;
                }
            }
            assert!(visited.iter().all(|day| night - day < 4), "night {night}");
        }
    }
}
