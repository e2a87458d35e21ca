//! When to run next, as a function of what was: no clock and no lake in here.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Cron;

/// Bitbucket counts requests over a rolling hour, so an hour after the last one all of them are there again.
const BUDGET: TimeDelta = TimeDelta::hours(1);
/// A publish that died holds a bucket for about this long.
const HELD: TimeDelta = TimeDelta::minutes(10);

/// The run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) started: DateTime<Utc>,
    pub(super) finished: DateTime<Utc>,
    pub(super) end: End,
}

/// How it ended, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With nothing that the next date would not mend, or that no run would.
    Over,
    /// By quota or deadline.
    Unfinished,
    /// By a signal.
    Interrupted,
    /// The lake could not be had: another run has it, or its store is away.
    NoLake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) at: DateTime<Utc>,
    pub(super) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The cron expression says so.
    Date,
    /// It said so before, while there was no one to run.
    Missed,
    /// The last run left work for the next budget.
    Resume,
    /// The lake may be free now.
    Retry,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Date => "its date",
            Self::Missed => "a date has passed meanwhile",
            Self::Resume => "the last run has more to do",
            Self::Retry => "the lake could not be had",
        })
    }
}

/// However many dates have passed since the last run began, one run makes up for them. `None` when no date comes any
/// more.
pub(super) fn next(now: DateTime<Utc>, last: &Last, cron: &Cron) -> Option<Next> {
    // A report from the future would silence the schedule until then.
    let known = |time: DateTime<Utc>| time.min(now).max(DateTime::UNIX_EPOCH);
    let (started, finished) = (known(last.started), known(last.finished));
    let resume = |wait: TimeDelta| Next {
        at: (finished + wait).max(now),
        why: Why::Resume,
    };
    match last.end {
        // A date within the hour would be refused as well.
        End::Unfinished => return Some(resume(BUDGET)),
        End::Interrupted => return Some(resume(TimeDelta::zero())),
        End::Over | End::NoLake => {}
    }
    let date = cron.next_after(started)?;
    let missed = date <= now;
    let retry = (finished + HELD).max(now);
    let (at, why) = match last.end {
        End::NoLake if missed || retry < date => (retry, Why::Retry),
        _ if missed => (now, Why::Missed),
        _ => (date, Why::Date),
    };
    Some(Next { at, why })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;

    fn cron(keys: &str) -> Cron {
        let text = format!("[lake]\nurl = \"out\"\n[sync]\n{keys}\n");
        let config = Config::parse(&text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]);
        config.unwrap().sync.cron.unwrap()
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-{time}:00Z").parse().unwrap()
    }

    /// Nightly at two in UTC: what follows at `now` on a run of the 24th from two to `finished`.
    fn after(now: &str, finished: &str, end: End) -> (DateTime<Utc>, Why) {
        let last = Last {
            started: at("24T02:00"),
            finished: at(finished),
            end,
        };
        let next = next(at(now), &last, &cron("cron = \"0 2 * * *\"")).unwrap();
        (next.at, next.why)
    }

    #[test]
    fn a_run_that_is_over_is_followed_by_the_next_date() {
        assert_eq!(
            after("24T03:00", "24T03:00", End::Over),
            (at("25T02:00"), Why::Date)
        );
        assert_eq!(
            after("25T01:59", "24T03:00", End::Over),
            (at("25T02:00"), Why::Date)
        );
    }

    #[test]
    fn dates_that_passed_while_busy_or_asleep_are_made_up_for_once() {
        assert_eq!(
            after("25T02:30", "25T02:30", End::Over),
            (at("25T02:30"), Why::Missed)
        );
        assert_eq!(
            after("29T12:00", "24T03:00", End::Over),
            (at("29T12:00"), Why::Missed)
        );
        let caught_up = Last {
            started: at("29T12:00"),
            finished: at("29T12:20"),
            end: End::Over,
        };
        let next = next(at("29T12:20"), &caught_up, &cron("cron = \"0 2 * * *\"")).unwrap();
        assert_eq!((next.at, next.why), (at("30T02:00"), Why::Date));
    }

    #[test]
    fn an_unfinished_run_goes_on_when_the_hours_requests_are_there_again() {
        assert_eq!(
            after("24T05:00", "24T05:00", End::Unfinished),
            (at("24T06:00"), Why::Resume)
        );
        // Not at the date before it.
        assert_eq!(
            after("25T01:30", "25T01:30", End::Unfinished),
            (at("25T02:30"), Why::Resume)
        );
        assert_eq!(
            after("25T12:00", "24T05:00", End::Unfinished),
            (at("25T12:00"), Why::Resume)
        );
    }

    #[test]
    fn an_interrupted_run_goes_on_at_once() {
        assert_eq!(
            after("24T02:11", "24T02:10", End::Interrupted),
            (at("24T02:11"), Why::Resume)
        );
    }

    #[test]
    fn a_lake_that_could_not_be_had_is_tried_again_soon() {
        assert_eq!(
            after("24T02:01", "24T02:01", End::NoLake),
            (at("24T02:11"), Why::Retry)
        );
        assert_eq!(
            after("25T01:55", "25T01:55", End::NoLake),
            (at("25T02:00"), Why::Date)
        );
        // Not at once, although a date has passed: nobody gains by asking every second.
        assert_eq!(
            after("25T02:01", "25T02:01", End::NoLake),
            (at("25T02:11"), Why::Retry)
        );
    }

    #[test]
    fn dates_are_those_of_the_configured_zone() {
        let last = Last {
            started: at("24T12:00"),
            finished: at("24T12:00"),
            end: End::Over,
        };
        let berlin = cron("cron = \"0 2 * * *\"\ntimezone = \"Europe/Berlin\"");
        let next = next(at("24T12:00"), &last, &berlin).unwrap();
        assert_eq!(next.at, at("25T01:00"));
    }
}
