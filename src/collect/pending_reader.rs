//! The reader of pending records: the lists of parents, such as the comments of pull requests or the steps of pipelines, and
//! single records.
//!
//! ```text
//! state: pending records ─▶ requests, some at the same time ─▶ PendingReading::take ─▶ checkpoint: segment, records removed
//! ```
//!
//! The checkpoint that saves a record makes its lists pending, and the checkpoint that saves such a list removes it: however a
//! run ends, the next one knows which lists it lacks.

use std::collections::HashSet;
use std::pin::pin;

use futures::{Stream, StreamExt, stream};
use reqwest::StatusCode;
use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::embedded::EmbeddedRecords;
use super::entity::Entity;
use super::list_reader::{CheckpointTimer, ListOutcome, or_stop};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::{Endpoint, NextPage, Unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{PendingRecord, Replaces};
use crate::schema::{Parent, SourceTable};

/// The number of parents whose lists are read at the same time. The lists are written in the parents' order.
const CONCURRENT_LISTS: usize = 4;
/// The number of parents whose lists may fail before the rest is left to the next run.
const MAX_FAILED_LISTS: usize = 10;

/// The answer to the requests for one pending record.
pub(super) struct Fetched<T> {
    pub(super) requests: u64,
    pub(super) result: Result<T>,
}

/// What happens to fetched pending records.
pub(super) trait PendingReading<T> {
    /// Take what was fetched. Return the outcome where no more records are to be fetched.
    fn take(&mut self, fetched: T, report: &mut EntityReport) -> Result<Option<ListOutcome>>;

    /// Save what was taken since the last checkpoint, and remove its pending records.
    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        report: &mut EntityReport,
    ) -> Result<()>;
}

/// Take fetched records in their order, with checkpoints, and count their requests. A record whose request fails remains
/// pending and does not delay the others, up to `max_failed` of them; then the first failure is returned.
pub(super) async fn read_pending<T>(
    repository: &RepositoryContext<'_>,
    checkpoints: &mut CheckpointStore<'_>,
    fetched: impl Stream<Item = Fetched<T>>,
    max_failed: usize,
    reading: &mut impl PendingReading<T>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let mut fetched = pin!(fetched);
    let mut failures = Vec::new();
    let mut timer = CheckpointTimer::default();
    let outcome = loop {
        let next = tokio::select! {
            biased;
            () = repository.run.options.stop.wait() => break Ok(ListOutcome::Stopped),
            next = fetched.next() => next,
        };
        let Some(Fetched { requests, result }) = next else {
            break Ok(ListOutcome::Complete);
        };
        report.requests += requests;
        let taken = match or_stop(repository, result) {
            Ok(Some(fetched)) => reading.take(fetched, report),
            Ok(None) => break Ok(ListOutcome::Stopped),
            Err(error) if error.kind() == ErrorKind::Api && failures.len() < max_failed => {
                failures.push(error);
                continue;
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(None) => timer.count(requests),
            Ok(Some(outcome)) => break Ok(outcome),
            Err(error) => break Err(error),
        }
        if timer.is_due() {
            reading.checkpoint(checkpoints, report).await?;
            timer = CheckpointTimer::default();
        }
    };
    reading.checkpoint(checkpoints, report).await?;
    match (outcome?, failures.into_iter().next()) {
        (ListOutcome::Complete, Some(error)) => Err(error),
        (outcome, _) => Ok(outcome),
    }
}

/// Read the lists of the pending records of the parent table.
pub(super) async fn read_child_lists(
    run: &mut RepositoryRun<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    read_child_lists_except(run, entity, endpoint, &HashSet::new(), report).await
}

/// Read the lists of the pending records of the parent table, except those with the ids `postponed`. A parent that answers
/// 404 is counted and has no list.
pub(super) async fn read_child_lists_except(
    run: &mut RepositoryRun<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    postponed: &HashSet<String>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        ..
    } = run;
    let pending = checkpoints.list(entity.table).pending.iter();
    let pending = pending.filter(|record| !postponed.contains(&record.id));
    let mut requested = pending.map(parent).collect::<Vec<_>>().into_iter();
    // The first list is read alone: when the repository has no such lists, one request finds out.
    let first = stream::iter(requested.next());
    let first = first.then(|parent| fetch_list(repository, endpoint, parent));
    let rest = stream::iter(requested);
    let rest = rest.map(|parent| fetch_list(repository, endpoint, parent));
    let lists = first.chain(rest.buffered(CONCURRENT_LISTS));
    let mut reading = ChildLists {
        repository,
        entity,
        sink: Sink::new(repository, entity, checkpoints)?,
        embedded: EmbeddedRecords::of(entity),
        done: Vec::new(),
        whole: Vec::new(),
        missing: None,
        any_answered: false,
    };
    let outcome = read_pending(
        repository,
        checkpoints,
        lists,
        MAX_FAILED_LISTS,
        &mut reading,
        report,
    );
    let outcome = outcome.await?;
    if !matches!(outcome, ListOutcome::Complete) {
        return Ok(outcome);
    }
    let is_unavailable = !reading.any_answered && !checkpoints.list(entity.table).ever_returned();
    match reading.missing {
        Some(reason) if is_unavailable => Ok(ListOutcome::Unavailable(reason)),
        _ => {
            checkpoints.inherit_span(entity.table);
            Ok(ListOutcome::Complete)
        }
    }
}

/// A parent with the records of its list, or the reason why there is none.
type ChildList = (Parent, std::result::Result<Vec<Box<RawValue>>, Unavailable>);

/// The lists of one table's parents.
struct ChildLists<'r, 'a> {
    repository: &'r RepositoryContext<'a>,
    entity: &'static Entity,
    sink: Sink<'r>,
    embedded: EmbeddedRecords,
    /// Parents whose lists were read since the last checkpoint.
    done: Vec<Parent>,
    /// Those of them whose lists replace all earlier records.
    whole: Vec<i64>,
    /// The answer of a parent without a list.
    missing: Option<Unavailable>,
    any_answered: bool,
}

impl PendingReading<ChildList> for ChildLists<'_, '_> {
    fn take(
        &mut self,
        (parent, list): ChildList,
        report: &mut EntityReport,
    ) -> Result<Option<ListOutcome>> {
        match list {
            Ok(values) => {
                self.any_answered = true;
                let embedded = &mut self.embedded;
                self.sink.take(&values, Some(&parent), report, |record| {
                    embedded.extract(record);
                })?;
                if let Parent::Id(id) = parent
                    && !values.is_empty()
                {
                    self.whole.push(id);
                }
            }
            Err(reason) if reason.status == StatusCode::NOT_FOUND => {
                report.missing_parents += 1;
                self.missing = Some(reason);
            }
            Err(reason) if !self.any_answered => {
                return Ok(Some(ListOutcome::Unavailable(reason)));
            }
            Err(reason) => {
                return Err(Error::new(ErrorKind::Api, reason.reason)
                    .with("repository", &self.repository.full_name)
                    .with("entity", self.entity.table));
            }
        }
        self.done.push(parent);
        Ok(None)
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        _: &mut EntityReport,
    ) -> Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        self.embedded.save(self.repository, checkpoints).await?;
        let whole = std::mem::take(&mut self.whole);
        let replaces = match self.entity.deletes_missing {
            true => Replaces::Parents(whole),
            false => Replaces::Nothing,
        };
        self.sink.save(checkpoints, replaces).await?;
        let done: HashSet<String> = self.done.drain(..).map(|parent| id(&parent)).collect();
        let list = checkpoints.list_mut(self.entity.table);
        list.pending.retain(|record| !done.contains(&record.id));
        checkpoints.put().await
    }
}

/// Pull requests and issues have numbers, pipelines uuids.
fn parent(record: &PendingRecord) -> Parent {
    match record.id.parse() {
        Ok(id) => Parent::Id(id),
        Err(_) => Parent::Uuid(record.id.clone()),
    }
}

fn id(parent: &Parent) -> String {
    match parent {
        Parent::None => String::new(),
        Parent::Id(id) => id.to_string(),
        Parent::Uuid(uuid) => uuid.clone(),
    }
}

/// Read all pages of one parent's list.
async fn fetch_list(
    repository: &RepositoryContext<'_>,
    endpoint: &'static Endpoint,
    parent: Parent,
) -> Fetched<ChildList> {
    let target = repository.target().parent(id(&parent));
    let mut pages = repository.client.list(endpoint, target);
    let mut all = Vec::new();
    let list = loop {
        match pages.next().await {
            Ok(NextPage::Page(page)) => all.extend(page.values),
            Ok(NextPage::End) => break Ok(Ok(all)),
            Ok(NextPage::Unavailable(reason)) => break Ok(Err(reason)),
            Err(error) => break Err(error),
        }
    };
    Fetched {
        requests: pages.requests(),
        result: list.map(|list| (parent, list)),
    }
}

/// Remove the pending records of a table that need no request, because `is_collected` finds that their records are here. Return
/// the ids of records to postpone: those of `conditional` kind, while the table `source` may still bring their records.
pub(super) fn drop_collected(
    checkpoints: &mut CheckpointStore<'_>,
    table: SourceTable,
    source: SourceTable,
    is_conditional: fn(&PendingRecord) -> bool,
    is_collected: impl Fn(&PendingRecord) -> bool,
) -> HashSet<String> {
    let pending = &mut checkpoints.list_mut(table).pending;
    pending.retain(|record| !is_collected(record));
    if !checkpoints.may_grow(source) {
        return HashSet::new();
    }
    let pending = checkpoints.list(table).pending.iter();
    let postponed = pending.filter(|record| is_conditional(record));
    postponed.map(|record| record.id.clone()).collect()
}
