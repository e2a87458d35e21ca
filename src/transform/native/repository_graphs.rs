//! The commit graphs of the repositories, one after another: never more than one is held.
//!
//! `domain.commit_parents` does not say whose history a row belongs to; a row is part of every repository that has the
//! commit. Where `domain.repo_commits` has no rows at all, because somebody gave only the parents, all rows are the
//! history of one repository.

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

/// All that is read here.
pub(super) fn queries() -> [String; 3] {
    [BY_REPOSITORY, AS_ONE, ANY].map(str::to_owned)
}

/// The history of a repository.
pub(super) struct RepositoryGraph {
    /// `None`: of all that is known, whatever the repository is called.
    pub repository: Option<String>,
    pub graph: CommitGraph,
}

/// Reads repository_graphs in the order of the repositories' ids.
pub(super) struct RepositoryGraphs {
    rows: RowReader,
    as_one: bool,
    /// What was read and not used yet, and from which row on.
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

    /// The next history that is `wanted`; the commits of the others are passed over.
    pub(super) async fn next(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<RepositoryGraph>, QueryFailure> {
        let mut under_way: Option<(String, GraphBuilder)> = None;
        loop {
            let (batch, from) = match self.batch.take() {
                Some(rest) => rest,
                None => match self.rows.next().await? {
                    Some(batch) => (batch, 0),
                    None => return Ok(under_way.map(|(id, builder)| self.built(id, builder))),
                },
            };
            let repositories = batch.texts(0)?;
            let (children, parents) = (batch.texts(1)?, batch.texts(2)?);
            let (positions, times) = (batch.numbers(3)?, batch.numbers(4)?);
            for row in from..batch.rows() {
                let id = repositories.text(row);
                let (_, builder) = match &mut under_way {
                    Some(current) if current.0 == id => current,
                    Some(_) => {
                        self.batch = Some((batch, row));
                        return Ok(under_way.map(|(id, builder)| self.built(id, builder)));
                    }
                    None if self.as_one || wanted(id) => {
                        under_way.insert((id.to_owned(), GraphBuilder::default()))
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
