//! Commits of pull requests. Where the source of one is among the repository's commits, the commit graph tells what it
//! brought, and nothing is asked: see `base.pull_request_ranges`, which draws the same line. Others have a list each: the
//! only place where the commits of a squashed branch are found, and those of a fast-forward are told apart. Where the
//! repository's commits are refused, every list is asked for. A pull request whose source repository is gone answers 404.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound::{Included, Unbounded};

use datafusion::arrow::array::{Array, AsArray, ListArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;

use super::children::children_but;
use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Repo;
use super::walk::ListOutcome;
use crate::bitbucket::endpoints;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{NamedCommits, PendingRecord, Replaces, ScanItem};
use bitlake_graph::{CommitGraph, GraphBuilder};

/// A force-push takes commits out of a pull request.
static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    absence_deletes: true,
    ..Entity::new("pull_request_commits", |record| text(record, "/hash"))
};

pub(super) async fn collect(repo: &mut Repo<'_>, report: &mut EntityReport) -> Result<ListOutcome> {
    let wait = tell(repo).await?;
    let lists = &endpoints::PULL_REQUEST_COMMITS;
    children_but(repo, &ENTITY, "pull_requests", lists, &wait, report).await
}

/// Takes those out of the queue whose commits are known; returns those whose merge may still be read.
async fn tell(repo: &mut Repo<'_>) -> Result<HashSet<String>> {
    let queue = &repo.checkpoints.entity(ENTITY.table).queue;
    let ends = || queue.iter().filter_map(|queued| queued.ends.as_ref());
    let named = ends().flat_map(|ends| [&ends.source, &ends.destination, &ends.merge]);
    let mut commits = CommitsSeen {
        wanted: named.flatten().cloned().collect(),
        known: BTreeMap::new(),
        history: ends()
            .any(|ends| ends.merge.is_some())
            .then(GraphBuilder::default),
    };
    if commits.wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let (lake, state) = (repo.site.context.lake, &repo.checkpoints.state);
    let columns = ["hash", "parents"];
    lake.scan(state, "commits", &columns, |known| match known {
        ScanItem::Batch(batch) => commits.see(&batch),
        ScanItem::Replaced(_) => Ok(()),
    })
    .await?;
    let commits = commits.finish();
    let mut lists = Lists::default();
    let columns = ["_pull_request_id", "hash", "parents"];
    lake.scan(state, ENTITY.table, &columns, |known| match known {
        ScanItem::Batch(batch) => lists.see(&batch, &commits.wanted),
        ScanItem::Replaced(replaces) => {
            lists.forget(replaces);
            Ok(())
        }
    })
    .await?;
    let is_told = |queued: &PendingRecord| {
        let Some(ends) = &queued.ends else {
            return false;
        };
        let id = queued.id.parse().unwrap_or_default();
        commits.tell(ends)
            || ends
                .source
                .as_ref()
                .is_some_and(|head| lists.end_in(id, head))
    };
    let state = repo.checkpoints.entity(ENTITY.table);
    state.queue.retain(|queued| !is_told(queued));
    if !repo.checkpoints.may_come("commits") {
        return Ok(HashSet::new());
    }
    let state = repo.checkpoints.entity(ENTITY.table);
    let waits = state.queue.iter().filter(|queued| queued.ends.is_some());
    Ok(waits.map(|queued| queued.id.clone()).collect())
}

/// The repository's commits while they are read.
struct CommitsSeen {
    /// The short hashes by which pull requests name commits.
    wanted: BTreeSet<String>,
    known: BTreeMap<String, Commit>,
    /// All commits and their parents, about 100 bytes each: only where a merged pull request waits.
    history: Option<GraphBuilder>,
}

impl CommitsSeen {
    fn see(&mut self, batch: &RecordBatch) -> Result<()> {
        let hashes = column(batch, "hash")?.as_string::<i32>();
        let parents = column(batch, "parents")?.as_list::<i32>();
        for row in 0..batch.num_rows() {
            let hash = hashes.value(row);
            if let Some(history) = &mut self.history {
                history.commit(hash, None);
                for (position, parent) in (0..).zip(parent_hashes(parents, row)) {
                    history.edge(hash, &parent, position);
                }
            }
            let Some(short) = begins(&self.wanted, hash) else {
                continue;
            };
            let has_parents = parents.is_valid(row) && parents.value_length(row) > 0;
            let commit = self.known.entry(short).or_insert_with(|| Commit {
                hash: hash.to_owned(),
                has_parents,
                ambiguous: false,
            });
            commit.ambiguous |= commit.hash != hash;
        }
        Ok(())
    }

    fn finish(self) -> Commits {
        Commits {
            wanted: self.wanted,
            known: self.known,
            graph: self.history.map(GraphBuilder::finish),
        }
    }
}

/// What is known of the commits that pull requests name, by the short hashes they are named by.
struct Commits {
    wanted: BTreeSet<String>,
    known: BTreeMap<String, Commit>,
    graph: Option<CommitGraph>,
}

struct Commit {
    hash: String,
    has_parents: bool,
    /// Another commit begins alike.
    ambiguous: bool,
}

impl Commits {
    fn get(&self, short: &Option<String>) -> Option<&Commit> {
        let commit = self.known.get(short.as_ref()?)?;
        (!commit.ambiguous).then_some(commit)
    }

    /// Whether the graph knows both ends: the source, and what it was merged into or is to be.
    fn tell(&self, ends: &NamedCommits) -> bool {
        let Some(source) = self.get(&ends.source) else {
            return false;
        };
        match &ends.merge {
            // A fast-forward does not say where it began.
            Some(_) => self.get(&ends.merge).is_some_and(|merge| {
                merge.has_parents
                    && merge.hash != source.hash
                    && !self.was_there_before(source, merge)
            }),
            None => self.get(&ends.destination).is_some(),
        }
    }

    /// Whether the merge's first parent has the source: it was pushed to the destination with commits behind it.
    fn was_there_before(&self, source: &Commit, merge: &Commit) -> bool {
        let Some(graph) = &self.graph else {
            return false;
        };
        let ends = graph.find(&source.hash).zip(graph.find(&merge.hash));
        ends.is_some_and(|(source, merge)| {
            let first = graph.parents(merge).first();
            first.is_some_and(|first| graph.is_ancestor(source, *first))
        })
    }
}

/// The hashes in a row's list of parents, in their order.
fn parent_hashes(parents: &ListArray, row: usize) -> Vec<String> {
    if parents.is_null(row) {
        return Vec::new();
    }
    let of_one = parents.value(row);
    let hashes = of_one
        .as_struct_opt()
        .and_then(|one| one.column_by_name("hash"));
    let hashes = hashes.and_then(|hashes| hashes.as_string_opt::<i32>());
    let hashes = hashes.into_iter().flatten().flatten();
    hashes.map(str::to_owned).collect()
}

/// Of the lists that were read, those that still end in the source of their pull request.
#[derive(Default)]
struct Lists {
    heads: BTreeSet<(i64, String)>,
    /// Commits that another one of the list builds on: no heads.
    inside: BTreeSet<(i64, String)>,
}

impl Lists {
    fn see(&mut self, batch: &RecordBatch, wanted: &BTreeSet<String>) -> Result<()> {
        let ids = column(batch, "_pull_request_id")?.as_primitive::<Int64Type>();
        let hashes = column(batch, "hash")?.as_string::<i32>();
        let parents = column(batch, "parents")?.as_list::<i32>();
        for row in 0..batch.num_rows() {
            let id = ids.value(row);
            self.heads
                .extend(begins(wanted, hashes.value(row)).map(|short| (id, short)));
            for parent in parent_hashes(parents, row) {
                self.inside
                    .extend(begins(wanted, &parent).map(|short| (id, short)));
            }
        }
        Ok(())
    }

    fn forget(&mut self, replaces: &Replaces) {
        if let Replaces::Parents(parents) = replaces {
            self.heads.retain(|(id, _)| !parents.contains(id));
            self.inside.retain(|(id, _)| !parents.contains(id));
        }
    }

    fn end_in(&self, id: i64, head: &str) -> bool {
        let head = (id, head.to_owned());
        self.heads.contains(&head) && !self.inside.contains(&head)
    }
}

/// The short hash among `wanted` that a commit's begins with.
fn begins(wanted: &BTreeSet<String>, hash: &str) -> Option<String> {
    // Of all texts not after it, the one right before it is its longest beginning, if any is.
    let before = wanted
        .range::<str, _>((Unbounded, Included(hash)))
        .next_back()?;
    hash.starts_with(before.as_str()).then(|| before.clone())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let column = batch.column_by_name(name).ok_or_else(|| name.to_owned());
    let column = column.or_error(ErrorKind::Internal, "a commit lacks a column")?;
    Ok(column.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_by_the_short_hash_that_it_begins_with() {
        let wanted = ["aaa", "abc", "abd"].map(str::to_owned).into();
        let found = |hash: &str| begins(&wanted, hash);
        assert_eq!(found("abc999").as_deref(), Some("abc"));
        assert_eq!(found("abd000").as_deref(), Some("abd"));
        assert_eq!(found("abe"), None);
        assert_eq!(found("aa"), None);
    }
}
