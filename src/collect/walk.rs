//! The walks that all collectors share: a whole list, a list read newest first, one list per parent.
//!
//! ```text
//! page ─▶ sink (segment) ─┬─▶ checkpoint every ten pages or half a minute ─▶ state: segment, cursor, follow-ups
//!                         └─▶ newest first: down to the last complete walk (refresh), or to `since` (deep),
//!                             and in a deep walk no further than this round's floor
//! ```
//!
//! A walk that ends early for whatever reason goes on at its last checkpoint. What is read twice is one record by its key.

use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use serde_json::Value;
use serde_json::value::RawValue;

use super::entity::Entity;
use super::ledger::{FollowUps, Ledger};
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::{Sink, Times};
use super::stop::Reason;
use crate::bitbucket::{Absence, Endpoint, Pages, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Queued, Replaces, Walk};
use crate::schema::Parent;

/// Lists of parents that are read at the same time; they are written in the parents' order all the same.
const CHILDREN_SIDE_BY_SIDE: usize = 4;
/// What a killed run asks for again at most.
const PAGES_PER_CHECKPOINT: u64 = 10;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Bitbucket's servers are not of one mind about the time, and a record may show up in a list a moment late.
pub(super) const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// After so many parents whose lists fail, the next run is left to try the others.
const FAILING_PARENTS: usize = 10;

/// How a collector's attempt ended, short of an error.
#[derive(Debug)]
pub(super) enum Outcome {
    /// To its end.
    Collected,
    /// As far as this round wants; the rest is a later round's.
    Paused,
    /// Everybody has to stop; what was read is saved.
    Stopped,
    Absent(Absence),
}

/// What a walk over a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// What changed since the last complete walk.
    Refresh,
    /// What was never read.
    Load,
    /// What was read long ago.
    Reconcile,
}

/// `q` for a walk down to the target, from the border on where there is one.
pub(super) type Filter = fn(Aim, DateTime<Utc>, Option<DateTime<Utc>>) -> Option<String>;

/// A list that is read newest first.
pub(super) struct List {
    pub(super) entity: &'static Entity,
    pub(super) endpoint: &'static Endpoint,
    pub(super) stop: Stop,
    /// What to ask the server for; the walk cuts by itself as well.
    pub(super) filter: Filter,
    /// Whether a reconcile reads it again.
    pub(super) reconciles: bool,
}

/// When a list is left before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is read to the end.
    Never,
    /// At a page that is older than the target as a whole, if every record so far came in falling order.
    OlderStrictly,
    /// The same for a feed that is newest first but may be out of order by a little.
    Older,
}

/// A time as Bitbucket's query language writes it.
pub(super) fn quoted(time: DateTime<Utc>) -> String {
    format!("\"{}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

/// No list to filter, or one that ignores filters.
pub(super) fn unfiltered(_: Aim, _: DateTime<Utc>, _: Option<DateTime<Utc>>) -> Option<String> {
    None
}

/// A page, or that it is time to stop.
pub(super) async fn next_page(site: &Site<'_>, pages: &mut Pages) -> Result<Option<Step>> {
    let stop = site.context.options.stop;
    tokio::select! {
        biased;
        () = stop.wait() => Ok(None),
        step = pages.next() => or_stop(site, step),
    }
}

/// A used-up quota stops everybody, and is nobody's failure.
pub(super) fn or_stop<T>(site: &Site<'_>, result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::Quota => {
            let reason = Reason::Quota(error.to_string());
            site.context.options.stop.ask(reason);
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Reads a whole list into one segment. It has no checkpoint: such lists are short, and half of one proves nothing
/// about what is gone. `each` sees what is kept.
pub(super) async fn whole(
    repo: &mut Repo<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    report: &mut EntityReport,
    mut each: impl FnMut(&Value),
) -> Result<Outcome> {
    let Repo { site, ledger, .. } = repo;
    let mut pages = site.client.walk(endpoint, site.target());
    let mut sink = Sink::open(site, entity, ledger.sequence(entity.table))?;
    let mut started = None;
    let outcome = loop {
        match next_page(site, &mut pages).await {
            Err(error) => break Err(error),
            Ok(None) => break Ok(Outcome::Stopped),
            Ok(Some(Step::Absent(absence))) => break Ok(Outcome::Absent(absence)),
            Ok(Some(Step::End)) => break Ok(Outcome::Collected),
            Ok(Some(Step::Page(page))) => {
                started = started.or(page.date);
                sink.take(&page.values, Some(&Parent::None), report, &mut each)?;
            }
        }
    };
    report.requests += pages.requests();
    if !matches!(outcome, Ok(Outcome::Collected)) {
        return outcome;
    }
    let replaces = match entity.absence_deletes {
        true => Replaces::Everything,
        false => Replaces::Nothing,
    };
    let segment = match replaces {
        // Asked to look again at everything, an empty list is taken at its word.
        Replaces::Everything if site.context.options.full => {
            Some(sink.finish_empty(replaces).await?)
        }
        replaces => sink.finish(replaces).await?,
    };
    ledger.add(entity.table, segment);
    let state = ledger.entity(entity.table);
    state.complete_from = None;
    state.complete_through = Some(started.unwrap_or(site.context.options.now));
    ledger.put().await?;
    outcome
}

/// Reads what is new of a list, and, as far as this round goes, what is older than everything read so far.
/// `follow` says what a kept record leads to.
pub(super) async fn newest_first(
    repo: &mut Repo<'_>,
    list: &List,
    report: &mut EntityReport,
    mut follow: impl FnMut(&Value, Aim, DateTime<Utc>, &mut FollowUps),
) -> Result<Outcome> {
    let table = list.entity.table;
    let (since, now) = (repo.site.since, repo.site.context.options.now);
    let through = repo.ledger.entity(table).complete_through;
    let mut refreshes = repo.round.refreshes;
    while let Some(through) = repo
        .ledger
        .entity(table)
        .complete_through
        .filter(|_| refreshes)
    {
        // What was begun another night ends at that night's news: those of this one are another walk's.
        refreshes = repo.ledger.entity(table).refresh.is_some();
        let target = (through - OVERLAP).max(since);
        let outcome = walk(repo, list, Aim::Refresh, target, report, &mut follow).await?;
        if !matches!(outcome, Outcome::Collected) {
            return Ok(outcome);
        }
    }
    let full = repo.site.context.options.full;
    let every = repo.site.context.config.sync.full_every;
    let refreshes = repo.round.refreshes;
    let state = repo.ledger.entity(table);
    let due = || match (state.reconciled_on, every) {
        _ if full => true,
        (Some(last), Some(every)) => every.has_passed(last, now),
        (None, _) | (_, None) => false,
    };
    let aim = match &state.deep {
        Some(walk) if walk.reconcile => Aim::Reconcile,
        Some(_) => Aim::Load,
        None if through.is_none() => Aim::Load,
        None if state.complete_from.is_some_and(|from| from > since) => Aim::Load,
        None if list.reconciles && refreshes && due() => Aim::Reconcile,
        None => return Ok(Outcome::Collected),
    };
    walk(repo, list, aim, since, report, &mut follow).await
}

async fn walk(
    repo: &mut Repo<'_>,
    list: &List,
    aim: Aim,
    target: DateTime<Utc>,
    report: &mut EntityReport,
    follow: &mut impl FnMut(&Value, Aim, DateTime<Utc>, &mut FollowUps),
) -> Result<Outcome> {
    let floor = repo.round.floor.max(target);
    let Repo { site, ledger, .. } = repo;
    let entity = list.entity;
    let mut at = Cursor::of(ledger, list, aim);
    if aim != Aim::Refresh && floor > target && at.border.is_some_and(|border| border <= floor) {
        at.keep(ledger, list, aim);
        return Ok(Outcome::Paused);
    }
    let mut pages = at.pages(site, list, aim, target);
    let mut more = FollowUps::new();
    let mut pace = Pace::default();
    let mut order = Order::default();
    let mut asked;
    let mut sink = Sink::open(site, entity, ledger.sequence(entity.table))?;
    loop {
        asked = pages.cursor();
        let resumed = at.next.is_some();
        let step = next_page(site, &mut pages).await;
        let lost = matches!(&step, Ok(Some(Step::Absent(_)))) || is_refusal(&step);
        if lost && resumed && pages.is_at_start() {
            // The page's address has expired: the walk begins again, as far down as it knows.
            report.requests += pages.requests();
            at.next = None;
            pages = at.pages(site, list, aim, target);
            continue;
        }
        let ended = match step {
            Err(error) => {
                report.requests += pages.requests();
                return Err(error);
            }
            Ok(Some(Step::Absent(absence))) => {
                report.requests += pages.requests();
                return Ok(Outcome::Absent(absence));
            }
            Ok(None) => Some(Outcome::Stopped),
            Ok(Some(Step::End)) => Some(Outcome::Collected),
            Ok(Some(Step::Page(page))) => {
                at.started = at.started.or(page.date);
                let parent = entity.parent.is_none().then_some(Parent::None);
                let times = sink.take(&page.values, parent.as_ref(), report, |record| {
                    follow(record, aim, target, &mut more);
                })?;
                pace.pages += 1;
                order.see(&times);
                if let Some(oldest) = order
                    .is_falling(list.stop)
                    .then(|| times.oldest())
                    .flatten()
                {
                    at.border = Some(at.border.map_or(oldest, |border| border.min(oldest)));
                }
                // Where the server filters, its list ends by itself, and may hold older records on purpose.
                let stop = match pages.is_filtered() {
                    true => Stop::Never,
                    false => list.stop,
                };
                if pages.cursor().is_none() || order.is_past(&times, target, stop) {
                    Some(Outcome::Collected)
                } else if aim != Aim::Refresh
                    && floor > target
                    && at.border.is_some_and(|border| border <= floor)
                {
                    Some(Outcome::Paused)
                } else {
                    None
                }
            }
        };
        if ended.is_none() && !pace.is_due() {
            continue;
        }
        at.next = pages.cursor();
        at.pages_left = pages.left();
        let segment = sink.finish(Replaces::Nothing).await?;
        ledger.add(entity.table, segment);
        ledger.follow(&mut more);
        let now = site.context.options.now;
        match &ended {
            Some(Outcome::Collected) => at.close(ledger, list, aim, target, asked, now),
            Some(Outcome::Paused) => at.pause(ledger, list, aim, floor, now),
            _ => at.keep(ledger, list, aim),
        }
        ledger.put().await?;
        if let Some(ended) = ended {
            report.requests += pages.requests();
            return Ok(ended);
        }
        pace = Pace::default();
        sink = Sink::open(site, entity, ledger.sequence(entity.table))?;
    }
}

/// What a server says to a page's address that it does not know any more.
fn is_refusal(step: &Result<Option<Step>>) -> bool {
    let refused = |error: &Error| matches!(error.context("status"), Some("400" | "404" | "410"));
    step.as_ref().err().is_some_and(refused)
}

/// When the next checkpoint is due.
pub(super) struct Pace {
    pub(super) pages: u64,
    since: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pages: 0,
            since: Instant::now(),
        }
    }
}

impl Pace {
    pub(super) fn is_due(&self) -> bool {
        self.pages >= PAGES_PER_CHECKPOINT || self.since.elapsed() >= CHECKPOINT_EVERY
    }
}

/// A [`Walk`] under way.
struct Cursor(Walk);

impl std::ops::Deref for Cursor {
    type Target = Walk;
    fn deref(&self) -> &Walk {
        &self.0
    }
}

impl std::ops::DerefMut for Cursor {
    fn deref_mut(&mut self) -> &mut Walk {
        &mut self.0
    }
}

impl Cursor {
    fn of(ledger: &mut Ledger<'_>, list: &List, aim: Aim) -> Self {
        let state = ledger.entity(list.entity.table);
        let open = match aim {
            Aim::Refresh => state.refresh.clone(),
            Aim::Load | Aim::Reconcile => state.deep.clone(),
        };
        // A gap below what is complete: it begins where that ends.
        let gap = aim == Aim::Load && state.complete_through.is_some();
        Self(open.unwrap_or_else(|| Walk {
            started: state.complete_through.filter(|_| gap),
            border: state.complete_from.filter(|_| gap),
            next: state.bottom.clone().filter(|_| gap),
            reconcile: aim == Aim::Reconcile,
            ..Walk::default()
        }))
    }

    /// The pages still to be read: from a page on, or from a time on where the server can filter. A list that is
    /// newest first only shifts towards later pages, so an old page number repeats records and loses none.
    fn pages(&self, site: &Site<'_>, list: &List, aim: Aim, target: DateTime<Utc>) -> Pages {
        let begin = || {
            let filter = (list.filter)(aim, target, self.border);
            let pages = site.client.walk(list.endpoint, site.target());
            pages.matching(filter)
        };
        match self.next.as_ref().map(|next| begin().resume(next)) {
            Some(Ok(pages)) => pages,
            _ => begin(),
        }
    }

    fn keep(&self, ledger: &mut Ledger<'_>, list: &List, aim: Aim) {
        let state = ledger.entity(list.entity.table);
        match aim {
            Aim::Refresh => state.refresh = Some(self.0.clone()),
            Aim::Load | Aim::Reconcile => state.deep = Some(self.0.clone()),
        }
    }

    fn pause(
        &self,
        ledger: &mut Ledger<'_>,
        list: &List,
        aim: Aim,
        floor: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        self.keep(ledger, list, aim);
        if aim == Aim::Load {
            let state = ledger.entity(list.entity.table);
            let from = state.complete_from.map_or(floor, |from| from.min(floor));
            state.complete_from = Some(from);
            state
                .complete_through
                .get_or_insert(self.started.unwrap_or(now));
        }
    }

    fn close(
        &self,
        ledger: &mut Ledger<'_>,
        list: &List,
        aim: Aim,
        target: DateTime<Utc>,
        bottom: Option<String>,
        now: DateTime<Utc>,
    ) {
        let started = self.started.unwrap_or(now);
        let state = ledger.entity(list.entity.table);
        if aim == Aim::Refresh {
            state.refresh = None;
            state.complete_through = Some(started);
            return;
        }
        state.deep = None;
        state.bottom = bottom;
        state.complete_from = Some(target);
        if aim == Aim::Reconcile || state.reconciled_on.is_none() {
            state.reconciled_on = Some(started);
        }
        state.complete_through.get_or_insert(started);
    }
}

/// Reads the lists of the queued records of the table `parents`. A parent that answers 404 is counted and passed over; one whose list fails
/// stays queued and holds nobody up.
pub(super) async fn children(
    repo: &mut Repo<'_>,
    entity: &'static Entity,
    parents: &'static str,
    endpoint: &'static Endpoint,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let Repo { site, ledger, .. } = repo;
    let queue: Vec<Parent> = ledger
        .entity(entity.table)
        .queue
        .iter()
        .map(parent)
        .collect();
    let mut sink = Sink::open(site, entity, ledger.sequence(entity.table))?;
    let (first, rest) = queue.split_at(queue.len().min(1));
    // The first goes alone: when the repository has no such lists at all, one request finds out.
    let first = stream::iter(first).then(|parent| child(site, endpoint, parent));
    let rest = stream::iter(rest)
        .map(|parent| child(site, endpoint, parent))
        .buffered(CHILDREN_SIDE_BY_SIDE);
    let mut lists = pin!(first.chain(rest));
    let (mut done, mut whole, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut missing = None;
    let mut answered = false;
    let mut pace = Pace::default();
    let outcome = loop {
        let next = tokio::select! {
            biased;
            () = site.context.options.stop.wait() => break Ok(Outcome::Stopped),
            next = lists.next() => next,
        };
        let Some(list) = next else {
            break Ok(Outcome::Collected);
        };
        report.requests += list.requests;
        let values = match or_stop(site, list.values) {
            Ok(Some(values)) => values,
            Ok(None) => break Ok(Outcome::Stopped),
            Err(error) if error.kind() == ErrorKind::Api && failed.len() < FAILING_PARENTS => {
                failed.push(error);
                continue;
            }
            Err(error) => break Err(error),
        };
        match values {
            Ok(values) => {
                answered = true;
                sink.take(&values, Some(list.parent), report, |_| {})?;
                if let Parent::Id(id) = list.parent
                    && !values.is_empty()
                {
                    whole.push(*id);
                }
                done.push(list.parent.clone());
            }
            Err(absence) if absence.status == 404 => {
                report.missing_parents += 1;
                missing = Some(absence);
                done.push(list.parent.clone());
            }
            Err(absence) if !answered => break Ok(Outcome::Absent(absence)),
            Err(absence) => {
                break Err(Error::new(ErrorKind::Api, absence.reason)
                    .with("repository", &site.full_name)
                    .with("entity", entity.table));
            }
        }
        pace.pages += list.requests;
        if pace.is_due() {
            checkpoint(ledger, entity, sink, &mut done, &mut whole).await?;
            pace = Pace::default();
            sink = Sink::open(site, entity, ledger.sequence(entity.table))?;
        }
    };
    checkpoint(ledger, entity, sink, &mut done, &mut whole).await?;
    let none_there = !answered && !ledger.ever_returned(entity.table);
    match (outcome?, failed.into_iter().next(), missing) {
        (Outcome::Collected, Some(error), _) => Err(error),
        (Outcome::Collected, None, Some(absence)) if none_there => Ok(Outcome::Absent(absence)),
        (Outcome::Collected, None, _) => {
            ledger.inherit(entity.table, parents);
            Ok(Outcome::Collected)
        }
        (outcome, ..) => Ok(outcome),
    }
}

async fn checkpoint(
    ledger: &mut Ledger<'_>,
    entity: &'static Entity,
    sink: Sink<'_>,
    done: &mut Vec<Parent>,
    whole: &mut Vec<i64>,
) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let replaces = match entity.absence_deletes {
        true => Replaces::Parents(std::mem::take(whole)),
        false => Replaces::Nothing,
    };
    let segment = sink.finish(replaces).await?;
    ledger.add(entity.table, segment);
    let queue = &mut ledger.entity(entity.table).queue;
    let done: std::collections::HashSet<String> = done.drain(..).map(|one| id(&one)).collect();
    queue.retain(|queued| !done.contains(&queued.id));
    ledger.put().await
}

/// Pull requests and issues have numbers, pipelines uuids.
fn parent(queued: &Queued) -> Parent {
    match queued.id.parse() {
        Ok(id) => Parent::Id(id),
        Err(_) => Parent::Uuid(queued.id.clone()),
    }
}

fn id(parent: &Parent) -> String {
    match parent {
        Parent::None => String::new(),
        Parent::Id(id) => id.to_string(),
        Parent::Uuid(uuid) => uuid.clone(),
    }
}

struct Child<'p> {
    parent: &'p Parent,
    requests: u64,
    values: Result<std::result::Result<Vec<Box<RawValue>>, Absence>>,
}

async fn child<'p>(site: &Site<'_>, endpoint: &'static Endpoint, parent: &'p Parent) -> Child<'p> {
    let mut pages = site.client.walk(endpoint, site.target().parent(id(parent)));
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

    /// Whether what comes next is older than what came.
    fn is_falling(&self, stop: Stop) -> bool {
        match stop {
            Stop::Never => false,
            Stop::OlderStrictly => !self.rose,
            Stop::Older => self.last < self.first,
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
