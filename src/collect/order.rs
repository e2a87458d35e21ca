//! In which order a list's records come, and so whether it may be left before its end.

use chrono::{DateTime, Utc};

use super::sink::PageTimes;

/// When a list is left before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyStop {
    /// It is read to the end.
    Never,
    /// At a page whose last record is older than the target, if every record so far came in falling order.
    OlderStrictly,
    /// The same for a feed that is newest first but may be out of order by a little: by less than the walks overlap.
    Older,
}

/// The order in which a walk's times arrive.
#[derive(Debug, Default)]
pub(super) struct Order {
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    rose: bool,
    fell: bool,
}

impl Order {
    pub(super) fn see(&mut self, page: &PageTimes) {
        for time in &page.times {
            self.first = self.first.or(Some(*time));
            if let Some(last) = self.last {
                self.rose |= *time > last;
                self.fell |= *time < last;
            }
            self.last = Some(*time);
        }
    }

    /// Whether what comes next is older than what came.
    pub(super) fn is_falling(&self, stop: EarlyStop) -> bool {
        match stop {
            EarlyStop::Never => false,
            EarlyStop::OlderStrictly => !self.rose,
            EarlyStop::Older => self.last < self.first,
        }
    }

    pub(super) fn is_past(&self, page: &PageTimes, since: DateTime<Utc>, stop: EarlyStop) -> bool {
        let (Some(first), Some(last)) = (page.times.first(), page.times.last()) else {
            return false;
        };
        // A list may begin with records that have no time yet; after one that has, they mean disorder.
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
                order.see(&page);
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
    fn a_list_in_rising_order_never_stops_at_its_old_start() {
        let pages: &[&[i64]] = &[&[1, 2], &[3, 4], &[11, 12]];
        assert_eq!(
            stops(EarlyStop::OlderStrictly, pages),
            [false, false, false]
        );
        assert_eq!(stops(EarlyStop::Older, pages), [false, false, false]);
    }

    #[test]
    fn disorder_keeps_a_strict_walk_going_and_not_a_feed() {
        let pages: &[&[i64]] = &[&[30, 20, 21], &[9, 8]];
        assert_eq!(stops(EarlyStop::OlderStrictly, pages), [false, false]);
        assert_eq!(stops(EarlyStop::Older, pages), [false, true]);
    }

    #[test]
    fn a_page_that_ends_in_a_record_without_a_time_keeps_the_walk_going() {
        let mut page = days(&[3, 2]);
        let mut order = Order::default();
        order.see(&page);
        let target = DateTime::from_timestamp(864_000, 0).unwrap();
        assert!(order.is_past(&page, target, EarlyStop::OlderStrictly));
        page.ends_dated = false;
        assert!(!order.is_past(&page, target, EarlyStop::OlderStrictly));
        assert!(!order.is_past(&page, target, EarlyStop::Older));
    }
}
