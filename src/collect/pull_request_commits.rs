//! Commits of pull requests. Where the source of a pull request is among the repository's commits, the commit graph has its
//! commits, and no request is needed: see `base.pull_request_ranges`, which draws the same line. Other pull requests have a list
//! each, the only place with the commits of a squashed branch and with the range of a fast-forward. Where the server refuses the
//! repository's commits, every list is read. A pull request whose source repository was deleted answers 404.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound::{Included, Unbounded};

use bitlake_graph::{CommitGraph, GraphBuilder};
use datafusion::arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int64Type;

use super::entity::{Entity, text};
use super::list_reader::ListOutcome;
use super::pending_reader::{drop_collected, read_child_lists_except};
use super::report::EntityReport;
use super::repository_run::RepositoryRun;
use crate::bitbucket::endpoints;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{NamedCommits, PendingRecord, Replaces, ScanItem};
use crate::schema::SourceTable;

/// A force-push removes commits from a pull request.
static ENTITY: Entity = Entity {
    keyed_by_parent: true,
    deletes_missing: true,
    ..Entity::new(SourceTable::PullRequestCommits, |record| {
        text(record, "/hash")
    })
};

pub(super) async fn collect(
    run: &mut RepositoryRun<'_>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let postponed = drop_known(run).await?;
    let endpoint = &endpoints::PULL_REQUEST_COMMITS;
    read_child_lists_except(run, &ENTITY, endpoint, &postponed, report).await
}

/// Remove the pending pull requests whose commits are collected. Return those whose merge may still be read.
async fn drop_known(run: &mut RepositoryRun<'_>) -> Result<HashSet<String>> {
    let pending = run.checkpoints.list(ENTITY.table).pending.iter();
    let named: Vec<&NamedCommits> = pending.filter_map(PendingRecord::named_commits).collect();
    let mut commits = CommitsReader::of(&named);
    if commits.wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let (lake, state) = (run.repository.run.lake, &run.checkpoints.state);
    let table = ENTITY.table.as_str();
    let columns = ["hash", "parents"];
    lake.scan(
        state,
        SourceTable::Commits.as_str(),
        &columns,
        |known| match known {
            ScanItem::Batch(batch) => commits.see(&batch),
            ScanItem::Replaced(_) => Ok(()),
        },
    )
    .await?;
    let commits = commits.finish();
    let mut lists = CollectedLists::default();
    let columns = ["_pull_request_id", "hash", "parents"];
    lake.scan(state, table, &columns, |known| match known {
        ScanItem::Batch(batch) => lists.see(&batch, &commits.wanted),
        ScanItem::Replaced(replaces) => {
            lists.forget(replaces);
            Ok(())
        }
    })
    .await?;
    let is_collected = |record: &PendingRecord| {
        record.named_commits().is_some_and(|named| {
            let id = record.id.parse().unwrap_or_default();
            let source = named.source.as_ref();
            commits.has_range(named) || source.is_some_and(|head| lists.end_in(id, head))
        })
    };
    Ok(drop_collected(
        &mut run.checkpoints,
        ENTITY.table,
        SourceTable::Commits,
        |record| record.named_commits().is_some(),
        is_collected,
    ))
}

/// Reads the repository's commits.
struct CommitsReader {
    /// The short hashes by which pull requests name commits.
    wanted: BTreeSet<String>,
    known: BTreeMap<String, IndexedCommit>,
    /// All commits and their parents, about 100 bytes each; only where a merged pull request is pending.
    history: Option<GraphBuilder>,
}

impl CommitsReader {
    fn of(named: &[&NamedCommits]) -> Self {
        let hashes = named
            .iter()
            .flat_map(|named| [&named.source, &named.destination, &named.merge]);
        let has_merged = named.iter().any(|named| named.merge.is_some());
        Self {
            wanted: hashes.flatten().cloned().collect(),
            known: BTreeMap::new(),
            history: has_merged.then(GraphBuilder::default),
        }
    }

    fn see(&mut self, batch: &RecordBatch) -> Result<()> {
        let hashes = column(batch, "hash")?.as_string::<i32>();
        let parents = ParentHashes::of(batch)?;
        for row in 0..batch.num_rows() {
            let hash = hashes.value(row);
            if let Some(history) = &mut self.history {
                history.commit(hash, None);
                for (position, parent) in (0..).zip(parents.of_row(row)) {
                    history.edge(hash, parent, position);
                }
            }
            let Some(short) = short_hash(&self.wanted, hash) else {
                continue;
            };
            let has_parents = parents.of_row(row).next().is_some();
            let commit = self.known.entry(short).or_insert_with(|| IndexedCommit {
                hash: hash.to_owned(),
                has_parents,
                ambiguous: false,
            });
            commit.ambiguous |= commit.hash != hash;
        }
        Ok(())
    }

    fn finish(self) -> KnownCommits {
        KnownCommits {
            wanted: self.wanted,
            known: self.known,
            graph: self.history.map(GraphBuilder::finish),
        }
    }
}

/// The commits that pull requests name, by their short hashes.
struct KnownCommits {
    wanted: BTreeSet<String>,
    known: BTreeMap<String, IndexedCommit>,
    graph: Option<CommitGraph>,
}

struct IndexedCommit {
    hash: String,
    has_parents: bool,
    /// Whether the short hash also matches another commit.
    ambiguous: bool,
}

impl KnownCommits {
    fn get(&self, short: &Option<String>) -> Option<&IndexedCommit> {
        let commit = self.known.get(short.as_ref()?)?;
        (!commit.ambiguous).then_some(commit)
    }

    /// Whether the graph has the revision range: the source, and the merge commit or the destination.
    fn has_range(&self, named: &NamedCommits) -> bool {
        let Some(source) = self.get(&named.source) else {
            return false;
        };
        match &named.merge {
            // A fast-forward does not name the commit where it began.
            Some(_) => self.get(&named.merge).is_some_and(|merge| {
                merge.has_parents
                    && merge.hash != source.hash
                    && !self.was_merged_before(source, merge)
            }),
            None => self.get(&named.destination).is_some(),
        }
    }

    /// Whether the source is an ancestor of the merge's first parent: it was pushed to the destination with later commits.
    fn was_merged_before(&self, source: &IndexedCommit, merge: &IndexedCommit) -> bool {
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

/// The hashes in the column of parents, which are read without an array of their own for each row.
struct ParentHashes<'a> {
    rows: &'a ListArray,
    hashes: Option<&'a StringArray>,
}

impl<'a> ParentHashes<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let rows = column(batch, "parents")?.as_list::<i32>();
        let parents = rows.values().as_struct_opt();
        let hashes = parents.and_then(|parents| parents.column_by_name("hash"));
        let hashes = hashes.and_then(|hashes| hashes.as_string_opt());
        Ok(Self { rows, hashes })
    }

    /// Return the hashes of a row's parents, in their order.
    fn of_row(&self, row: usize) -> impl Iterator<Item = &'a str> {
        let offsets = self.rows.value_offsets();
        let range = offsets.get(row).zip(offsets.get(row + 1));
        let range = range.filter(|_| self.rows.is_valid(row));
        let range = range.map_or(0..0, |(start, end)| *start as usize..*end as usize);
        let hashes = self.hashes;
        range.filter_map(move |n| hashes.filter(|it| it.is_valid(n)).map(|it| it.value(n)))
    }
}

/// The heads of the collected lists.
#[derive(Default)]
struct CollectedLists {
    heads: BTreeSet<(i64, String)>,
    /// Commits that are parents within a list, which are no heads.
    inside: BTreeSet<(i64, String)>,
}

impl CollectedLists {
    fn see(&mut self, batch: &RecordBatch, wanted: &BTreeSet<String>) -> Result<()> {
        let ids = column(batch, "_pull_request_id")?.as_primitive::<Int64Type>();
        let hashes = column(batch, "hash")?.as_string::<i32>();
        let parents = ParentHashes::of(batch)?;
        for row in 0..batch.num_rows() {
            let id = ids.value(row);
            self.heads
                .extend(short_hash(wanted, hashes.value(row)).map(|short| (id, short)));
            for parent in parents.of_row(row) {
                self.inside
                    .extend(short_hash(wanted, parent).map(|short| (id, short)));
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

    /// Whether the list of a pull request still ends in its source.
    fn end_in(&self, id: i64, head: &str) -> bool {
        let head = (id, head.to_owned());
        self.heads.contains(&head) && !self.inside.contains(&head)
    }
}

/// Return the short hash among `wanted` that `hash` begins with.
fn short_hash(wanted: &BTreeSet<String>, hash: &str) -> Option<String> {
    // Of the texts that do not sort after `hash`, the last one is its longest prefix, if any is.
    let before = wanted
        .range::<str, _>((Unbounded, Included(hash)))
        .next_back()?;
    hash.starts_with(before.as_str()).then(|| before.clone())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let column = batch.column_by_name(name).ok_or_else(|| name.to_owned());
    let column = column.or_error(ErrorKind::Internal, "a table of commits lacks a column")?;
    Ok(column.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_by_the_short_hash_that_it_begins_with() {
        let wanted = ["aaa", "abc", "abd"].map(str::to_owned).into();
        let found = |hash: &str| short_hash(&wanted, hash);
        assert_eq!(found("abc999").as_deref(), Some("abc"));
        assert_eq!(found("abd000").as_deref(), Some("abd"));
        assert_eq!(found("abe"), None);
        assert_eq!(found("aa"), None);
    }
}
