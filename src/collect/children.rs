//! The walk over one list per parent: comments of pull requests, steps of pipelines.
//!
//! Parents wait in a queue of the state, put there by the checkpoint that saved them, and leave it by the checkpoint that
//! saves their list: whatever ends a run, the next one knows whom to ask.

use std::collections::HashSet;
use std::pin::pin;

use futures::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::entity::Entity;
use super::held::Held;
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::Sink;
use super::walk::{ListOutcome, Pace, or_stop};
use crate::bitbucket::{Endpoint, NextPage, Unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{PendingRecord, Replaces};
use crate::schema::Parent;

/// Lists of parents that are read at the same time; they are written in the parents' order all the same.
const CHILDREN_SIDE_BY_SIDE: usize = 4;
/// After so many parents whose lists fail, the next run is left to try the others.
const FAILING_PARENTS: usize = 10;

/// Reads the lists of the queued records of the table `parents`.
pub(super) async fn children(
    repo: &mut Repo<'_>,
    entity: &'static Entity,
    parents: &'static str,
    endpoint: &'static Endpoint,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let nobody = HashSet::new();
    children_but(repo, entity, parents, endpoint, &nobody, report).await
}

/// Reads the lists of the queued records of the table `parents`, but for those that `wait`. A parent that answers 404 is
/// counted and passed over; one whose list fails stays queued and holds nobody up.
pub(super) async fn children_but(
    repo: &mut Repo<'_>,
    entity: &'static Entity,
    parents: &'static str,
    endpoint: &'static Endpoint,
    wait: &HashSet<String>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let Repo {
        site, checkpoints, ..
    } = repo;
    let queue = &checkpoints.entity(entity.table).queue;
    let asked = queue.iter().filter(|queued| !wait.contains(&queued.id));
    let queue: Vec<Parent> = asked.map(parent).collect();
    let mut sink = Sink::open(site, entity, checkpoints.sequence(entity.table))?;
    let (first, rest) = queue.split_at(queue.len().min(1));
    // The first goes alone: when the repository has no such lists at all, one request finds out.
    let first = stream::iter(first).then(|parent| child(site, endpoint, parent));
    let rest = stream::iter(rest)
        .map(|parent| child(site, endpoint, parent))
        .buffered(CHILDREN_SIDE_BY_SIDE);
    let mut lists = pin!(first.chain(rest));
    let (mut done, mut whole, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut missing = None;
    let mut held = Held::of(entity);
    let mut answered = false;
    let mut pace = Pace::default();
    let outcome = loop {
        let next = tokio::select! {
            biased;
            () = site.context.options.stop.wait() => break Ok(ListOutcome::Stopped),
            next = lists.next() => next,
        };
        let Some(list) = next else {
            break Ok(ListOutcome::Complete);
        };
        report.requests += list.requests;
        let values = match or_stop(site, list.values) {
            Ok(Some(values)) => values,
            Ok(None) => break Ok(ListOutcome::Stopped),
            Err(error) if error.kind() == ErrorKind::Api && failed.len() < FAILING_PARENTS => {
                failed.push(error);
                continue;
            }
            Err(error) => break Err(error),
        };
        match values {
            Ok(values) => {
                answered = true;
                sink.take(&values, Some(list.parent), report, |record| {
                    held.see(record);
                })?;
                if let Parent::Id(id) = list.parent
                    && !values.is_empty()
                {
                    whole.push(*id);
                }
                done.push(list.parent.clone());
            }
            Err(absence) if absence.status == StatusCode::NOT_FOUND => {
                report.missing_parents += 1;
                missing = Some(absence);
                done.push(list.parent.clone());
            }
            Err(absence) if !answered => break Ok(ListOutcome::Unavailable(absence)),
            Err(absence) => {
                break Err(Error::new(ErrorKind::Api, absence.reason)
                    .with("repository", &site.full_name)
                    .with("entity", entity.table));
            }
        }
        pace.pages += list.requests;
        if pace.is_due() {
            held.save(site, checkpoints).await?;
            checkpoint(checkpoints, entity, sink, &mut done, &mut whole).await?;
            pace = Pace::default();
            sink = Sink::open(site, entity, checkpoints.sequence(entity.table))?;
        }
    };
    held.save(site, checkpoints).await?;
    checkpoint(checkpoints, entity, sink, &mut done, &mut whole).await?;
    let none_there = !answered && !checkpoints.ever_returned(entity.table);
    match (outcome?, failed.into_iter().next(), missing) {
        (ListOutcome::Complete, Some(error), _) => Err(error),
        (ListOutcome::Complete, None, Some(absence)) if none_there => {
            Ok(ListOutcome::Unavailable(absence))
        }
        (ListOutcome::Complete, None, _) => {
            checkpoints.inherit(entity.table, parents);
            Ok(ListOutcome::Complete)
        }
        (outcome, ..) => Ok(outcome),
    }
}

async fn checkpoint(
    checkpoints: &mut CheckpointStore<'_>,
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
    checkpoints.add(entity.table, segment);
    let queue = &mut checkpoints.entity(entity.table).queue;
    let done: HashSet<String> = done.drain(..).map(|one| id(&one)).collect();
    queue.retain(|queued| !done.contains(&queued.id));
    checkpoints.put().await
}

/// Pull requests and issues have numbers, pipelines uuids.
fn parent(queued: &PendingRecord) -> Parent {
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
    values: Result<std::result::Result<Vec<Box<RawValue>>, Unavailable>>,
}

async fn child<'p>(site: &Site<'_>, endpoint: &'static Endpoint, parent: &'p Parent) -> Child<'p> {
    let mut pages = site.client.list(endpoint, site.target().parent(id(parent)));
    let mut all = Vec::new();
    let values = loop {
        match pages.next().await {
            Ok(NextPage::Page(page)) => all.extend(page.values),
            Ok(NextPage::End) => break Ok(Ok(all)),
            Ok(NextPage::Unavailable(absence)) => break Ok(Err(absence)),
            Err(error) => break Err(error),
        }
    };
    Child {
        parent,
        requests: pages.requests(),
        values,
    }
}
