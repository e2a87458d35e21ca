//! `[sync] cron` and `timezone`: the dates on which `schedule` runs.
//!
//! Where the clock is put forward, a date that it skips comes when it has jumped; where it is put back, a date that it
//! shows twice comes the first time only. That is so for one fixed time (`30 2 * * *`); a pattern with several hours or
//! minutes (`*`, a list, a step) counts what the clock shows, so `0 * * * *` comes every hour, also in the doubled one.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::section::Section;
use crate::error::Result;

/// Local times are less than this away from UTC.
const MARGIN: TimeDelta = TimeDelta::days(2);

/// Five fields (minute, hour, day of month, month, day of week), read in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pattern: croner::Cron,
    zone: Tz,
}

impl Cron {
    /// The first date after `instant`.
    pub fn after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // At the ends of the calendar there may be no local time.
        let instant = instant.max(DateTime::UNIX_EPOCH);
        if instant > DateTime::<Utc>::MAX_UTC - MARGIN {
            return None;
        }
        let local = instant.with_timezone(&self.zone);
        let next = self.pattern.find_next_occurrence(&local, false);
        Some(next.ok()?.to_utc())
    }

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
        let complaint = format!("must have five fields, and `{text}` has {fields}");
        return Err(section
            .error("cron", &complaint)
            .hint("write minute, hour, day of month, month, day of week, as in \"0 2 * * *\""));
    }
    let cron = match text.parse() {
        Ok(pattern) => Cron { pattern, zone },
        Err(error) => {
            let error = section
                .error("cron", &format!("cannot be `{text}`"))
                .source(error);
            return Err(error.hint("as in \"0 2 * * *\", every day at two"));
        }
    };
    match cron.after(DateTime::UNIX_EPOCH) {
        Some(_) => Ok(Some(cron)),
        None => Err(section.error("cron", &format!("names no date that ever comes: `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dates of `cron` in Berlin that follow `from`, as its clock shows them.
    fn dates(cron: &str, from: &str, n: usize) -> Vec<String> {
        let pattern = cron.parse().unwrap();
        let zone = chrono_tz::Europe::Berlin;
        let cron = Cron { pattern, zone };
        let mut at: DateTime<Utc> = from.parse().unwrap();
        let next = |_| {
            at = cron.after(at).unwrap();
            at.with_timezone(&zone).format("%d. %H:%M %Z").to_string()
        };
        (0..n).map(next).collect()
    }

    /// The clock goes from 02:00 to 03:00 on 29 March 2026.
    #[test]
    fn a_time_that_the_clock_skips_comes_when_it_has_jumped() {
        assert_eq!(
            dates("30 2 * * *", "2026-03-27T23:00:00Z", 3),
            ["28. 02:30 CET", "29. 03:00 CEST", "30. 02:30 CEST"]
        );
        assert_eq!(
            dates("0 * * * *", "2026-03-28T23:30:00Z", 3),
            ["29. 01:00 CET", "29. 03:00 CEST", "29. 04:00 CEST"]
        );
    }

    /// The clock goes from 03:00 back to 02:00 on 25 October 2026.
    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once() {
        assert_eq!(
            dates("30 2 * * *", "2026-10-24T12:00:00Z", 2),
            ["25. 02:30 CEST", "26. 02:30 CET"]
        );
        assert_eq!(
            dates("0 * * * *", "2026-10-24T23:30:00Z", 3),
            ["25. 02:00 CEST", "25. 02:00 CET", "25. 03:00 CET"]
        );
    }

    #[test]
    fn a_weekday_and_a_day_of_the_month_are_either_or() {
        assert_eq!(
            dates("0 2 13 * fri", "2026-11-08T12:00:00Z", 3),
            ["13. 02:00 CET", "20. 02:00 CET", "27. 02:00 CET"]
        );
    }
}
