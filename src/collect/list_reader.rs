//! The reader that all paged lists share: next page, expired cursor, checkpoint, outcome, request count.
//!
//! ```text
//! page ─▶ ListReading::take (sinks) ─▶ every ten pages or half a minute: ListReading::checkpoint ─▶ put of the state
//!   ▲                                                                                                  │
//!   └────────────────────────────────── until the list ends or the run stops ──────────────────────────┘
//! ```
//!
//! What differs between lists is a [`ListReading`]: `newest_first.rs`, `commits.rs`, `whole_list.rs` and `refs.rs` have one.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::checkpoint::CheckpointStore;
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::stop::StopReason;
use crate::bitbucket::{NextPage, Page, Pages, Unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::Cursor;

/// The number of requests that a killed run repeats at most.
const REQUESTS_PER_CHECKPOINT: u64 = 10;
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// The outcome of reading a list, short of an error.
#[derive(Debug)]
pub(super) enum ListOutcome {
    /// The list was read to its end.
    Complete,
    /// The list was read down to the round's floor; a later round reads on.
    Partial,
    /// The run stops; what was read is saved.
    Stopped,
    /// The server refuses the list for good.
    Unavailable(Unavailable),
}

/// One kind of list: which pages it has, what happens to their records, and what a checkpoint changes in the state.
pub(super) trait ListReading {
    /// Whether an interrupted read resumes at its last checkpoint. Otherwise nothing of it is kept.
    const IS_RESUMABLE: bool;

    /// The pages from the cursor on.
    fn pages(&self) -> Pages;

    fn cursor_mut(&mut self) -> &mut Cursor;

    /// Whether the answer to the first request of a resumed read means that the page's address has expired.
    fn is_cursor_expired(answer: &Result<Option<NextPage>>) -> bool {
        match answer {
            Ok(answer) => matches!(answer, Some(NextPage::Unavailable(_))),
            Err(error) => is_refused(error),
        }
    }

    /// Write a page into the list's sinks. Return the outcome where the list need not be read further.
    fn take(
        &mut self,
        page: Page,
        pages: &Pages,
        report: &mut EntityReport,
    ) -> Result<Option<ListOutcome>>;

    /// Save the records taken so far, and set the list's state. `last_page`: the address of the last page.
    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        outcome: Option<&ListOutcome>,
        last_page: Option<String>,
    ) -> Result<()>;
}

/// What a server answers to the address of a page that it does not know any more.
fn is_refused(error: &Error) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE)
    )
}

/// Read a list from its cursor on, with checkpoints, and count its requests.
pub(super) async fn read_list(
    repository: &RepositoryContext<'_>,
    checkpoints: &mut CheckpointStore<'_>,
    reading: &mut impl ListReading,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let mut pages = reading.pages();
    let outcome = read_pages(repository, checkpoints, reading, &mut pages, report).await;
    report.requests += pages.requests();
    outcome
}

async fn read_pages<R: ListReading>(
    repository: &RepositoryContext<'_>,
    checkpoints: &mut CheckpointStore<'_>,
    reading: &mut R,
    pages: &mut Pages,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let mut timer = CheckpointTimer::default();
    loop {
        let last_page = pages.cursor();
        let answer = next_page(repository, pages).await;
        let is_resumed = reading.cursor_mut().next.is_some() && pages.has_no_page();
        if is_resumed && R::is_cursor_expired(&answer) {
            report.requests += pages.requests();
            reading.cursor_mut().next = None;
            *pages = reading.pages();
            continue;
        }
        let outcome = match answer? {
            None => Some(ListOutcome::Stopped),
            Some(NextPage::End) => Some(ListOutcome::Complete),
            Some(NextPage::Unavailable(reason)) => return Ok(ListOutcome::Unavailable(reason)),
            Some(NextPage::Page(page)) => {
                timer.count(1);
                let cursor = reading.cursor_mut();
                cursor.started = cursor.started.or(page.date);
                reading.take(page, pages, report)?
            }
        };
        let is_due = match &outcome {
            None => R::IS_RESUMABLE && timer.is_due(),
            Some(outcome) => R::IS_RESUMABLE || matches!(outcome, ListOutcome::Complete),
        };
        if is_due {
            let cursor = reading.cursor_mut();
            cursor.next = pages.cursor();
            cursor.pages_left = pages.remaining_pages();
            reading
                .checkpoint(checkpoints, outcome.as_ref(), last_page)
                .await?;
            checkpoints.put().await?;
            timer = CheckpointTimer::default();
        }
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}

/// The next page; `None` when the run stops.
async fn next_page(
    repository: &RepositoryContext<'_>,
    pages: &mut Pages,
) -> Result<Option<NextPage>> {
    let answer = tokio::select! {
        biased;
        () = repository.run.options.stop.wait() => return Ok(None),
        answer = pages.next() => or_stop(repository, answer)?,
    };
    Ok(answer.map(|answer| match answer {
        NextPage::Page(page) => NextPage::Page(Page {
            date: page.date.map(|date| repository.run.clamp_to_now(date)),
            ..page
        }),
        other => other,
    }))
}

/// Stop the whole run when the quota is used up, which is not a failure of the list: `None`.
pub(super) fn or_stop<T>(
    repository: &RepositoryContext<'_>,
    result: Result<T>,
) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::Quota => {
            let reason = StopReason::Quota(error.to_string());
            repository.run.options.stop.request(reason);
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Says when the next checkpoint is due.
pub(super) struct CheckpointTimer {
    requests: u64,
    since: Instant,
}

impl Default for CheckpointTimer {
    fn default() -> Self {
        Self {
            requests: 0,
            since: Instant::now(),
        }
    }
}

impl CheckpointTimer {
    pub(super) fn count(&mut self, requests: u64) {
        self.requests += requests;
    }

    pub(super) fn is_due(&self) -> bool {
        self.requests >= REQUESTS_PER_CHECKPOINT || self.since.elapsed() >= CHECKPOINT_INTERVAL
    }
}
