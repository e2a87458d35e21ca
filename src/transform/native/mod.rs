//! Steps that SQL cannot express: the commit graph, and the order of versions.
//!
//! A native step behaves like any other step. It declares the tables that it reads, runs after them, and its contract
//! is checked. It does not run if a `[[table]]` or a query of the user makes its table.
//!
//! ```text
//! SQL over registered tables ─▶ rows ─▶ graph ─▶ row_writer.rs: unsorted Parquet ─▶ write.rs: sorted and conformed
//! ```

mod commit_deployments;
mod commits_diffs;
mod deployed;
mod natural;
mod pull_request_ranges;
mod ref_commits;
mod repository_graphs;
mod row_reader;
mod row_writer;
mod tags;
mod version;

use std::path::Path;

use super::write::{self, QueryFailure, WrittenTable};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::Result;
use crate::schema::Contract;
use row_writer::RowWriter;

/// The schema in which the unsorted rows of a step are registered while they are sorted.
const SCHEMA: &str = "native";

/// The native steps, named for the table that they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeStep {
    /// `domain.ref_commits`.
    RefCommits,
    /// `domain.commits_diffs`.
    CommitsDiffs,
    /// `dora.commit_deployments`.
    CommitDeployments,
    /// `base.pull_request_ranges`.
    PullRequestRanges,
}

impl NativeStep {
    pub(super) const ALL: [Self; 4] = [
        Self::RefCommits,
        Self::CommitsDiffs,
        Self::CommitDeployments,
        Self::PullRequestRanges,
    ];

    pub(super) fn layer(self) -> &'static str {
        match self {
            Self::RefCommits | Self::CommitsDiffs => "domain",
            Self::CommitDeployments => "dora",
            Self::PullRequestRanges => "base",
        }
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            Self::RefCommits => "ref_commits",
            Self::CommitsDiffs => "commits_diffs",
            Self::CommitDeployments => "commit_deployments",
            Self::PullRequestRanges => "pull_request_ranges",
        }
    }

    /// Return the contract of a step whose table has none among the schemas, because it is never published.
    pub(super) fn contract(self) -> Result<Option<Contract>> {
        match self {
            Self::PullRequestRanges => pull_request_ranges::contract().map(Some),
            Self::RefCommits | Self::CommitsDiffs | Self::CommitDeployments => Ok(None),
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
            Self::PullRequestRanges => pull_request_ranges::fill(engine, writer).await,
        }
    }

    /// Make the table below `folder`.
    pub(super) async fn write(
        self,
        engine: &Engine,
        contract: &Contract,
        folder: &Path,
    ) -> Result<WrittenTable> {
        let unsorted = folder.join("unsorted.parquet");
        let rows = write::retry_with_less_memory(engine, contract, async |engine: &Engine| {
            let mut writer = RowWriter::create(contract, &unsorted)?;
            self.fill(engine, &mut writer).await?;
            Ok(writer.finish()?)
        })
        .await?;
        let schema = contract.arrow_schema();
        let unsorted_rows = TableFile::written(&rows)?;
        engine.register_parquet(SCHEMA, &contract.table, schema.clone(), &[unsorted_rows])?;
        let sql = format!("SELECT * FROM {SCHEMA}.{}", contract.table);
        let table = write::query(engine, &sql, &[], contract, folder).await;
        engine.register_parquet(SCHEMA, &contract.table, schema, &[])?;
        std::fs::remove_file(&unsorted).ok();
        table
    }
}
