//! Reads `cron` and `timezone` of `[sync]`, which say when `schedule` starts a run.
//!
//! A fixed time (`30 2 * * *`) inside a daylight saving gap starts right after the gap; a fixed time that the clock
//! shows twice starts at its first occurrence only. An expression with several hours or minutes (`*`, a list, a step)
//! follows the clock: `0 * * * *` starts every hour, including both occurrences of a repeated hour.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::section::Section;
use crate::error::Result;

/// An upper limit of the distance between a local time and UTC.
const MARGIN: TimeDelta = TimeDelta::days(2);

/// A cron expression with five fields (minute, hour, day of month, month, day of week) and its time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pattern: croner::Cron,
    zone: Tz,
}

impl Cron {
    /// Return the first scheduled time after `instant`; `None` if there is none.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Near the ends of the calendar an instant may have no local time.
        let instant = instant.max(DateTime::UNIX_EPOCH);
        if instant > DateTime::<Utc>::MAX_UTC - MARGIN {
            return None;
        }
        let local = instant.with_timezone(&self.zone);
        let next = self.pattern.find_next_occurrence(&local, false);
        Some(next.ok()?.to_utc())
    }

    /// Return the time zone in which the fields are read.
    pub fn zone(&self) -> Tz {
        self.zone
    }
}

pub(super) fn read(section: &Section<'_>) -> Result<Option<Cron>> {
    let zone = section.timezone("timezone")?;
    let Some(text) = section.string("cron")? else {
        return Ok(None);
    };
    let fields = text.split_whitespace().count();
    if fields != 5 {
        let complaint = format!("must have five fields, but `{text}` has {fields}");
        return Err(section.error("cron", &complaint).hint(
            "write minute, hour, day of month, month and day of week, such as \"0 2 * * *\"",
        ));
    }
    let cron = match text.parse() {
        Ok(pattern) => Cron { pattern, zone },
        Err(error) => {
            let error = section
                .error("cron", &format!("cannot be `{text}`"))
                .source(error);
            return Err(error.hint(
                "write an expression such as \"0 2 * * *\", which is every day at 2 o'clock",
            ));
        }
    };
    match cron.next_after(DateTime::UNIX_EPOCH) {
        Some(_) => Ok(Some(cron)),
        None => Err(section.error("cron", &format!("never matches a date: `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the next `n` local times of `cron` in Berlin after `from`.
    fn next_times(cron: &str, from: &str, n: usize) -> Vec<String> {
        let pattern = cron.parse().unwrap();
        let zone = chrono_tz::Europe::Berlin;
        let cron = Cron { pattern, zone };
        let mut at: DateTime<Utc> = from.parse().unwrap();
        let next = |_| {
            at = cron.next_after(at).unwrap();
            at.with_timezone(&zone).format("%d. %H:%M %Z").to_string()
        };
        (0..n).map(next).collect()
    }

    /// In Berlin the clock goes from 02:00 to 03:00 on 29 March 2026.
    #[test]
    fn a_time_inside_a_gap_starts_right_after_the_gap() {
        assert_eq!(
            next_times("30 2 * * *", "2026-03-27T23:00:00Z", 3),
            ["28. 02:30 CET", "29. 03:00 CEST", "30. 02:30 CEST"]
        );
        assert_eq!(
            next_times("0 * * * *", "2026-03-28T23:30:00Z", 3),
            ["29. 01:00 CET", "29. 03:00 CEST", "29. 04:00 CEST"]
        );
    }

    /// In Berlin the clock goes from 03:00 back to 02:00 on 25 October 2026.
    #[test]
    fn a_fixed_time_inside_a_repeated_hour_starts_once() {
        assert_eq!(
            next_times("30 2 * * *", "2026-10-24T12:00:00Z", 2),
            ["25. 02:30 CEST", "26. 02:30 CET"]
        );
        assert_eq!(
            next_times("0 * * * *", "2026-10-24T23:30:00Z", 3),
            ["25. 02:00 CEST", "25. 02:00 CET", "25. 03:00 CET"]
        );
    }

    #[test]
    fn a_day_of_the_week_and_a_day_of_the_month_are_alternatives() {
        assert_eq!(
            next_times("0 2 13 * fri", "2026-11-08T12:00:00Z", 3),
            ["13. 02:00 CET", "20. 02:00 CET", "27. 02:00 CET"]
        );
    }
}
