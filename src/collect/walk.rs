//! The walk that all collectors share: a list of the repository, or one list per parent.

use std::pin::pin;

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use serde_json::Value;
use serde_json::value::RawValue;

use super::entity::Entity;
use super::report::EntityReport;
use super::repository::Site;
use super::sink::{Sink, Times};
use crate::bitbucket::{Absence, Endpoint, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::SegmentRef;
use crate::schema::Parent;

/// Lists of parents that are read at the same time; they are written in the parents' order all the same.
const CHILDREN_SIDE_BY_SIDE: usize = 4;

/// How a collector's attempt ended, short of an error.
pub(super) enum Outcome {
    Collected {
        segment: Option<SegmentRef>,
        /// Bitbucket's clock when the walk began.
        through: Option<DateTime<Utc>>,
        /// `None`: from the beginning.
        from: Option<DateTime<Utc>>,
    },
    Absent(Absence),
}

/// When a list that cannot be filtered is left before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is read to the end.
    Never,
    /// At a page that is older than `since` as a whole, if every record so far came in falling order.
    OlderStrictly,
    /// The same for a feed that is newest first but may be out of order by a little.
    Older,
}

/// Reads one list into one segment. `each` sees what is kept.
pub(super) async fn list(
    site: &Site<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    stop: Stop,
    report: &mut EntityReport,
    mut each: impl FnMut(&Value),
) -> Result<Outcome> {
    let bound = entity.time.map(|_| site.since);
    let mut pages = site.client.walk(endpoint, site.target()).since(bound);
    let mut sink = Sink::open(site, entity)?;
    let mut order = Order::default();
    let mut through = None;
    loop {
        let step = pages.next().await;
        report.requests = pages.requests();
        match step? {
            Step::Absent(absence) => return Ok(Outcome::Absent(absence)),
            Step::End => break,
            Step::Page(page) => {
                through = through.or(page.date);
                let parent = entity.parent.is_none().then_some(Parent::None);
                let times = sink.take(&page.values, parent.as_ref(), report, &mut each)?;
                order.see(&times);
                if order.is_past(&times, site.since, stop) {
                    break;
                }
            }
        }
    }
    let segment = sink.finish(entity.absence_deletes).await?;
    Ok(Outcome::Collected {
        segment,
        through,
        from: bound,
    })
}

/// Reads one list per parent into one segment. A parent that answers 404 is counted and passed over.
pub(super) async fn children(
    site: &Site<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    parents: &[Parent],
    through: Option<DateTime<Utc>>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let mut sink = Sink::open(site, entity)?;
    let (first, rest) = parents.split_at(parents.len().min(1));
    // The first goes alone: when the repository has no such lists at all, one request finds out.
    let first = stream::iter(first).then(|parent| child(site, endpoint, parent));
    let rest = stream::iter(rest)
        .map(|parent| child(site, endpoint, parent))
        .buffered(CHILDREN_SIDE_BY_SIDE);
    let mut lists = pin!(first.chain(rest));
    let (mut missing, mut last_absence) = (0, None);
    let mut answered = false;
    while let Some(list) = lists.next().await {
        report.requests += list.requests;
        match list.values? {
            Ok(values) => {
                answered = true;
                sink.take(&values, Some(list.parent), report, |_| {})?;
            }
            Err(absence) if absence.status == 404 => {
                missing += 1;
                last_absence = Some(absence);
            }
            Err(absence) if !answered => return Ok(Outcome::Absent(absence)),
            Err(absence) => {
                return Err(Error::new(ErrorKind::Api, absence.reason)
                    .with("repository", &site.full_name)
                    .with("entity", entity.table));
            }
        }
    }
    report.missing_parents += missing;
    match last_absence {
        Some(absence) if !answered && !site.ever_returned(entity.table) => {
            Ok(Outcome::Absent(absence))
        }
        _ => {
            let segment = sink.finish(entity.absence_deletes && missing == 0).await?;
            Ok(Outcome::Collected {
                segment,
                through,
                from: Some(site.since),
            })
        }
    }
}

struct Child<'p> {
    parent: &'p Parent,
    requests: u64,
    values: Result<std::result::Result<Vec<Box<RawValue>>, Absence>>,
}

async fn child<'p>(site: &Site<'_>, endpoint: &'static Endpoint, parent: &'p Parent) -> Child<'p> {
    let target = match parent {
        Parent::None => site.target(),
        Parent::Id(id) => site.target().parent(id),
        Parent::Uuid(uuid) => site.target().parent(uuid),
    };
    let mut pages = site.client.walk(endpoint, target);
    let mut all = Vec::new();
    let values = loop {
        match pages.next().await {
            Ok(Step::Page(page)) => all.extend(page.values),
            Ok(Step::End) => break Ok(Ok(all)),
            Ok(Step::Absent(absence)) => break Ok(Err(absence)),
            Err(error) => break Err(error),
        }
    };
    Child {
        parent,
        requests: pages.requests(),
        values,
    }
}

/// The order in which a walk's times arrive.
#[derive(Debug, Default)]
struct Order {
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    rose: bool,
    fell: bool,
}

impl Order {
    fn see(&mut self, page: &Times) {
        for time in &page.times {
            self.first = self.first.or(Some(*time));
            if let Some(last) = self.last {
                self.rose |= *time > last;
                self.fell |= *time < last;
            }
            self.last = Some(*time);
        }
    }

    fn is_past(&self, page: &Times, since: DateTime<Utc>, stop: Stop) -> bool {
        let (Some(first), Some(last)) = (page.times.first(), page.times.last()) else {
            return false;
        };
        let older = !page.undated && page.times.iter().all(|time| *time < since);
        older
            && match stop {
                Stop::Never => false,
                Stop::OlderStrictly => self.fell && !self.rose,
                Stop::Older => last < first && self.first.is_some_and(|start| start >= *first),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: &[i64]) -> Times {
        let times = days
            .iter()
            .map(|day| DateTime::from_timestamp(day * 86_400, 0).unwrap());
        Times {
            times: times.collect(),
            undated: false,
        }
    }

    fn stops(stop: Stop, pages: &[&[i64]]) -> Vec<bool> {
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
    fn a_falling_list_stops_at_the_first_page_that_is_older_as_a_whole() {
        let pages: &[&[i64]] = &[&[30, 20], &[15, 9], &[8, 7]];
        assert_eq!(stops(Stop::OlderStrictly, pages), [false, false, true]);
        assert_eq!(stops(Stop::Older, pages), [false, false, true]);
        assert_eq!(stops(Stop::Never, pages), [false, false, false]);
    }

    #[test]
    fn a_list_in_rising_order_never_stops_at_its_old_start() {
        let pages: &[&[i64]] = &[&[1, 2], &[3, 4], &[11, 12]];
        assert_eq!(stops(Stop::OlderStrictly, pages), [false, false, false]);
        assert_eq!(stops(Stop::Older, pages), [false, false, false]);
    }

    #[test]
    fn disorder_keeps_a_strict_walk_going_and_not_a_feed() {
        let pages: &[&[i64]] = &[&[30, 20, 21], &[9, 8]];
        assert_eq!(stops(Stop::OlderStrictly, pages), [false, false]);
        assert_eq!(stops(Stop::Older, pages), [false, true]);
    }

    #[test]
    fn a_record_without_a_time_keeps_the_walk_going() {
        let mut page = days(&[3, 2]);
        page.undated = true;
        let mut order = Order::default();
        order.see(&page);
        assert!(!order.is_past(
            &page,
            DateTime::from_timestamp(864_000, 0).unwrap(),
            Stop::Older
        ));
    }
}
