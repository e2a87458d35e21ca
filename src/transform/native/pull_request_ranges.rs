//! `base.pull_request_ranges`: the commits of a pull request, as far as the commit graph shows them.
//!
//! These are the commits of its source that its destination did not have: before the merge for a merged pull request,
//! which is the history of the merge's first parent. A fast-forward leaves no trace of where it started, and the source
//! of a squashed pull request or of a deleted branch may not be in the history. Such pull requests have no rows here;
//! the source layer has their lists of commits.
//!
//! Bitbucket marks a pull request as merged when its source is pushed to the destination, and names the last commit of
//! the push as its merge. If more commits were pushed on top of the source, the first parent of the merge has all
//! commits of the source. Such a pull request is a fast-forward too. It has one row with an empty commit.

use std::collections::BTreeMap;

use super::repository_graphs::{self, RepositoryGraphs};
use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::schema::{Column, Contract};
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, CommitNode, RevisionRanges};

const ENDS: &str = "
    SELECT id, base_repo_id, status = 'MERGED' AS is_merged, head_commit_sha, base_commit_sha, merge_commit_sha
    FROM base.pull_requests
    ORDER BY base_repo_id, id";

pub(super) fn queries() -> Vec<String> {
    let mut queries = repository_graphs::queries().to_vec();
    queries.push(ENDS.to_owned());
    queries
}

/// Return the contract of the table, which only bundled SQL reads.
pub(super) fn contract() -> crate::error::Result<Contract> {
    let names = ["pull_request_id", "commit_sha"];
    let columns = names.map(|name| Column {
        name: name.to_owned(),
        data_type: datafusion::arrow::datatypes::DataType::Utf8,
        nullable: false,
        since: 1,
        unit: None,
        description: String::new(),
    });
    let key = names.map(str::to_owned).to_vec();
    Contract::new("base", "pull_request_ranges", columns.into(), key)
}

struct PullRequest {
    id: String,
    is_merged: bool,
    head: String,
    base: String,
    merge: String,
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let by_repository = pull_requests(engine).await?;
    let mut graphs = RepositoryGraphs::open(engine).await?;
    while let Some(history) = graphs.next(|id| by_repository.contains_key(id)).await? {
        let here = history.repository.and_then(|id| by_repository.get(&id));
        let mut ranges = RevisionRanges::new(&history.graph);
        for pull_request in here.into_iter().flatten() {
            let Some((head, before)) = ends(&history.graph, pull_request) else {
                continue;
            };
            let range = ranges.difference(head, Some(before));
            if pull_request.is_merged && range.is_empty() {
                writer.push([Cell::Text(&pull_request.id), Cell::Text("")])?;
            }
            for node in range {
                let commit = history.graph.name(node);
                writer.push([Cell::Text(&pull_request.id), Cell::Text(&commit)])?;
            }
        }
    }
    Ok(())
}

/// Return the source commit and the destination before the merge.
fn ends(graph: &CommitGraph, pull_request: &PullRequest) -> Option<(CommitNode, CommitNode)> {
    let head = graph.find(&pull_request.head)?;
    let before = match pull_request.is_merged {
        true => {
            let merge = graph.find(&pull_request.merge)?;
            *graph.parents(merge).first().filter(|_| merge != head)?
        }
        false => graph.find(&pull_request.base)?,
    };
    Some((head, before))
}

async fn pull_requests(
    engine: &Engine,
) -> Result<BTreeMap<String, Vec<PullRequest>>, QueryFailure> {
    let mut all: BTreeMap<String, Vec<PullRequest>> = BTreeMap::new();
    let mut rows = RowReader::open(engine, ENDS).await?;
    while let Some(batch) = rows.next().await? {
        let (ids, repositories, merged) = (batch.texts(0)?, batch.texts(1)?, batch.flags(2)?);
        let (heads, bases, merges) = (batch.texts(3)?, batch.texts(4)?, batch.texts(5)?);
        for row in 0..batch.rows() {
            let pull_request = PullRequest {
                id: ids.text(row).to_owned(),
                is_merged: merged.is_true(row),
                head: heads.text(row).to_owned(),
                base: bases.text(row).to_owned(),
                merge: merges.text(row).to_owned(),
            };
            let repository = repositories.text(row).to_owned();
            all.entry(repository).or_default().push(pull_request);
        }
    }
    Ok(all)
}
