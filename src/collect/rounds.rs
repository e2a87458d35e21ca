//! Breadth first: every repository gets its newest months before any gets its oldest.
//!
//! ```text
//! round 0   all repositories, those that are loaded first: what is new, and a first load down to the 1st of this month
//! round 1   those that are not loaded yet: down to the 1st of last month
//! round n   … until each is down to its `since`
//! ```
//!
//! A page that reaches further than its round's floor costs nothing extra: the next rounds pass the repository by.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

/// How far walks go this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Older records are left for a later round.
    pub(super) floor: DateTime<Utc>,
    /// Whether lists are asked for what is new.
    pub(super) refreshes: bool,
}

/// So early in a month, the first round takes the last month as well.
const NEW_MONTH: Days = Days::new(7);

impl Round {
    pub(super) fn first(now: DateTime<Utc>) -> Self {
        let day = now.checked_sub_days(NEW_MONTH).unwrap_or(now).date_naive();
        Self {
            floor: midnight(day.with_day(1).unwrap_or(day)),
            refreshes: true,
        }
    }

    /// A month further down.
    pub(super) fn next(self) -> Self {
        let floor = self.floor.checked_sub_months(Months::new(1));
        Self {
            floor: floor.unwrap_or(DateTime::UNIX_EPOCH),
            refreshes: false,
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
    fn rounds_go_down_month_by_month() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let first = Round::first(at("2026-03-31T10:00:00Z"));
        assert_eq!(first.floor, at("2026-03-01T00:00:00Z"));
        assert!(first.refreshes && !first.next().refreshes);
        assert_eq!(first.next().next().floor, at("2026-01-01T00:00:00Z"));
        let early = Round::first(at("2026-03-02T10:00:00Z"));
        assert_eq!(early.floor, at("2026-02-01T00:00:00Z"));
    }
}
