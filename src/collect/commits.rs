//! Commits: everything that branches and tags reach and that is not collected yet.
//!
//! The list has no times to filter by, and stopping at the first known commit would lose old commits that were merged late.
//! It has revision ranges instead: from the heads that are new, without those whose history is collected. A head that was
//! force-pushed away may not exist any more; the server names it, and the range is read without it. A commit that no head
//! reaches any more is kept, because deployments name it. `since` does not bound the commit graph.
//!
//! ```text
//! heads now {a, b, c}   collected {a, x}   ─▶ include b, c   exclude a, x      collected then: {a, b, c}
//! ```

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::checkpoint::CheckpointStore;
use super::commit_range::{complete_range, drop_unknown_commits};
use super::commits_git;
use super::entity::{Entity, text, time};
use super::list_reader::{ListOutcome, ListReading, read_list};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::{NextPage, Page, Pages, endpoints};
use crate::error::Result;
use crate::lake::{Cursor, Replaces};
use crate::schema::{Parent, SourceTable};

static ENTITY: Entity = Entity {
    ordered_by: Some(|record| time(record, "/date")),
    ..Entity::new(SourceTable::Commits, |record| text(record, "/hash"))
};

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    // An unfinished range is read first: the new one is another range.
    if run.checkpoints.list(ENTITY.table).backfill.is_some() {
        let outcome = read_range(run, report).await?;
        if !matches!(outcome, ListOutcome::Complete) {
            return Ok(outcome);
        }
    }
    if !run.round.is_first {
        return Ok(ListOutcome::Complete);
    }
    let now = run.repository.now();
    let refs_complete_until = run.checkpoints.list(SourceTable::Branches).complete_through;
    let state = run.checkpoints.list_mut(ENTITY.table);
    let new: BTreeSet<String> = match &run.heads {
        Some(heads) => heads.difference(state.heads()).cloned().collect(),
        None => BTreeSet::new(),
    };
    if new.is_empty() && state.ever_returned() {
        if run.heads.is_some() {
            state.complete_through = refs_complete_until.or(Some(now));
        }
        return Ok(ListOutcome::Complete);
    }
    state.backfill = Some(Cursor {
        heads: new,
        ..Cursor::default()
    });
    read_range(run, report).await
}

/// Read the range that the state's cursor names, by git or by the API.
async fn read_range(run: &mut RepositoryRun<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    if let Some(git) = run.repository.run.git {
        return commits_git::read_range(run, &ENTITY, git, report).await;
    }
    loop {
        match read_pages(run, report).await? {
            ListOutcome::Unavailable(reason)
                if drop_unknown_commits(run.checkpoints.list_mut(ENTITY.table), &reason) => {}
            outcome => return Ok(outcome),
        }
        if run.checkpoints.list(ENTITY.table).backfill.is_none() {
            return Ok(ListOutcome::Complete);
        }
    }
}

async fn read_pages(run: &mut RepositoryRun<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        round,
        heads,
        ..
    } = run;
    let sink = Sink::new(repository, &ENTITY, checkpoints)?;
    let state = checkpoints.list(ENTITY.table);
    let is_first_load = !state.ever_returned() || state.complete_from.is_some();
    // The last round reads the rest, however old: `since` does not bound the graph.
    let pauses = is_first_load && round.floor > repository.since;
    let mut reading = CommitRange {
        repository,
        exclude: state.heads().clone(),
        cursor: state.backfill.clone().unwrap_or_default(),
        floor: pauses.then_some(round.floor),
        current_heads: heads.as_ref(),
        sink,
    };
    if reading.is_at_floor() {
        return Ok(ListOutcome::Partial);
    }
    read_list(repository, checkpoints, &mut reading, report).await
}

/// The commits that the cursor's heads reach and the excluded ones do not.
struct CommitRange<'r, 'a> {
    repository: &'r RepositoryContext<'a>,
    exclude: BTreeSet<String>,
    cursor: Cursor,
    /// Where this round pauses.
    floor: Option<DateTime<Utc>>,
    current_heads: Option<&'r BTreeSet<String>>,
    sink: Sink<'r>,
}

impl CommitRange<'_, '_> {
    fn is_at_floor(&self) -> bool {
        let reached = self.cursor.watermark.zip(self.floor);
        reached.is_some_and(|(watermark, floor)| watermark <= floor)
    }
}

impl ListReading for CommitRange<'_, '_> {
    const IS_RESUMABLE: bool = true;

    fn pages(&self) -> Pages {
        let new = || {
            let include = self.cursor.heads.iter().cloned().collect();
            let exclude = match self.cursor.heads.is_empty() {
                true => Vec::new(),
                false => self.exclude.iter().cloned().collect(),
            };
            let target = self.repository.target();
            let pages = self.repository.client.list(&endpoints::COMMITS, target);
            pages.with_commit_range(include, exclude)
        };
        let resumed = self.cursor.next.as_deref().map(|next| new().resume(next));
        resumed.and_then(Result::ok).unwrap_or_else(new)
    }

    fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    /// The page's address names a commit that may be gone, so any failure makes the range begin again.
    fn is_cursor_expired(answer: &Result<Option<NextPage>>) -> bool {
        matches!(answer, Err(_) | Ok(Some(NextPage::Unavailable(_))))
    }

    fn take(
        &mut self,
        page: Page,
        pages: &Pages,
        report: &mut EntityReport,
    ) -> Result<Option<ListOutcome>> {
        let parent = Some(&Parent::None);
        let times = self.sink.take(&page.values, parent, report, |_| {})?;
        self.cursor.watermark = times.newest().or(self.cursor.watermark);
        Ok(match pages.cursor() {
            None => Some(ListOutcome::Complete),
            Some(_) => self.is_at_floor().then_some(ListOutcome::Partial),
        })
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        outcome: Option<&ListOutcome>,
        _: Option<String>,
    ) -> Result<()> {
        self.sink.save(checkpoints, Replaces::Nothing).await?;
        let state = checkpoints.list_mut(ENTITY.table);
        let started = self.cursor.started.unwrap_or(self.repository.now());
        if let Some(ListOutcome::Complete) = outcome {
            let heads = std::mem::take(&mut self.cursor.heads);
            complete_range(state, heads, self.current_heads, started);
            return Ok(());
        }
        if let Some(ListOutcome::Partial) = outcome {
            state.complete_from = self.cursor.watermark;
            state.complete_through.get_or_insert(started);
        }
        state.backfill = Some(self.cursor.clone());
        Ok(())
    }
}
