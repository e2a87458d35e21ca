//! The order in which the records of a list arrive, and whether reading may stop before the end of the list.

use chrono::{DateTime, Utc};

use super::sink::PageTimes;

/// The condition under which reading stops before the end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyStop {
    /// The list is read to its end.
    Never,
    /// Stop at the first page whose last record is older than the target, if all records arrived newest first.
    OlderStrictly,
    /// The same for a list whose records may be out of order by less than the lag of its watermark.
    Older,
}

/// The order in which the times of a list arrive.
#[derive(Debug, Default)]
pub(super) struct Order {
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    rose: bool,
    fell: bool,
}

impl Order {
    /// Record the times of a page.
    pub(super) fn record(&mut self, page: &PageTimes) {
        for time in &page.times {
            self.first = self.first.or(Some(*time));
            if let Some(last) = self.last {
                self.rose |= *time > last;
                self.fell |= *time < last;
            }
            self.last = Some(*time);
        }
    }

    /// Whether the remaining records are older than those read so far.
    pub(super) fn is_falling(&self, stop: EarlyStop) -> bool {
        match stop {
            EarlyStop::Never => false,
            EarlyStop::OlderStrictly => !self.rose,
            EarlyStop::Older => self.last < self.first,
        }
    }

    /// Whether reading may stop at this page: all remaining records are older than `since`.
    pub(super) fn is_past(&self, page: &PageTimes, since: DateTime<Utc>, stop: EarlyStop) -> bool {
        let (Some(first), Some(last)) = (page.times.first(), page.times.last()) else {
            return false;
        };
        // A list may begin with records that have no time yet. Behind a record with a time they mean disorder.
        let older = page.ends_dated && *last < since;
        older
            && match stop {
                EarlyStop::Never => false,
                EarlyStop::OlderStrictly => self.fell && !self.rose,
                EarlyStop::Older => last < first && self.first.is_some_and(|start| start >= *first),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: &[i64]) -> PageTimes {
        let times = days
            .iter()
            .map(|day| DateTime::from_timestamp(day * 86_400, 0).unwrap());
        PageTimes {
            times: times.collect(),
            ends_dated: true,
        }
    }

    fn stops(stop: EarlyStop, pages: &[&[i64]]) -> Vec<bool> {
        let since = DateTime::from_timestamp(10 * 86_400, 0).unwrap();
        let mut order = Order::default();
        let pages = pages.iter().map(|page| days(page));
        pages
            .map(|page| {
                order.record(&page);
                order.is_past(&page, since, stop)
            })
            .collect()
    }

    #[test]
    fn a_falling_list_stops_at_the_first_page_that_ends_older() {
        let pages: &[&[i64]] = &[&[30, 20], &[15, 10], &[10, 9]];
        assert_eq!(stops(EarlyStop::OlderStrictly, pages), [false, false, true]);
        assert_eq!(stops(EarlyStop::Older, pages), [false, false, true]);
        assert_eq!(stops(EarlyStop::Never, pages), [false, false, false]);
    }

    #[test]
    fn a_list_in_rising_order_is_read_to_its_end() {
        let pages: &[&[i64]] = &[&[1, 2], &[3, 4], &[11, 12]];
        assert_eq!(
            stops(EarlyStop::OlderStrictly, pages),
            [false, false, false]
        );
        assert_eq!(stops(EarlyStop::Older, pages), [false, false, false]);
    }

    #[test]
    fn disorder_keeps_a_strict_list_going_and_stops_a_lenient_one() {
        let pages: &[&[i64]] = &[&[30, 20, 21], &[9, 8]];
        assert_eq!(stops(EarlyStop::OlderStrictly, pages), [false, false]);
        assert_eq!(stops(EarlyStop::Older, pages), [false, true]);
    }

    #[test]
    fn a_page_that_ends_in_a_record_without_a_time_does_not_stop() {
        let mut page = days(&[3, 2]);
        let mut order = Order::default();
        order.record(&page);
        let target = DateTime::from_timestamp(864_000, 0).unwrap();
        assert!(order.is_past(&page, target, EarlyStop::OlderStrictly));
        page.ends_dated = false;
        assert!(!order.is_past(&page, target, EarlyStop::OlderStrictly));
        assert!(!order.is_past(&page, target, EarlyStop::Older));
    }
}
