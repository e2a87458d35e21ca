//! Builds the commit graphs of the repositories, one at a time, so that memory holds one graph only.
//!
//! `domain.commit_parents` does not name a repository: a row belongs to every repository that has the commit. If
//! `domain.repo_commits` is empty, because an outside table gives the parents only, all rows form the history of one
//! repository.

use super::row_reader::{RowBatch, RowReader};
use crate::engine::Engine;
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

/// Return the queries of this module.
pub(super) fn queries() -> [String; 3] {
    [BY_REPOSITORY, AS_ONE, ANY].map(str::to_owned)
}

/// The commit graph of a repository.
pub(super) struct RepositoryGraph {
    /// The id of the repository. `None` if the graph covers all repositories.
    pub repository: Option<String>,
    pub graph: CommitGraph,
}

/// Reads the graphs in the order of the ids of the repositories.
pub(super) struct RepositoryGraphs {
    rows: RowReader,
    as_one: bool,
    /// A batch that is partly used, and its first unused row.
    batch: Option<(RowBatch, usize)>,
}

impl RepositoryGraphs {
    pub(super) async fn open(engine: &Engine) -> Result<Self, QueryFailure> {
        let mut any = RowReader::open(engine, ANY).await?;
        let mut as_one = true;
        while let Some(batch) = any.next().await? {
            as_one &= batch.rows() == 0;
        }
        let sql = if as_one { AS_ONE } else { BY_REPOSITORY };
        Ok(Self {
            rows: RowReader::open(engine, sql).await?,
            as_one,
            batch: None,
        })
    }

    /// Return the graph of the next repository that is `wanted`. Skip the rows of the others.
    pub(super) async fn next(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<RepositoryGraph>, QueryFailure> {
        let mut building: Option<(String, GraphBuilder)> = None;
        loop {
            let (batch, from) = match self.batch.take() {
                Some(rest) => rest,
                None => match self.rows.next().await? {
                    Some(batch) => (batch, 0),
                    None => return Ok(building.map(|(id, builder)| self.built(id, builder))),
                },
            };
            let repositories = batch.texts(0)?;
            let (children, parents) = (batch.texts(1)?, batch.texts(2)?);
            let (positions, times) = (batch.numbers(3)?, batch.numbers(4)?);
            for row in from..batch.rows() {
                let id = repositories.text(row);
                let (_, builder) = match &mut building {
                    Some(current) if current.0 == id => current,
                    Some(_) => {
                        self.batch = Some((batch, row));
                        return Ok(building.map(|(id, builder)| self.built(id, builder)));
                    }
                    None if self.as_one || wanted(id) => {
                        building.insert((id.to_owned(), GraphBuilder::default()))
                    }
                    None => continue,
                };
                let child = children.text(row);
                builder.commit(child, times.get(row));
                if let Some(parent) = parents.get(row) {
                    let position = positions.get(row).unwrap_or_default();
                    builder.edge(child, parent, u32::try_from(position).unwrap_or_default());
                }
            }
        }
    }

    fn built(&self, id: String, builder: GraphBuilder) -> RepositoryGraph {
        RepositoryGraph {
            repository: (!self.as_one).then_some(id),
            graph: builder.finish(),
        }
    }
}
