//! Reads the commit graphs of the repositories from `base.commit_graphs`, one at a time, so that memory holds one only.

use super::group_reader::GroupReader;
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError};
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, SortedGraphBuilder};

/// The query of this module.
pub(super) const GRAPHS: &str = "
    SELECT repo_id, commit_sha, parents, generation, committed_date, covers_all
    FROM base.commit_graphs
    ORDER BY repo_id, commit_sha";

/// Reads the graphs in the order of the ids of the repositories.
pub(super) struct RepositoryGraphs {
    rows: GroupReader,
    covers_all: bool,
}

impl RepositoryGraphs {
    pub(super) async fn open(engine: &Engine) -> Result<Self, QueryFailure> {
        let mut rows = GroupReader::open(engine, GRAPHS).await?;
        let covers_all = match rows.peek().await? {
            Some(batch) => batch.flags(5)?.is_true(0),
            None => false,
        };
        Ok(Self { rows, covers_all })
    }

    /// Return whether there is only one graph, which covers all repositories and has no id.
    pub(super) fn covers_all(&self) -> bool {
        self.covers_all
    }

    /// Return the id of the next repository; `None` after the last one.
    pub(super) async fn next_repository(&mut self) -> Result<Option<String>, QueryFailure> {
        self.rows.next_group().await
    }

    /// Skip the graph of the next repository, whose id is given.
    pub(super) async fn skip(&mut self, repository: &str) -> Result<(), QueryFailure> {
        self.rows.skip(repository).await
    }

    /// Read the graph of the next repository, whose id is given.
    pub(super) async fn read(&mut self, repository: &str) -> Result<CommitGraph, QueryFailure> {
        let mut builder = SortedGraphBuilder::default();
        while let Some(batch) = self.rows.rows_of(repository).await? {
            let (commits, parents) = (batch.texts(1)?, batch.number_lists(2)?);
            let (generations, times) = (batch.numbers(3)?, batch.numbers(4)?);
            for row in 0..batch.rows() {
                // A number that is out of range is no commit's, so that the graph is rejected.
                let number = |number: &i64| u32::try_from(*number).unwrap_or(u32::MAX);
                let generation = generations.get(row).unwrap_or_default();
                builder.commit(
                    commits.text(row),
                    parents.get(row).iter().map(number),
                    number(&generation),
                    times.get(row),
                );
            }
        }
        let graph = builder.finish();
        Ok(graph
            .or_error(ErrorKind::Internal, "a commit graph is malformed")
            .map_err(|error| error.with("repository", repository))?)
    }

    /// Find the graph of a repository. The ids of successive calls ascend.
    pub(super) async fn find(
        &mut self,
        repository: &str,
    ) -> Result<Option<CommitGraph>, QueryFailure> {
        while let Some(next) = self.next_repository().await? {
            if *next >= *repository {
                let is_found = next == repository && !self.covers_all;
                return match is_found {
                    true => self.read(repository).await.map(Some),
                    false => Ok(None),
                };
            }
            self.skip(&next).await?;
        }
        Ok(None)
    }
}
