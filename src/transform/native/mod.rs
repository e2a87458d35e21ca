//! Steps that SQL cannot express: the commit graph, and the order of versions.
//!
//! A native step behaves like any other step. It declares the tables that it reads, runs after them, and its contract
//! is checked. It does not run if a `[[table]]` or a query of the user makes its table.
//!
//! ```text
//! SQL over registered tables ─▶ rows ─▶ graph ─▶ row_writer.rs: batches ─▶ write.rs: sorted and conformed
//! ```
//!
//! `commit_graphs.rs` builds the graphs, and the other steps read them from its table, one at a time. The rows of a step
//! are sorted while it computes them, and the sort spills to disk, so that a step needs the memory of one repository.

mod commit_deployments;
mod commit_graphs;
mod commits_diffs;
mod group_reader;
mod natural;
mod pull_request_ranges;
mod ref_commits;
mod repository_graphs;
mod row_reader;
mod row_writer;
mod tags;
mod version;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;

use super::incremental::{Incremental, Scope};
use super::write::{self, QueryFailure, WrittenTable};
use crate::engine::{Engine, TableName};
use crate::error::Result;
use crate::schema::{Column, Contract};
use row_writer::RowWriter;

/// The native steps, named for the table that they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeStep {
    /// `domain.ref_commits`.
    RefCommits,
    /// `domain.commits_diffs`.
    CommitsDiffs,
    /// `dora.commit_deployments`.
    CommitDeployments,
    /// `base.commit_graphs`.
    CommitGraphs,
    /// `base.pull_request_ranges`.
    PullRequestRanges,
}

impl NativeStep {
    pub(super) const ALL: [Self; 5] = [
        Self::RefCommits,
        Self::CommitsDiffs,
        Self::CommitDeployments,
        Self::CommitGraphs,
        Self::PullRequestRanges,
    ];

    pub(super) fn layer(self) -> &'static str {
        match self {
            Self::RefCommits | Self::CommitsDiffs => "domain",
            Self::CommitDeployments => "dora",
            Self::CommitGraphs | Self::PullRequestRanges => "base",
        }
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            Self::RefCommits => "ref_commits",
            Self::CommitsDiffs => "commits_diffs",
            Self::CommitDeployments => "commit_deployments",
            Self::CommitGraphs => "commit_graphs",
            Self::PullRequestRanges => "pull_request_ranges",
        }
    }

    /// Return the contract of a step whose table has none among the schemas, because it is never published.
    pub(super) fn contract(self) -> Result<Option<Contract>> {
        match self {
            Self::CommitGraphs => commit_graphs::contract().map(Some),
            Self::PullRequestRanges => pull_request_ranges::contract().map(Some),
            Self::RefCommits | Self::CommitsDiffs | Self::CommitDeployments => Ok(None),
        }
    }

    /// Return how some rows of the table can be made alone.
    pub(super) fn incremental(self) -> Incremental {
        let (column, known_from) = match self {
            Self::CommitGraphs | Self::PullRequestRanges => (None, Vec::new()),
            Self::CommitDeployments => (Some("cicd_scope_id"), Vec::new()),
            Self::RefCommits => (Some("repo_id"), Vec::new()),
            Self::CommitsDiffs => (Some("new_commit_sha"), commits_diffs::newer_commits()),
        };
        Incremental {
            scope: Scope::Repository,
            column: column.map(str::to_owned),
            known_from,
        }
    }

    /// Return the source file, for errors.
    pub(super) fn origin(self) -> String {
        format!("src/transform/native/{}.rs", self.table())
    }

    /// Return the tables that the step reads.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) if its SQL does not parse, which is a bug.
    pub fn reads(self, engine: &Engine) -> Result<Vec<TableName>> {
        let texts = match self {
            Self::RefCommits => ref_commits::queries(),
            Self::CommitsDiffs => commits_diffs::queries(),
            Self::CommitDeployments => commit_deployments::queries(),
            Self::CommitGraphs => commit_graphs::queries(),
            Self::PullRequestRanges => pull_request_ranges::queries(),
        };
        let mut reads = Vec::new();
        for sql in texts {
            reads.extend(engine.references(&sql)?);
        }
        reads.sort();
        reads.dedup();
        Ok(reads)
    }

    /// Compute the rows of the table.
    async fn fill(self, engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
        match self {
            Self::RefCommits => ref_commits::fill(engine, writer).await,
            Self::CommitsDiffs => commits_diffs::fill(engine, writer).await,
            Self::CommitDeployments => commit_deployments::fill(engine, writer).await,
            Self::CommitGraphs => commit_graphs::fill(engine, writer).await,
            Self::PullRequestRanges => pull_request_ranges::fill(engine, writer).await,
        }
    }

    /// Return whether the rows are computed in the order of the key.
    fn is_sorted(self) -> bool {
        self == Self::CommitGraphs
    }

    /// Make the table below `folder`.
    pub(super) async fn write(
        self,
        engine: &Engine,
        contract: &Contract,
        folder: &Path,
    ) -> Result<WrittenTable> {
        match self.attempt(engine, contract, folder).await {
            Ok(table) => Ok(table),
            Err(failure) => {
                let smaller = failure.with_less_memory(engine, contract)?;
                let again = self.attempt(&smaller, contract, folder).await;
                again.map_err(|failure| failure.into_error(contract))
            }
        }
    }

    async fn attempt(
        self,
        engine: &Engine,
        contract: &Contract,
        folder: &Path,
    ) -> Result<WrittenTable, QueryFailure> {
        let (mut writer, rows) = RowWriter::channel(contract, self.is_sorted())?;
        let rows = engine.read(Arc::new(rows)).map_err(QueryFailure::of)?;
        let filled = async move {
            self.fill(engine, &mut writer).await?;
            writer.finish().await
        };
        let written = write::frame(engine, rows, contract, folder);
        let (filled, written) = futures::join!(filled, written);
        // If the query fails, the step fails too, because its rows are no longer read.
        let table = written?;
        filled?;
        Ok(table)
    }
}

/// Return the contract of a table that only bundled steps read. A column that is in the key is not nullable.
fn private_contract(table: &str, columns: &[(&str, DataType)], key: &[&str]) -> Result<Contract> {
    let columns = columns.iter().map(|(name, data_type)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nullable: !key.contains(name),
        since: 1,
        unit: None,
        description: String::new(),
    });
    let key = key.iter().map(|name| (*name).to_owned());
    Contract::new("base", table, columns.collect(), key.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TableFile;
    use crate::schema::Contracts;

    /// Register the empty tables of the domain, and a repository with more commits than batches are held at once.
    async fn engine_over_commits(folder: &Path) -> Engine {
        let engine = Engine::new(None).unwrap();
        let contracts = Contracts::bundled().unwrap();
        for contract in contracts.layer("domain") {
            engine.register(contract, &[]).unwrap();
        }
        let contract = contracts.require("domain", "repo_commits").unwrap();
        let sql = "SELECT 'r' AS repo_id, cast(value AS varchar) AS commit_sha, true AS reachable,
                          '' AS _raw_data_params, '' AS _raw_data_table
                   FROM generate_series(1, 30000)";
        let written = write::query(&engine, sql, &[], contract, folder).await;
        register(&engine, contract, &written.unwrap());
        engine
    }

    fn register(engine: &Engine, contract: &Contract, written: &WrittenTable) {
        let files = written
            .files
            .iter()
            .map(|(_, file)| TableFile::written(file).unwrap());
        engine
            .register(contract, &files.collect::<Vec<_>>())
            .unwrap();
    }

    #[tokio::test]
    async fn every_row_is_written_in_the_order_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine_over_commits(&folder.path().join("given")).await;
        let contract = commit_graphs::contract().unwrap();
        let step = NativeStep::CommitGraphs;
        let written = step.write(&engine, &contract, folder.path()).await.unwrap();
        register(&engine, &contract, &written);
        let commits = engine.for_payloads();
        let commits = commits
            .query_texts("SELECT commit_sha FROM base.commit_graphs")
            .await
            .unwrap();
        assert_eq!(commits.len(), 30_000);
        assert!(commits.is_sorted());
    }

    #[tokio::test]
    async fn a_step_whose_rows_cannot_be_written_reports_why() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine_over_commits(&folder.path().join("given")).await;
        let contract = commit_graphs::contract().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let failed = NativeStep::CommitGraphs.write(&engine, &contract, &file);
        let error = failed.await.err().unwrap().to_string();
        assert!(error.contains("cannot create a folder"), "{error}");
    }

    #[test]
    fn a_step_can_run_on_another_thread() {
        fn check_send<T: Send>(_: T) {}
        let engine = Engine::new(None).unwrap();
        let contract = commit_graphs::contract().unwrap();
        for step in NativeStep::ALL {
            check_send(step.write(&engine, &contract, Path::new("")));
        }
    }
}
