//! The steps that SQL cannot say: the commit graph, and the order of versions.
//!
//! Apart from how its rows come about, such a step is a step like any other: it says which tables it reads, runs after
//! them, has its contract checked, and stands back when a `[[table]]` gives its table or a query of the user makes it.
//!
//! ```text
//! SQL over registered tables ─▶ rows ─▶ graph ─▶ writer.rs: unsorted Parquet ─▶ write.rs: sorted and conformed
//! ```

mod commit_deployments;
mod commits_diffs;
mod deployed;
mod pull_request_ranges;
mod ref_commits;
mod repository_graphs;
mod row_reader;
mod row_writer;
mod tags;

use std::path::Path;

use super::write::{self, QueryFailure, WrittenFiles};
use crate::engine::{Engine, TableName};
use crate::error::Result;
use crate::schema::Contract;
use row_writer::RowWriter;

/// Where a step's unsorted rows are registered while they are sorted.
const SCHEMA: &str = "native";

/// The native steps, by the table that they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeStep {
    RefCommits,
    CommitsDiffs,
    CommitDeployments,
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

    /// Of one that has none among the schemas, because it is never published.
    pub(super) fn contract(self) -> Result<Option<Contract>> {
        match self {
            Self::PullRequestRanges => pull_request_ranges::contract().map(Some),
            Self::RefCommits | Self::CommitsDiffs | Self::CommitDeployments => Ok(None),
        }
    }

    /// The file, for errors.
    pub(super) fn origin(self) -> String {
        format!("src/transform/native/{}.rs", self.table())
    }

    /// The tables that it reads.
    ///
    /// # Errors
    /// Our own mistake: its SQL does not parse.
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

    async fn fill(self, engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
        match self {
            Self::RefCommits => ref_commits::fill(engine, writer).await,
            Self::CommitsDiffs => commits_diffs::fill(engine, writer).await,
            Self::CommitDeployments => commit_deployments::fill(engine, writer).await,
            Self::PullRequestRanges => pull_request_ranges::fill(engine, writer).await,
        }
    }

    /// Makes the table below `folder`.
    pub(super) async fn write(
        self,
        engine: &Engine,
        contract: &Contract,
        folder: &Path,
    ) -> Result<WrittenFiles> {
        let unsorted = folder.join("unsorted.parquet");
        let rows = write::retry_with_less_memory(engine, contract, async |engine: &Engine| {
            let mut writer = RowWriter::create(contract, &unsorted)?;
            self.fill(engine, &mut writer).await?;
            Ok(writer.finish()?)
        })
        .await?;
        let schema = contract.arrow_schema();
        let url = crate::lake::file_url(&rows.path)?;
        engine.register_parquet(SCHEMA, &contract.table, schema.clone(), &[url])?;
        let sql = format!("SELECT * FROM {SCHEMA}.{}", contract.table);
        let files = write::query(engine, &sql, &[], contract, folder).await;
        engine.register_parquet(SCHEMA, &contract.table, schema, &[])?;
        std::fs::remove_file(&unsorted).ok();
        files
    }
}
