//! What all walks share: a page or the time to stop, when to save, and the walk over a whole list.
//!
//! ```text
//! page ─▶ sink (segment) ─▶ checkpoint every ten pages or half a minute ─▶ state: segment, cursor, follow-ups
//! ```

use std::time::{Duration, Instant};

use serde_json::Value;

use super::entity::Entity;
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::Sink;
use super::stop::StopReason;
use crate::bitbucket::{Endpoint, NextPage, Page, Pages, Unavailable};
use crate::error::{ErrorKind, Result};
use crate::lake::Replaces;
use crate::schema::Parent;

/// What a killed run asks for again at most.
const PAGES_PER_CHECKPOINT: u64 = 10;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// How a collector's attempt ended, short of an error.
#[derive(Debug)]
pub(super) enum ListOutcome {
    /// To its end.
    Complete,
    /// As far as this round wants; the rest is a later round's.
    Partial,
    /// Everybody has to stop; what was read is saved.
    Stopped,
    Unavailable(Unavailable),
}

/// A page, or that it is time to stop.
pub(super) async fn next_page(site: &Site<'_>, pages: &mut Pages) -> Result<Option<NextPage>> {
    let stop = site.context.options.stop;
    let step = tokio::select! {
        biased;
        () = stop.wait() => return Ok(None),
        step = pages.next() => or_stop(site, step)?,
    };
    Ok(step.map(|step| match step {
        NextPage::Page(page) => NextPage::Page(Page {
            date: page.date.map(|date| site.context.clamp_to_now(date)),
            ..page
        }),
        other => other,
    }))
}

/// A used-up quota stops everybody, and is nobody's failure.
pub(super) fn or_stop<T>(site: &Site<'_>, result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::Quota => {
            let reason = StopReason::Quota(error.to_string());
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
) -> Result<ListOutcome> {
    let Repo {
        site, checkpoints, ..
    } = repo;
    let mut pages = site.client.list(endpoint, site.target());
    let mut sink = Sink::open(site, entity, checkpoints.sequence(entity.table))?;
    let mut started = None;
    let outcome = loop {
        match next_page(site, &mut pages).await {
            Err(error) => break Err(error),
            Ok(None) => break Ok(ListOutcome::Stopped),
            Ok(Some(NextPage::Unavailable(absence))) => {
                break Ok(ListOutcome::Unavailable(absence));
            }
            Ok(Some(NextPage::End)) => break Ok(ListOutcome::Complete),
            Ok(Some(NextPage::Page(page))) => {
                started = started.or(page.date);
                sink.take(&page.values, Some(&Parent::None), report, &mut each)?;
            }
        }
    };
    report.requests += pages.requests();
    if !matches!(outcome, Ok(ListOutcome::Complete)) {
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
    checkpoints.add(entity.table, segment);
    let state = checkpoints.entity(entity.table);
    state.complete_from = None;
    state.complete_through = Some(started.unwrap_or(site.context.options.now));
    checkpoints.put().await?;
    outcome
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
