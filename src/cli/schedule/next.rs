//! Chooses the time of the next run from the last run, without reading a clock or the lake.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Cron;

/// Bitbucket counts requests over a rolling hour, so the whole budget is available an hour after the last request.
const BUDGET_WINDOW: TimeDelta = TimeDelta::hours(1);
/// The time after which an unavailable lake is tried again. The lease of a killed publish blocks a bucket about as long.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(10);

/// The last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRun {
    pub(super) started: DateTime<Utc>,
    pub(super) finished: DateTime<Utc>,
    pub(super) end: RunEnd,
}

/// The part of a run's result that the next run depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// Complete, or with an error that the next scheduled run may not have.
    Done,
    /// Stopped early by quota or deadline.
    Unfinished,
    /// Stopped early by a signal.
    Interrupted,
    /// Another run holds the lake, or its store cannot be reached.
    LakeUnavailable,
}

/// The next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextRun {
    pub(super) at: DateTime<Utc>,
    pub(super) reason: NextRunReason,
}

/// The reason for the time of the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRunReason {
    /// The cron expression has this time.
    Scheduled,
    /// A scheduled time passed since the last run began.
    Missed,
    /// The last run is unfinished.
    Resume,
    /// The lake was not available.
    Retry,
}

impl fmt::Display for NextRunReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "scheduled",
            Self::Missed => "a scheduled time has passed",
            Self::Resume => "the last run is unfinished",
            Self::Retry => "the lake was not available",
        })
    }
}

/// Choose the next run. One run makes up for all scheduled times that passed since the last run began. Return `None` when
/// the cron expression has no further time.
pub(super) fn choose_next(now: DateTime<Utc>, last: &LastRun, cron: &Cron) -> Option<NextRun> {
    // A report with a time in the future would delay all runs until then.
    let known = |time: DateTime<Utc>| time.min(now).max(DateTime::UNIX_EPOCH);
    let (started, finished) = (known(last.started), known(last.finished));
    let resume = |wait: TimeDelta| NextRun {
        at: (finished + wait).max(now),
        reason: NextRunReason::Resume,
    };
    match last.end {
        // Bitbucket would refuse the requests of a run scheduled within the hour, too.
        RunEnd::Unfinished => return Some(resume(BUDGET_WINDOW)),
        RunEnd::Interrupted => return Some(resume(TimeDelta::zero())),
        RunEnd::Done | RunEnd::LakeUnavailable => {}
    }
    let date = cron.next_after(started)?;
    let is_missed = date <= now;
    let retry = (finished + RETRY_AFTER).max(now);
    let (at, reason) = match last.end {
        RunEnd::LakeUnavailable if is_missed || retry < date => (retry, NextRunReason::Retry),
        _ if is_missed => (now, NextRunReason::Missed),
        _ => (date, NextRunReason::Scheduled),
    };
    Some(NextRun { at, reason })
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

    /// The run that `now` chooses with a schedule of 2 o'clock UTC, after a run on the 24th from 2 o'clock to `finished`.
    fn after(now: &str, finished: &str, end: RunEnd) -> (DateTime<Utc>, NextRunReason) {
        let last = LastRun {
            started: at("24T02:00"),
            finished: at(finished),
            end,
        };
        let next = choose_next(at(now), &last, &cron("cron = \"0 2 * * *\"")).unwrap();
        (next.at, next.reason)
    }

    #[test]
    fn a_finished_run_is_followed_by_the_next_scheduled_time() {
        assert_eq!(
            after("24T03:00", "24T03:00", RunEnd::Done),
            (at("25T02:00"), NextRunReason::Scheduled)
        );
        assert_eq!(
            after("25T01:59", "24T03:00", RunEnd::Done),
            (at("25T02:00"), NextRunReason::Scheduled)
        );
    }

    #[test]
    fn one_run_makes_up_for_all_scheduled_times_that_passed() {
        assert_eq!(
            after("25T02:30", "25T02:30", RunEnd::Done),
            (at("25T02:30"), NextRunReason::Missed)
        );
        assert_eq!(
            after("29T12:00", "24T03:00", RunEnd::Done),
            (at("29T12:00"), NextRunReason::Missed)
        );
        let caught_up = LastRun {
            started: at("29T12:00"),
            finished: at("29T12:20"),
            end: RunEnd::Done,
        };
        let next = choose_next(at("29T12:20"), &caught_up, &cron("cron = \"0 2 * * *\"")).unwrap();
        assert_eq!(
            (next.at, next.reason),
            (at("30T02:00"), NextRunReason::Scheduled)
        );
    }

    #[test]
    fn an_unfinished_run_resumes_when_the_whole_budget_is_available() {
        assert_eq!(
            after("24T05:00", "24T05:00", RunEnd::Unfinished),
            (at("24T06:00"), NextRunReason::Resume)
        );
        // The scheduled time before that is skipped.
        assert_eq!(
            after("25T01:30", "25T01:30", RunEnd::Unfinished),
            (at("25T02:30"), NextRunReason::Resume)
        );
        assert_eq!(
            after("25T12:00", "24T05:00", RunEnd::Unfinished),
            (at("25T12:00"), NextRunReason::Resume)
        );
    }

    #[test]
    fn an_interrupted_run_resumes_at_once() {
        assert_eq!(
            after("24T02:11", "24T02:10", RunEnd::Interrupted),
            (at("24T02:11"), NextRunReason::Resume)
        );
    }

    #[test]
    fn an_unavailable_lake_is_tried_again_after_ten_minutes() {
        assert_eq!(
            after("24T02:01", "24T02:01", RunEnd::LakeUnavailable),
            (at("24T02:11"), NextRunReason::Retry)
        );
        assert_eq!(
            after("25T01:55", "25T01:55", RunEnd::LakeUnavailable),
            (at("25T02:00"), NextRunReason::Scheduled)
        );
        // A missed time does not start the next attempt at once: the lake is tried every ten minutes.
        assert_eq!(
            after("25T02:01", "25T02:01", RunEnd::LakeUnavailable),
            (at("25T02:11"), NextRunReason::Retry)
        );
    }

    #[test]
    fn scheduled_times_are_in_the_configured_time_zone() {
        let last = LastRun {
            started: at("24T12:00"),
            finished: at("24T12:00"),
            end: RunEnd::Done,
        };
        let berlin = cron("cron = \"0 2 * * *\"\ntimezone = \"Europe/Berlin\"");
        let next = choose_next(at("24T12:00"), &last, &berlin).unwrap();
        assert_eq!(next.at, at("25T01:00"));
    }
}
