//! `base.commit_graphs`: the commit graphs of the repositories, so that they are built once per transform.
//!
//! The commits of a repository are numbered from 0 in the order of their hashes, which is the order of the rows, and
//! `parents` has the numbers of the parents. So a graph is read back without looking up a hash.
//!
//! `domain.commit_parents` does not name a repository: a row belongs to every repository that has the commit. If
//! `domain.repo_commits` is empty, because an outside table gives the parents only, all rows form one history.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::group_reader::GroupReader;
use super::private_contract;
use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::error::Result;
use crate::schema::Contract;
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, GraphBuilder};

const BY_REPOSITORY: &str = "
    SELECT r.repo_id, r.commit_sha, p.parent_commit_sha, p.parent_index, c.committed_date
    FROM domain.repo_commits AS r
    LEFT JOIN domain.commit_parents AS p ON p.commit_sha = r.commit_sha
    LEFT JOIN domain.commits AS c ON c.sha = r.commit_sha
    ORDER BY r.repo_id";
const AS_ONE: &str = "
    SELECT '' AS repo_id, commit_sha, parent_commit_sha, parent_index, cast(NULL AS timestamp) AS committed_date
    FROM domain.commit_parents
    UNION ALL
    SELECT '' AS repo_id, sha, cast(NULL AS varchar), cast(NULL AS bigint), committed_date
    FROM domain.commits";
const ANY: &str = "SELECT repo_id FROM domain.repo_commits LIMIT 1";

pub(super) fn queries() -> Vec<String> {
    [BY_REPOSITORY, AS_ONE, ANY].map(str::to_owned).into()
}

/// Return the contract of the table, which only native steps read.
pub(super) fn contract() -> Result<Contract> {
    let numbers = DataType::new_list(DataType::Int64, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("repo_id", DataType::Utf8),
        ("commit_sha", DataType::Utf8),
        ("parents", numbers),
        ("generation", DataType::Int64),
        ("committed_date", time),
        ("covers_all", DataType::Boolean),
    ];
    private_contract("commit_graphs", &columns, &["repo_id", "commit_sha"])
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let covers_all = !has_rows(engine, ANY).await?;
    let sql = if covers_all { AS_ONE } else { BY_REPOSITORY };
    let mut rows = GroupReader::open(engine, sql).await?;
    while let Some(repository) = rows.next_group().await? {
        let graph = build(&mut rows, &repository).await?;
        write(&repository, &graph, covers_all, writer).await?;
    }
    Ok(())
}

async fn has_rows(engine: &Engine, sql: &str) -> Result<bool, QueryFailure> {
    let mut rows = RowReader::open(engine, sql).await?;
    while let Some(batch) = rows.next().await? {
        if batch.rows() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Build the graph of a repository from its next rows.
async fn build(rows: &mut GroupReader, repository: &str) -> Result<CommitGraph, QueryFailure> {
    let mut builder = GraphBuilder::default();
    while let Some(batch) = rows.rows_of(repository).await? {
        let (children, parents) = (batch.texts(1)?, batch.texts(2)?);
        let (positions, times) = (batch.numbers(3)?, batch.numbers(4)?);
        for row in 0..batch.rows() {
            let child = children.text(row);
            builder.commit(child, times.get(row));
            if let Some(parent) = parents.get(row) {
                let position = positions.get(row).unwrap_or_default();
                builder.edge(child, parent, u32::try_from(position).unwrap_or_default());
            }
        }
    }
    Ok(builder.finish())
}

async fn write(
    repository: &str,
    graph: &CommitGraph,
    covers_all: bool,
    writer: &mut RowWriter,
) -> Result<(), QueryFailure> {
    for node in graph.nodes() {
        let row = [
            Cell::Text(repository),
            Cell::Text(&graph.name(node)),
            Cell::Numbers(graph.parents(node)),
            Cell::Number(graph.generation(node).into()),
            Cell::Time(graph.time(node)),
            Cell::Flag(covers_all),
        ];
        writer.push(row).await?;
    }
    Ok(())
}
