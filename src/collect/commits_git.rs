//! Commits by git instead of the API's list: the same range, keys and state, so that each can resume where the other
//! stopped. A record has the API's shape, and both times and the changed files besides.
//!
//! The collected part of a range is counted, because the same range gives the same order. The cursor holds the range's digest
//! beside the count: without a head that vanished it is another range.

use std::collections::BTreeSet;
use std::future::Future;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::checkpoint::CheckpointStore;
use super::commit_range::complete_range;
use super::entity::Entity;
use super::list_reader::ListOutcome;
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::Unavailable;
use crate::bitbucket::git::{
    ChangeKind, ChangedFile, CommitLog, Git, GitCommit, GitRemote, RepositoryClone, RevisionRange,
};
use crate::config::Connection;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{Cursor, Replaces};
use crate::schema::{Parent, SourceTable, content_key};

/// The most commits that a killed run reads again.
const COMMITS_PER_CHECKPOINT: usize = 5000;
/// The most changed files that a killed run reads again, where commits are large.
const CHANGES_PER_CHECKPOINT: usize = 50_000;
/// The number of commits that are decoded at once.
const COMMITS_PER_PAGE: usize = 100;

/// Read the range that the state's cursor names: what its heads reach, without the history of collected heads.
pub(super) async fn read_range(
    run: &mut RepositoryRun<'_>,
    entity: &'static Entity,
    git: &Git,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let refs_complete_until = run.checkpoints.list(SourceTable::Branches).complete_through;
    let RepositoryRun {
        repository,
        checkpoints,
        heads,
        ..
    } = run;
    let state = checkpoints.list(entity.table);
    let cursor = state.backfill.clone().unwrap_or_default();
    let collected = state.heads().clone();

    let connection = connection(repository)?;
    let remote = GitRemote::new(connection, &repository.full_name)?;
    let id = repository.connection_id;
    let clone = git.open_clone(id, &repository.uuid, remote, repository.client);
    let Some(clone) = or_stopped(repository, clone).await? else {
        return Ok(ListOutcome::Stopped);
    };
    let range = or_stopped(repository, fetch_range(&clone, &cursor, &collected));
    let range = match range.await? {
        None => return Ok(ListOutcome::Stopped),
        Some(Err(reason)) => return Ok(ListOutcome::Unavailable(reason)),
        Some(Ok(range)) => range,
    };
    let digest = content_key(&range.to_stable_text());
    let done = cursor.next.as_deref();
    let done = done.map_or(0, |next| collected_commits(next, &digest));
    let mut reading = GitRange {
        entity,
        git,
        clone: &clone,
        log: clone.log(&range, done)?,
        html_root: format!(
            "{}{}/commits/",
            connection.git_endpoint, repository.full_name
        ),
        cursor,
        digest,
        done,
        sink: Sink::new(repository, entity, checkpoints)?,
    };
    while let Some(batch) = or_stopped(repository, reading.next_batch()).await? {
        if batch.is_empty() {
            let last_complete = refs_complete_until.unwrap_or(repository.now());
            let state = checkpoints.list_mut(entity.table);
            complete_range(state, range.include, heads.as_ref(), last_complete);
            checkpoints.put().await?;
            return Ok(ListOutcome::Complete);
        }
        reading.save(&batch, checkpoints, report).await?;
    }
    Ok(ListOutcome::Stopped)
}

/// Fetch the repository, and return the cursor's range without the commits that do not exist any more.
async fn fetch_range(
    clone: &RepositoryClone<'_>,
    cursor: &Cursor,
    collected: &BTreeSet<String>,
) -> Result<std::result::Result<RevisionRange, Unavailable>> {
    if let Some(reason) = clone.fetch(!cursor.heads.is_empty()).await? {
        return Ok(Err(reason));
    }
    let named = &cursor.heads | collected;
    let existing = clone.existing_commits(&named).await?;
    // Without any head left, the range is that of every branch and tag.
    let include = match &cursor.heads & &existing {
        none if none.is_empty() => clone.heads().await?,
        heads => heads,
    };
    let exclude = match cursor.heads.is_empty() {
        true => BTreeSet::new(),
        false => collected & &existing,
    };
    Ok(Ok(RevisionRange { include, exclude }))
}

/// A range that is read batch by batch.
struct GitRange<'r> {
    entity: &'static Entity,
    git: &'r Git,
    clone: &'r RepositoryClone<'r>,
    log: CommitLog<'r>,
    /// The root of the commits' pages.
    html_root: String,
    cursor: Cursor,
    digest: String,
    /// The number of the range's commits that are collected.
    done: u64,
    sink: Sink<'r>,
}

impl GitRange<'_> {
    async fn next_batch(&mut self) -> Result<Vec<GitCommit>> {
        let batch = self
            .log
            .next_batch(COMMITS_PER_CHECKPOINT, CHANGES_PER_CHECKPOINT);
        let mut batch = batch.await?;
        if self.git.has_line_counts() && !batch.is_empty() {
            self.clone.count_lines(&mut batch).await?;
        }
        Ok(batch)
    }

    /// Write a batch as one segment, and make a checkpoint behind it.
    async fn save(
        &mut self,
        batch: &[GitCommit],
        checkpoints: &mut CheckpointStore<'_>,
        report: &mut EntityReport,
    ) -> Result<()> {
        for page in batch.chunks(COMMITS_PER_PAGE) {
            let records = page.iter().map(|commit| record(commit, &self.html_root));
            let records = records.collect::<Result<Vec<_>>>()?;
            self.sink
                .take(&records, Some(&Parent::None), report, |_| {})?;
        }
        self.sink.save(checkpoints, Replaces::Nothing).await?;
        self.done += batch.len() as u64;
        checkpoints.list_mut(self.entity.table).backfill = Some(Cursor {
            next: Some(format!("{CURSOR_PREFIX}{}:{}", self.done, self.digest)),
            pages_left: Some(0),
            ..self.cursor.clone()
        });
        checkpoints.put().await
    }
}

/// No URL begins with it, so that the API's reader does not take the cursor for one of its own.
const CURSOR_PREFIX: &str = "git:";

/// The number of the range's commits that are collected according to a cursor; 0 for the cursor of another range.
fn collected_commits(cursor: &str, digest: &str) -> u64 {
    let parts = cursor.strip_prefix(CURSOR_PREFIX);
    let parts = parts.and_then(|parts| parts.split_once(':'));
    let count = parts.filter(|(_, of)| *of == digest);
    count.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

/// Run git until the run stops: `None`. Its processes are killed then.
async fn or_stopped<T>(
    repository: &RepositoryContext<'_>,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    tokio::select! {
        biased;
        () = repository.run.options.stop.wait() => Ok(None),
        done = work => done.map(Some),
    }
}

fn connection<'a>(repository: &'a RepositoryContext<'_>) -> Result<&'a Connection> {
    let connections = &repository.run.config.connections;
    let connection = connections
        .iter()
        .find(|it| it.id == repository.connection_id);
    connection.ok_or_else(|| Error::new(ErrorKind::Internal, "a repository without a connection"))
}

#[derive(Serialize)]
struct CommitRecord<'a> {
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

/// Return the commit as the API gives it, with its times and files besides. Bitbucket's one date is the author's.
fn record(commit: &GitCommit, html_root: &str) -> Result<Box<RawValue>> {
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
    let href = format!("{html_root}{}", commit.hash);
    let record = CommitRecord {
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

/// Return a changed file with the status words of Bitbucket's diffstat.
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
