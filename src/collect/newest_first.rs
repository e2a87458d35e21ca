//! Lists that are read newest first.
//!
//! ```text
//!        since           complete_from              complete_through     now
//!          |  ◀── backfill ── |  everything is collected  |  ◀── incremental ── |
//!                    ▲ the round's floor: a backfill pauses here
//! ```
//!
//! A read that was cut short resumes at its last checkpoint. A record that is read twice is one record by its key.

use chrono::{DateTime, TimeDelta, Utc};

use super::checkpoint::{CheckpointStore, PendingRecords};
use super::embedded::EmbeddedRecords;
use super::entity::Entity;
use super::list_reader::{ListOutcome, ListReading, read_list};
use super::order::{EarlyStop, Order};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::{Endpoint, Page, Pages};
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::{Cursor, ListState, Replaces};
use crate::schema::Parent;

/// How far an incremental read reaches behind the watermark: Bitbucket's servers differ in their clocks, and a record may
/// appear in a list a moment late.
const LAG: TimeDelta = TimeDelta::minutes(10);

/// What a read of a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncMode {
    /// Read what changed since the watermark.
    Incremental,
    /// Read what is older than everything collected.
    Backfill,
    /// Read everything again.
    FullRefresh,
}

/// Returns `q` for a read down to the target, from the cursor's watermark on where there is one.
pub(super) type Filter = fn(SyncMode, DateTime<Utc>, Option<DateTime<Utc>>) -> Option<String>;

/// A list that is read newest first.
pub(super) struct NewestFirstList {
    pub(super) entity: &'static Entity,
    pub(super) endpoint: &'static Endpoint,
    pub(super) stop: EarlyStop,
    /// The filter that the server is asked to apply. It saves requests; the read cuts by itself as well.
    pub(super) filter: Filter,
    /// A query parameter that narrows an incremental read.
    pub(super) incremental_parameter: Option<(&'static str, &'static str)>,
    /// Whether a full refresh covers the list.
    pub(super) has_full_refresh: bool,
}

/// Format a time as Bitbucket's query language writes it.
pub(super) fn quoted(time: DateTime<Utc>) -> String {
    format!("\"{}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

/// The filter of a list that ignores filters.
pub(super) fn no_filter(_: SyncMode, _: DateTime<Utc>, _: Option<DateTime<Utc>>) -> Option<String> {
    None
}

/// Read what changed in a list and, down to the round's floor, what is older than everything collected. `find_pending` adds
/// the records to fetch by id that a kept record leads to.
pub(super) async fn read_newest_first(
    run: &mut RepositoryRun<'_>,
    list: &NewestFirstList,
    report: &mut EntityReport,
    mut find_pending: impl FnMut(JsonValue<'_>, SyncMode, DateTime<Utc>, &mut PendingRecords),
) -> Result<ListOutcome> {
    let table = list.entity.table;
    let since = run.repository.since;
    let was_returned = run.checkpoints.list(table).ever_returned();
    let mut reads_again = run.round.is_first;
    while reads_again && let Some(last_complete) = run.checkpoints.list(table).complete_through {
        // A resumed read ends at the watermark of the run that began it: later changes need a second read.
        reads_again = run.checkpoints.list(table).incremental.is_some();
        let watermark = last_complete
            .checked_sub_signed(LAG)
            .unwrap_or(last_complete);
        let target = watermark.max(since);
        let mode = SyncMode::Incremental;
        let outcome = read(run, list, mode, target, report, &mut find_pending).await?;
        if !matches!(outcome, ListOutcome::Complete) {
            return Ok(outcome);
        }
    }
    match older_mode(run, list, was_returned) {
        Some(mode) => read(run, list, mode, since, report, &mut find_pending).await,
        None => Ok(ListOutcome::Complete),
    }
}

/// How older records of the list are to be read; `None` when all of them are collected.
fn older_mode(
    run: &RepositoryRun<'_>,
    list: &NewestFirstList,
    was_returned: bool,
) -> Option<SyncMode> {
    let repository = &run.repository;
    let state = run.checkpoints.list(list.entity.table);
    let is_due = || match (state.full_refresh_on, repository.run.config.sync.full_every) {
        _ if repository.is_full_refresh() => true,
        (Some(last), Some(every)) => every.has_passed(last, repository.now()),
        (None, _) | (_, None) => false,
    };
    let has_gap = state
        .complete_from
        .is_some_and(|from| from > repository.since);
    match &state.backfill {
        Some(cursor) if cursor.full_refresh => Some(SyncMode::FullRefresh),
        Some(_) => Some(SyncMode::Backfill),
        None if !was_returned || has_gap => Some(SyncMode::Backfill),
        None if list.has_full_refresh && run.round.is_first && is_due() => {
            Some(SyncMode::FullRefresh)
        }
        None => None,
    }
}

async fn read(
    run: &mut RepositoryRun<'_>,
    list: &NewestFirstList,
    mode: SyncMode,
    target: DateTime<Utc>,
    report: &mut EntityReport,
    find_pending: &mut impl FnMut(JsonValue<'_>, SyncMode, DateTime<Utc>, &mut PendingRecords),
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        round,
        ..
    } = run;
    let floor = round.floor.max(target);
    let cursor = open_cursor(checkpoints.list(list.entity.table), mode);
    let mut sink = Sink::new(repository, list.entity, checkpoints)?;
    sink.continue_below(cursor.watermark.filter(|_| cursor.next.is_some()));
    let mut reading = NewestFirst {
        repository,
        list,
        mode,
        target,
        floor: (mode != SyncMode::Incremental && floor > target).then_some(floor),
        cursor,
        order: Order::default(),
        sink,
        embedded: EmbeddedRecords::of(list.entity),
        pending: PendingRecords::default(),
        find_pending,
    };
    if reading.is_at_floor() {
        reading.suspend(checkpoints.list_mut(list.entity.table));
        return Ok(ListOutcome::Partial);
    }
    read_list(repository, checkpoints, &mut reading, report).await
}

/// The cursor of an unfinished read, or that of a new one. A backfill below what is collected begins where that ends.
fn open_cursor(state: &ListState, mode: SyncMode) -> Cursor {
    let unfinished = match mode {
        SyncMode::Incremental => &state.incremental,
        SyncMode::Backfill | SyncMode::FullRefresh => &state.backfill,
    };
    let has_gap = mode == SyncMode::Backfill && state.ever_returned();
    unfinished.clone().unwrap_or_else(|| Cursor {
        started: state.complete_through.filter(|_| has_gap),
        watermark: state.complete_from.filter(|_| has_gap),
        next: state.oldest_page.clone().filter(|_| has_gap),
        full_refresh: mode == SyncMode::FullRefresh,
        ..Cursor::default()
    })
}

/// A read of a list down to `target`.
struct NewestFirst<'r, 'a, F> {
    repository: &'r RepositoryContext<'a>,
    list: &'r NewestFirstList,
    mode: SyncMode,
    target: DateTime<Utc>,
    /// Where this round pauses, above the target.
    floor: Option<DateTime<Utc>>,
    cursor: Cursor,
    order: Order,
    sink: Sink<'r>,
    embedded: EmbeddedRecords,
    pending: PendingRecords,
    find_pending: &'r mut F,
}

impl<F> NewestFirst<'_, '_, F> {
    fn is_at_floor(&self) -> bool {
        let reached = self.cursor.watermark.zip(self.floor);
        reached.is_some_and(|(watermark, floor)| watermark <= floor)
    }

    /// Keep the cursor for the next run.
    fn suspend(&self, state: &mut ListState) {
        match self.mode {
            SyncMode::Incremental => state.incremental = Some(self.cursor.clone()),
            SyncMode::Backfill | SyncMode::FullRefresh => {
                state.backfill = Some(self.cursor.clone());
            }
        }
    }

    /// Keep the cursor for the next round: everything down to the floor is collected.
    fn pause(&self, state: &mut ListState) {
        self.suspend(state);
        if let (SyncMode::Backfill, Some(floor)) = (self.mode, self.floor) {
            let from = state.complete_from.map_or(floor, |from| from.min(floor));
            state.complete_from = Some(from);
            let started = self.cursor.started.unwrap_or(self.repository.now());
            state.complete_through.get_or_insert(started);
        }
    }

    fn complete(&self, state: &mut ListState, last_page: Option<String>) {
        let started = self.cursor.started.unwrap_or(self.repository.now());
        if self.mode == SyncMode::Incremental {
            state.incremental = None;
            state.complete_through = Some(started);
            return;
        }
        state.backfill = None;
        state.oldest_page = last_page;
        let from = state
            .complete_from
            .map_or(self.target, |from| from.min(self.target));
        state.complete_from = Some(from);
        if self.mode == SyncMode::FullRefresh || state.full_refresh_on.is_none() {
            state.full_refresh_on = Some(started);
        }
        state.complete_through.get_or_insert(started);
    }
}

impl<F> ListReading for NewestFirst<'_, '_, F>
where
    F: FnMut(JsonValue<'_>, SyncMode, DateTime<Utc>, &mut PendingRecords),
{
    const IS_RESUMABLE: bool = true;

    /// From a page on, or from a time on where the server can filter. A list that is newest first only shifts towards later
    /// pages, so the address of an old page repeats records and skips none.
    fn pages(&self) -> Pages {
        let new = || {
            let filter = (self.list.filter)(self.mode, self.target, self.cursor.watermark);
            let parameter = self.list.incremental_parameter;
            let parameter = parameter.filter(|_| self.mode == SyncMode::Incremental);
            let target = self.repository.target();
            let pages = self.repository.client.list(self.list.endpoint, target);
            pages.with_filter(filter).with_parameter(parameter)
        };
        let resumed = self.cursor.next.as_ref().map(|next| new().resume(next));
        resumed.and_then(Result::ok).unwrap_or_else(new)
    }

    fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    fn take(
        &mut self,
        page: Page,
        pages: &Pages,
        report: &mut EntityReport,
    ) -> Result<Option<ListOutcome>> {
        let parent = self.list.entity.parent.is_none().then_some(Parent::None);
        let times = self
            .sink
            .take(&page.values, parent.as_ref(), report, |record| {
                (self.find_pending)(record, self.mode, self.target, &mut self.pending);
                self.embedded.extract(record);
            })?;
        report.new_records += match self.mode {
            SyncMode::Incremental => times.count_since(self.target),
            SyncMode::Backfill | SyncMode::FullRefresh => times.times.len() as u64,
        };
        self.order.record(&times);
        if self.order.is_falling(self.list.stop)
            && let Some(oldest) = times.oldest()
        {
            let watermark = self.cursor.watermark;
            self.cursor.watermark = Some(watermark.map_or(oldest, |known| known.min(oldest)));
        }
        // A list that the server filters ends by itself, and may contain older records on purpose.
        let stop = match pages.is_filtered() {
            true => EarlyStop::Never,
            false => self.list.stop,
        };
        let is_read = pages.cursor().is_none() || self.order.is_past(&times, self.target, stop);
        Ok(match is_read {
            true => Some(ListOutcome::Complete),
            false => self.is_at_floor().then_some(ListOutcome::Partial),
        })
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        outcome: Option<&ListOutcome>,
        last_page: Option<String>,
    ) -> Result<()> {
        self.sink.save(checkpoints, Replaces::Nothing).await?;
        self.embedded.save(self.repository, checkpoints).await?;
        checkpoints.add_pending(&mut self.pending);
        let state = checkpoints.list_mut(self.list.entity.table);
        match outcome {
            Some(ListOutcome::Complete) => self.complete(state, last_page),
            Some(ListOutcome::Partial) => self.pause(state),
            _ => self.suspend(state),
        }
        Ok(())
    }
}
