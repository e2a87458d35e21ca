//! The walk over a list that is read newest first.
//!
//! ```text
//!        since        complete_from            complete_through     now
//!          |  ◀── deep ── |  everything is here  |  ◀── refresh ──── |
//!                  ▲ this round's floor: a deep walk pauses here
//! ```
//!
//! A walk that ends early for whatever reason goes on at its last checkpoint. What is read twice is one record by its key.

use std::ops::{Deref, DerefMut};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::Value;

use super::checkpoint::{CheckpointStore, FollowUps};
use super::entity::Entity;
use super::held::Held;
use super::order::{EarlyStop, Order};
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::Sink;
use super::walk::{ListOutcome, Pace, next_page};
use crate::bitbucket::{Endpoint, NextPage, Pages};
use crate::error::{Error, Result};
use crate::lake::{Cursor, Replaces};
use crate::schema::Parent;

/// Bitbucket's servers are not of one mind about the time, and a record may show up in a list a moment late.
pub(super) const OVERLAP: TimeDelta = TimeDelta::minutes(10);

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
    pub(super) stop: EarlyStop,
    /// What to ask the server for; the walk cuts by itself as well.
    pub(super) filter: Filter,
    /// A parameter that narrows what a refresh reads.
    pub(super) only: Option<(&'static str, &'static str)>,
    /// Whether a reconcile reads it again.
    pub(super) reconciles: bool,
}

/// A time as Bitbucket's query language writes it.
pub(super) fn quoted(time: DateTime<Utc>) -> String {
    format!("\"{}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

/// No list to filter, or one that ignores filters.
pub(super) fn unfiltered(_: Aim, _: DateTime<Utc>, _: Option<DateTime<Utc>>) -> Option<String> {
    None
}

/// Reads what is new of a list, and, as far as this round goes, what is older than everything read so far.
/// `follow` says what a kept record leads to.
pub(super) async fn newest_first(
    repo: &mut Repo<'_>,
    list: &List,
    report: &mut EntityReport,
    mut follow: impl FnMut(&Value, Aim, DateTime<Utc>, &mut FollowUps),
) -> Result<ListOutcome> {
    let table = list.entity.table;
    let (since, now) = (repo.site.since, repo.site.context.options.now);
    let through = repo.checkpoints.entity(table).complete_through;
    let mut refreshes = repo.round.refreshes;
    while let Some(through) = repo
        .checkpoints
        .entity(table)
        .complete_through
        .filter(|_| refreshes)
    {
        // What was begun another night ends at that night's news: those of this one are another walk's.
        refreshes = repo.checkpoints.entity(table).refresh.is_some();
        let overlap = through.checked_sub_signed(OVERLAP);
        let target = overlap.unwrap_or(through).max(since);
        let outcome = walk(repo, list, Aim::Refresh, target, report, &mut follow).await?;
        if !matches!(outcome, ListOutcome::Complete) {
            return Ok(outcome);
        }
    }
    let full = repo.site.context.options.full;
    let every = repo.site.context.config.sync.full_every;
    let refreshes = repo.round.refreshes;
    let state = repo.checkpoints.entity(table);
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
        None => return Ok(ListOutcome::Complete),
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
) -> Result<ListOutcome> {
    let floor = repo.round.floor.max(target);
    let Repo {
        site, checkpoints, ..
    } = repo;
    let entity = list.entity;
    let mut at = ListCursor::of(checkpoints, list, aim);
    if aim != Aim::Refresh && floor > target && at.border.is_some_and(|border| border <= floor) {
        at.keep(checkpoints, list, aim);
        return Ok(ListOutcome::Partial);
    }
    let mut pages = at.pages(site, list, aim, target);
    let mut more = FollowUps::new();
    let mut held = Held::of(entity);
    let mut pace = Pace::default();
    let mut order = Order::default();
    let mut asked;
    let mut sink = Sink::open(site, entity, checkpoints.sequence(entity.table))?;
    loop {
        asked = pages.cursor();
        let resumed = at.next.is_some();
        let step = next_page(site, &mut pages).await;
        let lost = matches!(&step, Ok(Some(NextPage::Unavailable(_)))) || is_refusal(&step);
        if lost && resumed && pages.has_no_page() {
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
            Ok(Some(NextPage::Unavailable(absence))) => {
                report.requests += pages.requests();
                return Ok(ListOutcome::Unavailable(absence));
            }
            Ok(None) => Some(ListOutcome::Stopped),
            Ok(Some(NextPage::End)) => Some(ListOutcome::Complete),
            Ok(Some(NextPage::Page(page))) => {
                at.started = at.started.or(page.date);
                let parent = entity.parent.is_none().then_some(Parent::None);
                let times = sink.take(&page.values, parent.as_ref(), report, |record| {
                    follow(record, aim, target, &mut more);
                    held.see(record);
                })?;
                pace.pages += 1;
                report.news += match aim {
                    Aim::Refresh => times.since(target),
                    Aim::Load | Aim::Reconcile => times.times.len() as u64,
                };
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
                    true => EarlyStop::Never,
                    false => list.stop,
                };
                if pages.cursor().is_none() || order.is_past(&times, target, stop) {
                    Some(ListOutcome::Complete)
                } else if aim != Aim::Refresh
                    && floor > target
                    && at.border.is_some_and(|border| border <= floor)
                {
                    Some(ListOutcome::Partial)
                } else {
                    None
                }
            }
        };
        if ended.is_none() && !pace.is_due() {
            continue;
        }
        at.next = pages.cursor();
        at.pages_left = pages.remaining_pages();
        let segment = sink.finish(Replaces::Nothing).await?;
        checkpoints.add(entity.table, segment);
        held.save(site, checkpoints).await?;
        checkpoints.follow(&mut more);
        let now = site.context.options.now;
        match &ended {
            Some(ListOutcome::Complete) => at.close(checkpoints, list, aim, target, asked, now),
            Some(ListOutcome::Partial) => at.pause(checkpoints, list, aim, floor, now),
            _ => at.keep(checkpoints, list, aim),
        }
        checkpoints.put().await?;
        if let Some(ended) = ended {
            report.requests += pages.requests();
            return Ok(ended);
        }
        pace = Pace::default();
        sink = Sink::open(site, entity, checkpoints.sequence(entity.table))?;
    }
}

/// What a server says to a page's address that it does not know any more.
fn is_refusal(step: &Result<Option<NextPage>>) -> bool {
    let refused = |error: &Error| {
        matches!(
            error.status(),
            Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE)
        )
    };
    step.as_ref().err().is_some_and(refused)
}

/// A [`Cursor`] under way.
struct ListCursor(Cursor);

impl Deref for ListCursor {
    type Target = Cursor;
    fn deref(&self) -> &Cursor {
        &self.0
    }
}

impl DerefMut for ListCursor {
    fn deref_mut(&mut self) -> &mut Cursor {
        &mut self.0
    }
}

impl ListCursor {
    fn of(checkpoints: &mut CheckpointStore<'_>, list: &List, aim: Aim) -> Self {
        let state = checkpoints.entity(list.entity.table);
        let open = match aim {
            Aim::Refresh => state.refresh.clone(),
            Aim::Load | Aim::Reconcile => state.deep.clone(),
        };
        // A gap below what is complete: it begins where that ends.
        let gap = aim == Aim::Load && state.complete_through.is_some();
        Self(open.unwrap_or_else(|| Cursor {
            started: state.complete_through.filter(|_| gap),
            border: state.complete_from.filter(|_| gap),
            next: state.bottom.clone().filter(|_| gap),
            reconcile: aim == Aim::Reconcile,
            ..Cursor::default()
        }))
    }

    /// The pages still to be read: from a page on, or from a time on where the server can filter. A list that is
    /// newest first only shifts towards later pages, so an old page number repeats records and loses none.
    fn pages(&self, site: &Site<'_>, list: &List, aim: Aim, target: DateTime<Utc>) -> Pages {
        let begin = || {
            let filter = (list.filter)(aim, target, self.border);
            let pages = site.client.list(list.endpoint, site.target());
            let only = list.only.filter(|_| aim == Aim::Refresh);
            pages.with_filter(filter).with_parameter(only)
        };
        match self.next.as_ref().map(|next| begin().resume(next)) {
            Some(Ok(pages)) => pages,
            _ => begin(),
        }
    }

    fn keep(&self, checkpoints: &mut CheckpointStore<'_>, list: &List, aim: Aim) {
        let state = checkpoints.entity(list.entity.table);
        match aim {
            Aim::Refresh => state.refresh = Some(self.0.clone()),
            Aim::Load | Aim::Reconcile => state.deep = Some(self.0.clone()),
        }
    }

    fn pause(
        &self,
        checkpoints: &mut CheckpointStore<'_>,
        list: &List,
        aim: Aim,
        floor: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        self.keep(checkpoints, list, aim);
        if aim == Aim::Load {
            let state = checkpoints.entity(list.entity.table);
            let from = state.complete_from.map_or(floor, |from| from.min(floor));
            state.complete_from = Some(from);
            state
                .complete_through
                .get_or_insert(self.started.unwrap_or(now));
        }
    }

    fn close(
        &self,
        checkpoints: &mut CheckpointStore<'_>,
        list: &List,
        aim: Aim,
        target: DateTime<Utc>,
        bottom: Option<String>,
        now: DateTime<Utc>,
    ) {
        let started = self.started.unwrap_or(now);
        let state = checkpoints.entity(list.entity.table);
        if aim == Aim::Refresh {
            state.refresh = None;
            state.complete_through = Some(started);
            return;
        }
        state.deep = None;
        state.bottom = bottom;
        state.complete_from = Some(state.complete_from.map_or(target, |from| from.min(target)));
        if aim == Aim::Reconcile || state.reconciled_on.is_none() {
            state.reconciled_on = Some(started);
        }
        state.complete_through.get_or_insert(started);
    }
}
