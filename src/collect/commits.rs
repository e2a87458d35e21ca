//! Commits: everything that branches and tags hold and that is not here yet.
//!
//! The list has no times to filter by, and leaving it at the first known commit would lose old commits that were merged
//! late. It has ranges instead: from the heads that are new, down to those whose history is all here. A head that was
//! force-pushed away may be gone, and then the server names it and the range does without. A commit that no head holds
//! any more stays, since deployments name it. `since` does not bound the graph.
//!
//! ```text
//! heads now {a, b, c}   known {a, x}   ─▶ include b, c   exclude a, x      known then: {a, b, c}
//! ```

use std::collections::BTreeSet;

use super::commits_git;
use super::entity::{Entity, text, time};
use super::report::EntityReport;
use super::repository::Repo;
use super::sink::Sink;
use super::walk::{ListOutcome, Pace, next_page};
use crate::bitbucket::{NextPage, Unavailable, endpoints};
use crate::error::Result;
use crate::lake::{Cursor, Replaces};
use crate::schema::Parent;

pub(super) static ENTITY: Entity = Entity {
    ordered_by: Some(|record| time(record, "/date")),
    ..Entity::new("commits", |record| text(record, "/hash"))
};

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    // What was begun is ended first: its range is another one.
    if repo.checkpoints.entity(ENTITY.table).deep.is_some() {
        let outcome = walk(repo, report).await?;
        if !matches!(outcome, ListOutcome::Complete) {
            return Ok(outcome);
        }
    }
    if !repo.round.refreshes {
        return Ok(ListOutcome::Complete);
    }
    let now = repo.site.context.options.now;
    let refs = repo.checkpoints.entity("branches").complete_through;
    let state = repo.checkpoints.entity(ENTITY.table);
    let new: BTreeSet<String> = match &repo.heads {
        Some(heads) => heads.difference(&state.heads).cloned().collect(),
        None => BTreeSet::new(),
    };
    if new.is_empty() && state.ever_returned() {
        if repo.heads.is_some() {
            state.complete_through = refs.or(Some(now));
        }
        return Ok(ListOutcome::Complete);
    }
    state.deep = Some(Cursor {
        heads: new,
        ..Cursor::default()
    });
    walk(repo, report).await
}

async fn walk(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    if let Some(git) = repo.site.context.git {
        return commits_git::walk(repo, git, report).await;
    }
    loop {
        match attempt(repo, report).await? {
            ListOutcome::Unavailable(absence) if forget(repo, &absence) => {}
            outcome => return Ok(outcome),
        }
        let state = repo.checkpoints.entity(ENTITY.table);
        if state.deep.is_none() {
            return Ok(ListOutcome::Complete);
        }
    }
}

/// Takes unknown commits out of the range; whether there were any.
fn forget(repo: &mut Repo<'_>, absence: &Unavailable) -> bool {
    let state = repo.checkpoints.entity(ENTITY.table);
    let mut any = false;
    let had_heads = state
        .deep
        .as_ref()
        .is_some_and(|walk| !walk.heads.is_empty());
    for hash in &absence.unknown_commits {
        any |= state.heads.remove(hash);
        if let Some(walk) = &mut state.deep {
            any |= walk.heads.remove(hash);
            walk.next = None;
        }
    }
    // A walk from no heads would be one over everything.
    let vanished = |walk: &Cursor| had_heads && walk.heads.is_empty();
    if state.deep.as_ref().is_some_and(vanished) {
        state.deep = None;
    }
    any
}

async fn attempt(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let floor = repo.round.floor;
    let now = repo.site.context.options.now;
    let Repo {
        site, checkpoints, ..
    } = repo;
    let state = checkpoints.entity(ENTITY.table);
    let mut at = state.deep.clone().unwrap_or_default();
    let first_load = !state.ever_returned() || state.complete_from.is_some();
    // In the last round the rest is read, however old: `since` does not bound the graph.
    let pauses = first_load && floor > site.since;
    let is_low = |at: &Cursor| pauses && at.border.is_some_and(|border| border <= floor);
    if is_low(&at) {
        return Ok(ListOutcome::Partial);
    }
    let from_the_top = || {
        let include = at.heads.iter().cloned().collect();
        let exclude = match at.heads.is_empty() {
            true => Vec::new(),
            false => state.heads.iter().cloned().collect(),
        };
        let pages = site.client.list(&endpoints::COMMITS, site.target());
        pages.with_commit_range(include, exclude)
    };
    let resumed = at.next.as_deref().map(|next| from_the_top().resume(next));
    let mut pages = match resumed {
        Some(Ok(pages)) => pages,
        _ => from_the_top(),
    };
    let mut sink = Sink::open(site, &ENTITY, checkpoints.sequence(ENTITY.table))?;
    let mut pace = Pace::default();
    loop {
        let step = next_page(site, &mut pages).await;
        let lost = !matches!(step, Ok(Some(NextPage::Page(_) | NextPage::End) | None));
        if lost && at.next.is_some() && pages.has_no_page() {
            report.requests += pages.requests();
            at.next = None;
            checkpoints.entity(ENTITY.table).deep = Some(at);
            return Box::pin(attempt(repo, report)).await;
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
                let times = sink.take(&page.values, Some(&Parent::None), report, |_| {})?;
                at.border = times.newest().or(at.border);
                pace.pages += 1;
                match pages.cursor() {
                    None => Some(ListOutcome::Complete),
                    Some(_) => is_low(&at).then_some(ListOutcome::Partial),
                }
            }
        };
        if ended.is_none() && !pace.is_due() {
            continue;
        }
        at.next = pages.cursor();
        at.pages_left = pages.remaining_pages();
        let segment = sink.finish(Replaces::Nothing).await?;
        checkpoints.add(ENTITY.table, segment);
        let state = checkpoints.entity(ENTITY.table);
        let started = at.started.unwrap_or(now);
        match ended {
            Some(ListOutcome::Complete) => {
                state.deep = None;
                state.complete_from = None;
                state.complete_through = Some(started);
                state.heads.extend(std::mem::take(&mut at.heads));
                if let Some(heads) = &repo.heads {
                    state.heads.retain(|head| heads.contains(head));
                }
            }
            Some(ListOutcome::Partial) => {
                state.complete_from = at.border;
                state.complete_through.get_or_insert(started);
                state.deep = Some(at.clone());
            }
            _ => state.deep = Some(at.clone()),
        }
        checkpoints.put().await?;
        if let Some(ended) = ended {
            report.requests += pages.requests();
            return Ok(ended);
        }
        pace = Pace::default();
        sink = Sink::open(site, &ENTITY, checkpoints.sequence(ENTITY.table))?;
    }
}
