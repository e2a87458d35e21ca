//! Computes the periods of the metrics as rows. The start of a day depends on time zones, which SQL engines treat
//! differently; with these rows, SQL only compares instants.
//!
//! The periods of a project run from the first collected day to the day of its last run. Those of a project that only
//! outside tables name run from the first to the last time in these tables.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, SecondsFormat, Utc, Weekday};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::clock::local_instant;

/// A project and the time span to divide into periods.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BucketSpan {
    pub project: String,
    pub zone: Tz,
    pub week_start: Weekday,
    pub from: DateTime<Utc>,
    /// The end of the known time. A period that ends later is incomplete.
    pub until: DateTime<Utc>,
}

impl BucketSpan {
    /// Return the rows of `config.buckets`: every day, week and month that the span touches, and the whole span.
    pub(super) fn rows(&self) -> Vec<Value> {
        let first = self.from.with_timezone(&self.zone).date_naive();
        let last = self.until.max(self.from);
        let last = last.with_timezone(&self.zone).date_naive();
        let mut rows = Vec::new();
        for (period, begin, next) in PERIODS {
            let mut date = begin(first, self.week_start);
            while date <= last {
                let Some(end) = next(date) else { break };
                rows.push(self.row(period, date, end, &label(period, date, self.week_start)));
                date = end;
            }
        }
        if let Some(end) = last.succ_opt() {
            rows.push(self.row("all", first, end, "all"));
        }
        rows
    }

    fn row(&self, period: &str, first: NaiveDate, end: NaiveDate, label: &str) -> Value {
        let start = midnight(self.zone, first);
        let after = midnight(self.zone, end);
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        json!({
            "project_name": self.project,
            "period": period,
            "period_start": text(start),
            "period_end": text(after),
            "label": label,
            "days": (end - first).num_days(),
            "is_complete": after <= self.until,
        })
    }
}

type FirstDay = fn(NaiveDate, Weekday) -> NaiveDate;
type NextPeriod = fn(NaiveDate) -> Option<NaiveDate>;

/// The name of a period, the first day of the period of a date, and the first day of the next period.
const PERIODS: [(&str, FirstDay, NextPeriod); 3] = [
    ("day", |date, _| date, |date| date.succ_opt()),
    (
        "week",
        |date, start| date.week(start).checked_first_day().unwrap_or(date),
        |date| date.checked_add_days(Days::new(7)),
    ),
    (
        "month",
        |date, _| date.with_day(1).unwrap_or(date),
        |date| date.checked_add_months(Months::new(1)),
    ),
];

fn label(period: &str, date: NaiveDate, week_start: Weekday) -> String {
    match period {
        "week" if week_start == Weekday::Mon => date.format("%G-W%V").to_string(),
        // ISO week numbers apply to weeks that start on Monday only.
        "week" => format!("week of {date}"),
        "month" => date.format("%Y-%m").to_string(),
        _ => date.to_string(),
    }
}

/// Return the first instant of a local day. In zones that skip midnight when their clocks go forward, the day starts
/// later.
fn midnight(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    local_instant(zone, date.and_time(NaiveTime::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(zone: Tz, week_start: Weekday, from: &str, until: &str) -> BucketSpan {
        BucketSpan {
            project: "shop".to_owned(),
            zone,
            week_start,
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
        }
    }

    fn lines(span: &BucketSpan, period: &str) -> Vec<String> {
        let rows = span.rows();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .filter(|row| row["period"] == period)
            .map(|row| {
                let complete = if row["is_complete"] == true {
                    ""
                } else {
                    " …"
                };
                format!(
                    "{} {} {}d{complete}",
                    text(row, "label"),
                    text(row, "period_start").replace(":00.000000Z", "Z"),
                    row["days"]
                )
            })
            .collect()
    }

    #[test]
    fn days_start_at_local_midnight_across_dst_changes() {
        let berlin = span(
            Tz::Europe__Berlin,
            Weekday::Mon,
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
        );
        assert_eq!(
            lines(&berlin, "day"),
            [
                "2026-03-28 2026-03-27T23:00Z 1d",
                "2026-03-29 2026-03-28T23:00Z 1d",
                "2026-03-30 2026-03-29T22:00Z 1d …",
            ]
        );
    }

    #[test]
    fn a_day_without_midnight_starts_at_its_first_instant() {
        let date = NaiveDate::from_ymd_opt(2018, 11, 4).unwrap();
        let first = midnight(Tz::America__Sao_Paulo, date);
        assert_eq!(first.to_rfc3339(), "2018-11-04T03:00:00+00:00");
    }

    #[test]
    fn weeks_start_on_the_day_of_the_project_and_months_are_whole() {
        let sunday = span(
            Tz::UTC,
            Weekday::Sun,
            "2026-05-05T00:00:00Z",
            "2026-05-12T00:00:00Z",
        );
        assert_eq!(
            lines(&sunday, "week"),
            [
                "week of 2026-05-03 2026-05-03T00:00Z 7d",
                "week of 2026-05-10 2026-05-10T00:00Z 7d …"
            ]
        );
        assert_eq!(lines(&sunday, "month"), ["2026-05 2026-05-01T00:00Z 31d …"]);
        assert_eq!(lines(&sunday, "all"), ["all 2026-05-05T00:00Z 8d …"]);
        let monday = BucketSpan {
            week_start: Weekday::Mon,
            ..sunday
        };
        assert_eq!(lines(&monday, "week")[0], "2026-W19 2026-05-04T00:00Z 7d");
    }
}
