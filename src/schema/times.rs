//! The range of times that a table may have.
//!
//! Warehouses that count nanoseconds in 64 bits end at 2262-04-11, and so does every cast to nanoseconds. A time outside
//! the range is a typing mistake, comes from a broken clock, or means "never".

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// The first instant in the range of nanoseconds in 64 bits, in microseconds since 1970.
const EARLIEST: i64 = i64::MIN / 1000;
/// The last instant in the range of nanoseconds in 64 bits, in microseconds since 1970.
const LATEST: i64 = i64::MAX / 1000;

/// The first and the last day of the range, for messages.
pub const RANGE: &str = "1677-09-21 to 2262-04-11";

/// Days (UTC) that programs write for an unknown time: the first and last days of Excel, SQL Server, Unix and Java, and
/// round years that mean "never". For some the day before is listed too, because it is the same day in zones further east.
const PLACEHOLDERS: [(i32, u32, u32); 13] = [
    (1753, 1, 1),
    (1899, 12, 30),
    (1899, 12, 31),
    (1900, 1, 1),
    (1904, 1, 1),
    (1969, 12, 31),
    (1970, 1, 1),
    (2038, 1, 19),
    (2079, 6, 6),
    (2099, 12, 31),
    (2100, 1, 1),
    (2199, 12, 31),
    (2200, 1, 1),
];

/// Whether every warehouse can store this time, in microseconds since 1970.
#[must_use]
pub fn is_storable(micros: i64) -> bool {
    (EARLIEST..=LATEST).contains(&micros)
}

/// Whether the time, in microseconds since 1970, is on a day that programs write for an unknown time.
#[must_use]
pub fn is_placeholder(micros: i64) -> bool {
    let day = DateTime::from_timestamp_micros(micros).map(|time| time.date_naive());
    day.is_some_and(|day: NaiveDate| PLACEHOLDERS.contains(&(day.year(), day.month(), day.day())))
}

/// Whether a text starts with a date of a year that no parser accepts: `0000-00-00`, `10000-01-01`, `-0044-03-15`.
#[must_use]
pub fn is_beyond_calendars(text: &str) -> bool {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.splitn(3, '-');
    let (Some(year), Some(month), Some(tail)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let day = tail.as_bytes().get(..2).unwrap_or_default();
    year.len() >= 4
        && digits(year)
        && month.len() == 2
        && digits(month)
        && day.len() == 2
        && day.iter().all(u8::is_ascii_digit)
        && (text.starts_with('-') || year.len() > 4 || year == "0000")
}

/// Times of a column that were replaced by null because no warehouse can store them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddTimes {
    /// The number of rows.
    pub rows: u64,
    /// Examples: the first few distinct values.
    pub values: BTreeSet<String>,
}

impl OddTimes {
    const MAX_VALUES: usize = 3;
    /// Longest example, in characters. A text that starts with a date may be long.
    const MAX_CHARACTERS: usize = 40;

    pub(super) fn add(&mut self, value: &str) {
        let value = value.chars().take(Self::MAX_CHARACTERS).collect();
        self.merge(Self {
            rows: 1,
            values: BTreeSet::from([value]),
        });
    }

    /// Add the times of another column or batch.
    pub fn merge(&mut self, more: Self) {
        self.rows += more.rows;
        for value in more.values {
            if self.values.len() < Self::MAX_VALUES {
                self.values.insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<DateTime<chrono::Utc>>()
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn a_time_outside_the_range_of_nanoseconds_is_not_storable() {
        for text in [
            "1677-09-21T00:12:44Z",
            "2262-04-11T23:47:16Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert!(is_storable(micros(text)), "{text}");
        }
        for text in [
            "0001-01-01T00:00:00Z",
            "1677-09-21T00:12:43Z",
            "2262-04-11T23:47:17Z",
            "2300-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(!is_storable(micros(text)), "{text}");
        }
        assert!(!is_storable(i64::MIN) && !is_storable(i64::MAX));
    }

    #[test]
    fn a_placeholder_is_recognized_in_every_time_zone() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+02:00",
            "1970-01-01T00:00:00-08:00",
            "1899-12-30T00:00:00Z",
            "1900-01-01T00:00:00+01:00",
            "2099-12-31T23:59:59.999-05:00",
        ] {
            assert!(is_placeholder(micros(text)), "{text}");
        }
        for text in ["1970-01-02T00:00:00Z", "2026-01-01T00:00:00Z"] {
            assert!(!is_placeholder(micros(text)), "{text}");
        }
    }

    #[test]
    fn dates_that_no_parser_accepts_differ_from_texts_that_are_no_dates() {
        for text in [
            "0000-00-00",
            "0000-00-00 00:00:00",
            "10000-01-01T00:00:00Z",
            "+10000-01-01",
            "-0044-03-15",
        ] {
            assert!(is_beyond_calendars(text), "{text}");
        }
        for text in [
            "yesterday",
            "2026-01-01",
            "2026-13-45",
            "99999",
            "",
            "-",
            "12345-67",
        ] {
            assert!(!is_beyond_calendars(text), "{text}");
        }
    }
}
