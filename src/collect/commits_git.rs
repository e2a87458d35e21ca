//! Commits by git instead of the API's list: the same range, the same keys and the same state, so that either can go on
//! where the other has ended. A record has the API's shape, and what git knows besides: both times and the files.
//!
//! A part of a range that is here is known by its count, since the same range gives the same order; the range's digest
//! stands beside the count, because a head that vanished makes it another range.

use std::collections::BTreeSet;
use std::future::Future;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::commits::ENTITY;
use super::report::EntityReport;
use super::repository::{Repo, Site};
use super::sink::Sink;
use super::walk::ListOutcome;
use crate::bitbucket::git::{ChangeKind, ChangedFile, Git, GitCommit, GitRemote, RevisionRange};
use crate::config::Connection;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{Cursor, Replaces};
use crate::schema::{Parent, content_key};

/// What a killed run reads again at most.
const COMMITS_PER_CHECKPOINT: usize = 5000;
/// The same, where commits are large.
const CHANGES_PER_CHECKPOINT: usize = 50_000;
/// What is decoded at once.
const COMMITS_PER_PAGE: usize = 100;

/// Reads the range that the state names: from the walk's heads, without what the known ones hold.
pub(super) async fn walk(
    repo: &mut Repo<'_>,
    git: &Git,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let through = repo.checkpoints.entity("branches").complete_through;
    let Repo {
        site, checkpoints, ..
    } = repo;
    let at = checkpoints
        .entity(ENTITY.table)
        .deep
        .clone()
        .unwrap_or_default();
    let known = checkpoints.entity(ENTITY.table).heads.clone();

    let connection = connection(site)?;
    let pages = format!("{}{}/commits/", connection.git_endpoint, site.full_name);
    let origin = GitRemote::new(connection, &site.full_name)?;
    let clone = git.open_clone(site.connection_id, &site.uuid, origin, site.client);
    let Some(clone) = or_stopped(site, clone).await? else {
        return Ok(ListOutcome::Stopped);
    };
    let Some(absence) = or_stopped(site, clone.fetch(!at.heads.is_empty())).await? else {
        return Ok(ListOutcome::Stopped);
    };
    if let Some(absence) = absence {
        return Ok(ListOutcome::Unavailable(absence));
    }
    // What was force-pushed away meanwhile is not here. Where that is all there was, every branch and tag is.
    let here = clone.existing_commits(&(&at.heads | &known)).await?;
    let heads = match &at.heads & &here {
        none if none.is_empty() => clone.heads().await?,
        heads => heads,
    };
    let range = RevisionRange {
        include: heads,
        exclude: match at.heads.is_empty() {
            true => BTreeSet::new(),
            false => &known & &here,
        },
    };
    let name = name(&range);
    let mut done = at.next.as_deref().map_or(0, |next| count(next, &name));
    let mut log = clone.log(&range, done)?;
    loop {
        let batch = or_stopped(site, async {
            let mut batch = log
                .next_batch(COMMITS_PER_CHECKPOINT, CHANGES_PER_CHECKPOINT)
                .await?;
            if git.has_line_counts() && !batch.is_empty() {
                clone.count_lines(&mut batch).await?;
            }
            Ok(batch)
        });
        let Some(batch) = batch.await? else {
            return Ok(ListOutcome::Stopped);
        };
        let mut sink = Sink::open(site, &ENTITY, checkpoints.sequence(ENTITY.table))?;
        for page in batch.chunks(COMMITS_PER_PAGE) {
            let records = page.iter().map(|commit| record(commit, &pages));
            let records = records.collect::<Result<Vec<_>>>()?;
            sink.take(&records, Some(&Parent::None), report, |_| {})?;
        }
        let segment = sink.finish(Replaces::Nothing).await?;
        checkpoints.add(ENTITY.table, segment);
        done += batch.len() as u64;
        let state = checkpoints.entity(ENTITY.table);
        if !batch.is_empty() {
            state.deep = Some(Cursor {
                next: Some(format!("{CURSOR}{done}:{name}")),
                pages_left: Some(0),
                ..at.clone()
            });
            checkpoints.put().await?;
            continue;
        }
        state.deep = None;
        state.complete_from = None;
        state.complete_through = through.or(Some(site.context.options.now));
        state.heads.extend(range.include);
        if let Some(heads) = &repo.heads {
            state.heads.retain(|head| heads.contains(head));
        }
        checkpoints.put().await?;
        return Ok(ListOutcome::Complete);
    }
}

/// No address begins like it, so that the API's walk does not take it for one of its own.
const CURSOR: &str = "git:";

fn name(range: &RevisionRange) -> String {
    content_key(&range.to_stable_text())
}

/// How many commits of the range a cursor says are here.
fn count(cursor: &str, range: &str) -> u64 {
    let known = cursor
        .strip_prefix(CURSOR)
        .and_then(|it| it.split_once(':'));
    let known = known.filter(|(_, name)| *name == range);
    known.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

/// `None` when everybody has to stop first; git is ended then.
async fn or_stopped<T>(
    site: &Site<'_>,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    tokio::select! {
        biased;
        () = site.context.options.stop.wait() => Ok(None),
        done = work => done.map(Some),
    }
}

fn connection<'a>(site: &'a Site<'_>) -> Result<&'a Connection> {
    let connections = &site.context.config.connections;
    let connection = connections.iter().find(|it| it.id == site.connection_id);
    connection.ok_or_else(|| Error::new(ErrorKind::Internal, "a repository without a connection"))
}

#[derive(Serialize)]
struct Record<'a> {
    r#type: &'static str,
    hash: &'a str,
    date: Option<String>,
    author: Person<'a>,
    committer: Person<'a>,
    message: &'a str,
    parents: Vec<ParentRef<'a>>,
    links: Links,
    author_date: Option<String>,
    committer_date: Option<String>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct Person<'a> {
    r#type: &'static str,
    raw: &'a str,
}

#[derive(Serialize)]
struct ParentRef<'a> {
    r#type: &'static str,
    hash: &'a str,
}

#[derive(Serialize)]
struct Links {
    html: Link,
}

#[derive(Serialize)]
struct Link {
    href: String,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    status: &'static str,
    lines_added: Option<u64>,
    lines_removed: Option<u64>,
}

/// The commit as the API would give it, and its times and files besides. Bitbucket's one date is the author's.
fn record(commit: &GitCommit, pages: &str) -> Result<Box<RawValue>> {
    let time = |time: Option<DateTime<Utc>>| {
        time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, false))
    };
    let person = |raw| Person {
        r#type: "author",
        raw,
    };
    let parent = |hash| ParentRef {
        r#type: "commit",
        hash,
    };
    let href = format!("{pages}{}", commit.hash);
    let record = Record {
        r#type: "commit",
        hash: &commit.hash,
        date: time(commit.author_date),
        author: person(&commit.author),
        committer: person(&commit.committer),
        message: &commit.message,
        parents: commit.parents.iter().map(|hash| parent(hash)).collect(),
        links: Links {
            html: Link { href },
        },
        author_date: time(commit.author_date),
        committer_date: time(commit.committer_date),
        files: commit.changes.iter().map(file).collect(),
    };
    to_raw_value(&record).or_error(ErrorKind::Internal, "cannot write a commit as JSON")
}

/// In the words of Bitbucket's diffstat.
fn file(change: &ChangedFile) -> File<'_> {
    File {
        path: &change.path,
        status: match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Modified => "modified",
        },
        lines_added: change.lines.map(|lines| lines.added),
        lines_removed: change.lines.map(|lines| lines.deleted),
    }
}
