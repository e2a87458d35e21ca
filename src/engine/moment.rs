//! Times that people write as values of parameters: an instant, or a local date, month or word.
//!
//! ```text
//! 2026-10-01T08:00:00+02:00                          an instant
//! 2026-10-01, 2026-10-01 08:00, 2026-10, last month  local: their first instant in a time zone
//! ```

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;

use crate::clock::local_instant;

/// The forms of a time, for help and errors.
pub const MOMENT_FORMS: &str = "a date (2026-10-01), a month (2026-10), a year (2026), a local time (2026-10-01 08:00), an instant \
    (2026-10-01T08:00:00+02:00), or one of: today, yesterday, this month, last month, this year, last year";

/// A time as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A time with its offset from UTC.
    Instant(DateTime<Utc>),
    /// A local time; that of a date or month is its first midnight.
    Local(NaiveDateTime),
    /// A day, this many days before today.
    DaysAgo(u64),
    /// A month, this many months before the present one.
    MonthsAgo(u32),
    /// A year, this many years before the present one.
    YearsAgo(u32),
}

impl Moment {
    /// Parse one of [`MOMENT_FORMS`]; `None` if the text is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let words: Vec<_> = text.split([' ', '_', '-']).map(str::to_lowercase).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let word = match words.as_slice() {
            ["today"] => Some(Self::DaysAgo(0)),
            ["yesterday"] => Some(Self::DaysAgo(1)),
            ["this", "month"] => Some(Self::MonthsAgo(0)),
            ["last", "month"] => Some(Self::MonthsAgo(1)),
            ["this", "year"] => Some(Self::YearsAgo(0)),
            ["last", "year"] => Some(Self::YearsAgo(1)),
            _ => None,
        };
        word.or_else(|| local(text).map(Self::Local)).or_else(|| {
            let instant = string_to_datetime(&Utc, text).ok()?;
            Some(Self::Instant(instant))
        })
    }

    /// Return whether the instant depends on a time zone.
    pub fn is_local(self) -> bool {
        !matches!(self, Self::Instant(_))
    }

    /// Return whether the instant depends on the present time.
    pub fn is_relative(self) -> bool {
        !matches!(self, Self::Instant(_) | Self::Local(_))
    }

    /// Return the first instant of the time in `zone`. `now` decides which day, month and year is the present one.
    pub fn resolve(self, zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&zone).date_naive();
        let day = |date: Option<NaiveDate>| date.unwrap_or(today).and_time(NaiveTime::MIN);
        let local = match self {
            Self::Instant(instant) => return instant,
            Self::Local(time) => time,
            Self::DaysAgo(days) => day(today.checked_sub_days(Days::new(days))),
            Self::MonthsAgo(months) => day(today
                .with_day(1)
                .and_then(|first| first.checked_sub_months(Months::new(months)))),
            Self::YearsAgo(years) => {
                let january = today.with_ordinal(1);
                day(january.and_then(|first| first.checked_sub_months(Months::new(years * 12))))
            }
        };
        local_instant(zone, local)
    }
}

fn local(text: &str) -> Option<NaiveDateTime> {
    let day = |date: NaiveDate| date.and_time(NaiveTime::MIN);
    let dated = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(day).ok();
    let month = || {
        let (year, month) = text.split_once('-')?;
        let is_month = year.len() == 4 && month.len() == 2;
        let date = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
        is_month.then(|| day(date))
    };
    let year = || {
        let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        let date = NaiveDate::from_ymd_opt(text.parse().ok()?, 1, 1)?;
        digits.then(|| day(date))
    };
    let timed = || {
        [
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
        ]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    };
    dated.or_else(month).or_else(year).or_else(timed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str, zone: Tz, now: &str) -> Option<String> {
        let moment = Moment::parse(text)?;
        let instant = moment.resolve(zone, now.parse().unwrap());
        Some(instant.format("%Y-%m-%dT%H:%MZ").to_string())
    }

    #[test]
    fn local_times_are_read_in_the_zone_and_instants_are_not() {
        let berlin = chrono_tz::Europe::Berlin;
        // 00:30 of 1 November in Berlin, still October in UTC.
        let now = "2026-10-31T23:30:00Z";
        for (text, expected) in [
            ("2026-10-01", "2026-09-30T22:00Z"),
            ("2026-10", "2026-09-30T22:00Z"),
            ("2026-12", "2026-11-30T23:00Z"),
            ("2026", "2025-12-31T23:00Z"),
            ("2026-10-01 08:00", "2026-10-01T06:00Z"),
            ("2026-10-01T08:00:00", "2026-10-01T06:00Z"),
            ("2026-10-01T08:00:00Z", "2026-10-01T08:00Z"),
            ("2026-10-01T08:00:00+05:00", "2026-10-01T03:00Z"),
            ("today", "2026-10-31T23:00Z"),
            ("yesterday", "2026-10-30T23:00Z"),
            ("this month", "2026-10-31T23:00Z"),
            ("Last month", "2026-09-30T22:00Z"),
            ("last-month", "2026-09-30T22:00Z"),
            ("this year", "2025-12-31T23:00Z"),
            ("last_year", "2024-12-31T23:00Z"),
        ] {
            assert_eq!(
                instant(text, berlin, now).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_day_without_midnight_begins_with_its_first_instant() {
        // Clocks go from 00:00 to 01:00 on this day.
        let cairo = chrono_tz::Africa::Cairo;
        let now = "2026-10-31T23:30:00Z";
        let first = instant("2026-04-24", cairo, now);
        assert_eq!(first.as_deref(), Some("2026-04-23T22:00Z"));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "soon",
            "26",
            "2026-13",
            "2026-02-30",
            "26-10",
            "next month",
            "last",
            "10/2026",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
