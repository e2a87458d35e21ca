//! Reads `[sync]`: how far back records are collected, how failures are handled, and when scheduled runs start.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, Utc};

use super::cron::{self, Cron};
use super::document::ConfigValue;
use super::git::{self, GitCommits};
use super::keys;
use super::paths::BasePath;
use super::section::Section;
use crate::error::Result;

/// `[sync]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSettings {
    /// The age of the oldest record to collect.
    pub since: Since,
    /// How often lists are read again in full, to find deleted records; `None` for `--full` only.
    pub full_every: Option<Since>,
    /// Whether a run continues if a repository fails.
    pub skip_failed: bool,
    /// When `schedule` starts a run.
    pub cron: Option<Cron>,
    /// The settings of clones; `None` if commits are collected from the API.
    pub git: Option<GitCommits>,
}

/// A date or a time span. A span is resolved by its user, because a repository keeps the instant of its first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Midnight of a date, in UTC.
    Date(NaiveDate),
    /// A number of days.
    Days(u32),
    /// A number of months of the calendar.
    Months(u32),
}

impl Since {
    /// Return the instant of the date, or the instant that is the span before `now`; 1970 at the earliest.
    pub fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let resolved = match self {
            Self::Date(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
            Self::Days(days) => now.checked_sub_days(Days::new(days.into())),
            Self::Months(months) => now.checked_sub_months(Months::new(months)),
        };
        resolved
            .unwrap_or(DateTime::UNIX_EPOCH)
            .max(DateTime::UNIX_EPOCH)
    }

    /// Return whether the time between `from` and `until` is longer than the span.
    pub fn is_exceeded(self, from: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        let earliest = match self {
            Self::Date(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
            Self::Days(days) => until.checked_sub_days(Days::new(days.into())),
            Self::Months(months) => until.checked_sub_months(Months::new(months)),
        };
        earliest.is_some_and(|earliest| from < earliest)
    }

    /// Return whether the time between `from` and `now` is at least the span.
    pub fn has_passed(self, from: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        from <= self.resolve(now)
    }

    /// Parse a date, or a span such as `6 months`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(date) = text.parse() {
            return Some(Self::Date(date));
        }
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let count = digits.parse::<u32>().ok().filter(|count| *count > 0)?;
        match text.get(digits.len()..)?.trim() {
            "day" | "days" => Some(Self::Days(count)),
            "week" | "weeks" => count.checked_mul(7).map(Self::Days),
            "month" | "months" => Some(Self::Months(count)),
            "year" | "years" => count.checked_mul(12).map(Self::Months),
            _ => None,
        }
    }
}

/// Read `[sync]`. `lake` is the lake's folder or URL.
pub(super) fn read(root: &Section<'_>, lake: &str, base: &BasePath<'_>) -> Result<SyncSettings> {
    let mut sync = SyncSettings {
        since: Since::Months(6),
        full_every: Some(Since::Months(3)),
        skip_failed: true,
        cron: None,
        git: None,
    };
    let known = [keys::SYNC.names(), keys::SYNC_GIT.names()].concat();
    let Some(section) = root.section("sync", &known)? else {
        return Ok(sync);
    };
    let text = match section.get("since").map(|node| &node.value) {
        Some(ConfigValue::Date(date)) => Some(date.clone()),
        _ => section.string("since")?,
    };
    if let Some(text) = text {
        sync.since = Since::parse(&text).ok_or_else(|| {
            section
                .error("since", &format!("cannot be `{text}`"))
                .hint("write \"6 months\", \"90 days\", \"2 weeks\", \"1 year\" or a date such as \"2026-01-31\"")
        })?;
    }
    if let Some(text) = section.string("full_every")? {
        sync.full_every = match (text.as_str(), Since::parse(&text)) {
            ("never", _) => None,
            (_, Some(span @ (Since::Days(_) | Since::Months(_)))) => Some(span),
            _ => {
                return Err(section
                    .error("full_every", &format!("cannot be `{text}`"))
                    .hint("write \"3 months\", \"30 days\" or \"never\""));
            }
        };
    }
    if let Some(flag) = section.boolean("skip_failed")? {
        sync.skip_failed = flag;
    }
    sync.cron = cron::read(&section)?;
    sync.git = git::read(&section, lake, base)?;
    Ok(sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Option<String> {
        let now: DateTime<Utc> = "2026-08-31T10:30:00Z".parse().unwrap();
        Since::parse(text).map(|since| since.resolve(now).to_rfc3339())
    }

    #[test]
    fn spans_and_dates_resolve_against_the_given_time() {
        let cases = [
            ("6 months", "2026-02-28T10:30:00+00:00"),
            ("90 days", "2026-06-02T10:30:00+00:00"),
            ("2 weeks", "2026-08-17T10:30:00+00:00"),
            ("1 year", "2025-08-31T10:30:00+00:00"),
            ("2026-01-31", "2026-01-31T00:00:00+00:00"),
            ("900 years", "1970-01-01T00:00:00+00:00"),
        ];
        for (text, expected) in cases {
            assert_eq!(resolved(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_span_has_passed_if_it_is_not_longer_than_the_time_between() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (from, span) = (at("2026-08-01T00:00:00Z"), Since::Days(30));
        assert!(!span.has_passed(from, at("2026-08-30T23:59:59Z")));
        assert!(span.has_passed(from, at("2026-08-31T00:00:00Z")));
    }

    #[test]
    fn an_invalid_span_is_refused() {
        for text in ["", "months", "0 days", "-1 day", "6 moons", "31.01.2026"] {
            assert_eq!(Since::parse(text), None, "{text}");
        }
    }
}
