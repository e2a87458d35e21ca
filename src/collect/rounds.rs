//! Breadth first: every repository gets its newest months before any gets its oldest.
//!
//! ```text
//! round 0   all repositories, known ones first: new records, and first loads down to the 1st of this month
//! round 1   unfinished repositories: down to the 1st of last month
//! round n   … until each is complete from its `since` on
//! ```
//!
//! A page that goes beyond the floor costs nothing extra: later rounds skip the list until they reach that time.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

/// The range of time that the lists are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Older records are left to a later round.
    pub(super) floor: DateTime<Utc>,
    /// Whether this is the first round, which also reads the records that are new since the last run.
    pub(super) is_first: bool,
}

/// In the first days of a month, the first round also reads the previous month.
const NEW_MONTH: Days = Days::new(7);

impl Round {
    /// Return the first round of a run that starts at `now`.
    pub(super) fn first(now: DateTime<Utc>) -> Self {
        let day = now.checked_sub_days(NEW_MONTH).unwrap_or(now).date_naive();
        Self {
            floor: midnight(day.with_day(1).unwrap_or(day)),
            is_first: true,
        }
    }

    /// Return the round that reads one more month.
    pub(super) fn next(self) -> Self {
        let floor = self.floor.checked_sub_months(Months::new(1));
        Self {
            floor: floor.unwrap_or(DateTime::UNIX_EPOCH),
            is_first: false,
        }
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_reads_one_more_month() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let first = Round::first(at("2026-03-31T10:00:00Z"));
        assert_eq!(first.floor, at("2026-03-01T00:00:00Z"));
        assert!(first.is_first && !first.next().is_first);
        assert_eq!(first.next().next().floor, at("2026-01-01T00:00:00Z"));
        let early = Round::first(at("2026-03-02T10:00:00Z"));
        assert_eq!(early.floor, at("2026-02-01T00:00:00Z"));
    }
}
