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

use datafusion::arrow::datatypes::DataType;

use super::group_reader::GroupReader;
use super::private_contract;
use super::repository_graphs::{GRAPHS, RepositoryGraphs};
use super::row_reader::RowBatch;
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::error::Result;
use crate::schema::Contract;
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, CommitNode, RevisionRanges};

const ENDS: &str = "
    SELECT base_repo_id, id, status = 'MERGED' AS is_merged, head_commit_sha, base_commit_sha, merge_commit_sha
    FROM base.pull_requests
    ORDER BY base_repo_id";

pub(super) fn queries() -> Vec<String> {
    [GRAPHS, ENDS].map(str::to_owned).into()
}

/// Return the contract of the table, which only bundled SQL reads.
pub(super) fn contract() -> Result<Contract> {
    let names = ["pull_request_id", "commit_sha"];
    let columns = names.map(|name| (name, DataType::Utf8));
    private_contract("pull_request_ranges", &columns, &names)
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let mut pull_requests = GroupReader::open(engine, ENDS).await?;
    let mut graphs = RepositoryGraphs::open(engine).await?;
    while let Some(repository) = pull_requests.next_group().await? {
        let Some(graph) = graphs.find(&repository).await? else {
            pull_requests.skip(&repository).await?;
            continue;
        };
        let mut ranges = RevisionRanges::new(&graph);
        while let Some(batch) = pull_requests.rows_of(&repository).await? {
            write(&batch, &graph, &mut ranges, writer).await?;
        }
    }
    Ok(())
}

/// Write the rows of some pull requests of a repository.
async fn write(
    pull_requests: &RowBatch,
    graph: &CommitGraph,
    ranges: &mut RevisionRanges<'_>,
    writer: &mut RowWriter,
) -> Result<(), QueryFailure> {
    let (ids, merged) = (pull_requests.texts(1)?, pull_requests.flags(2)?);
    let (heads, bases) = (pull_requests.texts(3)?, pull_requests.texts(4)?);
    let merges = pull_requests.texts(5)?;
    for row in 0..pull_requests.rows() {
        let (id, is_merged) = (ids.text(row), merged.is_true(row));
        let base = match is_merged {
            true => Base::Merge(merges.text(row)),
            false => Base::Commit(bases.text(row)),
        };
        let Some((head, before)) = ends(graph, heads.text(row), base) else {
            continue;
        };
        let range = ranges.difference(head, Some(before));
        if is_merged && range.is_empty() {
            writer.push([Cell::Text(id), Cell::Text("")]).await?;
        }
        for node in range {
            let commit = graph.name(node);
            writer.push([Cell::Text(id), Cell::Text(&commit)]).await?;
        }
    }
    Ok(())
}

/// The commit that gives the destination of a pull request.
enum Base<'a> {
    /// The merge of a merged pull request: its first parent is the destination before the merge.
    Merge(&'a str),
    Commit(&'a str),
}

/// Return the source commit and the destination before the merge.
fn ends(graph: &CommitGraph, head: &str, base: Base<'_>) -> Option<(CommitNode, CommitNode)> {
    let head = graph.find(head)?;
    let before = match base {
        Base::Merge(merge) => {
            let merge = graph.find(merge)?;
            *graph.parents(merge).first().filter(|_| merge != head)?
        }
        Base::Commit(base) => graph.find(base)?,
    };
    Some((head, before))
}
