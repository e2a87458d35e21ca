//! `domain.commits_diffs`: which commits does the newer of two tags, or of two successive deployments, have that the
//! older has not?
//!
//! As DevLake defines it, but for two things. The whole history of a commit that has no known predecessor is written
//! only by rule (`commits_diffs = "all"`), and a predecessor that is not among the collected commits never stands for
//! nothing: with it, the range is not known, and there are no rows.

use std::collections::{BTreeMap, BTreeSet};

use super::deployed;
use super::repository_graphs::{self, RepositoryGraphs};
use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::error::Result;
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, RevisionRanges};

/// A deployment with several predecessors of one id (several commits deployed at once) is compared with each. Given rows
/// count where a project has their scope, as in DevLake, or anywhere while no project has any.
fn pairs_sql() -> String {
    let ctes = deployed::CTES;
    format!(
        "WITH {ctes},
        pairs AS (
            SELECT d.repo_id, d.commit_sha AS new_sha, coalesce(p.commit_sha, '') AS old_sha, 'deployments' AS pair_source
            FROM deployed AS d
            LEFT JOIN domain.cicd_deployment_commits AS p
              ON p.id = d.prev_success_deployment_commit_id AND p.id <> ''
            WHERE d.deployment_source <> ''
               OR d.cicd_scope_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m.\"table\" = 'cicd_scopes')
               OR (SELECT count(*) FROM domain.project_mapping AS m WHERE m.\"table\" = 'cicd_scopes') = 0
            UNION
            SELECT repo_id, new_commit_sha, old_commit_sha, 'tags'
            FROM domain.ref_commits
            WHERE new_commit_sha <> '' AND old_commit_sha <> ''
        ),
        named AS (
            SELECT
                'bitbucket:BitbucketRepo:' || cast(connection_id AS varchar) || ':' || full_name AS repo_id,
                min(rules) AS rules
            FROM config.repositories
            GROUP BY 'bitbucket:BitbucketRepo:' || cast(connection_id AS varchar) || ':' || full_name
        )
        SELECT p.new_sha, p.old_sha, p.pair_source, p.repo_id, c.repo_id IS NOT NULL AS is_collected,
               coalesce(u.commits_diffs = 'all', false) AS wants_all
        FROM pairs AS p
        LEFT JOIN collected AS c ON c.repo_id = p.repo_id
        LEFT JOIN named AS n ON n.repo_id = p.repo_id
        LEFT JOIN config.rules AS u ON u.rules = coalesce(n.rules, 'default')
        WHERE p.new_sha <> p.old_sha AND (p.old_sha <> '' OR u.commits_diffs = 'all')
        ORDER BY p.new_sha, p.old_sha, p.pair_source, p.repo_id"
    )
}

pub(super) fn queries() -> Vec<String> {
    let mut queries = repository_graphs::queries().to_vec();
    queries.push(pairs_sql());
    queries
}

/// Two commits, and who asks for what is between them.
#[derive(Default)]
struct CommitPair {
    new: String,
    old: String,
    tags: bool,
    deployments: bool,
    /// An older end that is unknown stands for nothing.
    wants_all: bool,
}

impl CommitPair {
    fn source(&self) -> &'static str {
        match (self.deployments, self.tags) {
            (true, true) => "deployments, tags",
            (true, false) => "deployments",
            (false, _) => "tags",
        }
    }
}

/// The pairs, and by position in whose history they are looked for.
#[derive(Default)]
struct CommitPairs {
    pairs: Vec<CommitPair>,
    of_repository: BTreeMap<String, BTreeSet<usize>>,
    /// In any, since one that asks is not among the collected repositories.
    of_any: BTreeSet<usize>,
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let asked = asked(engine).await?;
    let mut left: BTreeSet<usize> = (0..asked.pairs.len()).collect();
    let wanted = |id: &str| !asked.of_any.is_empty() || asked.of_repository.contains_key(id);
    let mut graphs = RepositoryGraphs::open(engine).await?;
    while let Some(history) = graphs.next(wanted).await? {
        let here: Vec<usize> = match &history.repository {
            Some(id) => {
                let own = asked.of_repository.get(id).into_iter().flatten();
                own.chain(&asked.of_any).copied().collect()
            }
            None => left.iter().copied().collect(),
        };
        let mut ranges = RevisionRanges::new(&history.graph);
        for at in here {
            if left.contains(&at) && write(&history.graph, &mut ranges, &asked.pairs[at], writer)? {
                left.remove(&at);
            }
        }
    }
    // Nobody knows the newer commit: it stands for itself.
    for at in left {
        let pair = &asked.pairs[at];
        row(writer, pair, &pair.new, 1, 1)?;
    }
    Ok(())
}

async fn asked(engine: &Engine) -> Result<CommitPairs, QueryFailure> {
    let mut asked = CommitPairs::default();
    let mut rows = RowReader::open(engine, &pairs_sql()).await?;
    while let Some(batch) = rows.next().await? {
        let (new_commits, old_commits, sources) =
            (batch.texts(0)?, batch.texts(1)?, batch.texts(2)?);
        let (repositories, collected) = (batch.texts(3)?, batch.flags(4)?);
        let all = batch.flags(5)?;
        for row in 0..batch.rows() {
            let (new, old) = (new_commits.text(row), old_commits.text(row));
            let is_next = |pair: &CommitPair| pair.new != new || pair.old != old;
            if asked.pairs.last().is_none_or(is_next) {
                asked.pairs.push(CommitPair {
                    new: new.to_owned(),
                    old: old.to_owned(),
                    ..CommitPair::default()
                });
            }
            let at = asked.pairs.len() - 1;
            let pair = &mut asked.pairs[at];
            pair.tags |= sources.text(row) == "tags";
            pair.deployments |= sources.text(row) == "deployments";
            pair.wants_all |= all.is_true(row);
            let places = match collected.is_true(row) {
                true => {
                    let repository = repositories.text(row).to_owned();
                    asked.of_repository.entry(repository).or_default()
                }
                false => &mut asked.of_any,
            };
            places.insert(at);
        }
    }
    Ok(asked)
}

/// The rows of a pair; false when the history does not know its newer end.
fn write(
    graph: &CommitGraph,
    ranges: &mut RevisionRanges<'_>,
    pair: &CommitPair,
    writer: &mut RowWriter,
) -> Result<bool> {
    let Some(from) = graph.find(&pair.new) else {
        return Ok(false);
    };
    let to = graph.find(&pair.old);
    if to.is_none() && !pair.wants_all {
        return Ok(true);
    }
    let members = ranges.difference(from, to);
    let depth_first = ranges.depth_first(from, &members);
    let mut topological: Vec<_> = (1..).zip(ranges.topological(&members)).collect();
    topological.sort_unstable_by_key(|(_, node)| *node);
    for (sorting, node) in (1..).zip(depth_first) {
        let at = topological.binary_search_by_key(&node, |(_, node)| *node);
        let place = at.map_or(0, |at| topological[at].0);
        row(writer, pair, &graph.name(node), sorting, place)?;
    }
    Ok(true)
}

fn row(
    writer: &mut RowWriter,
    pair: &CommitPair,
    commit: &str,
    sorting_index: i64,
    topological_index: i64,
) -> Result<()> {
    writer.push([
        Cell::Text(&pair.new),
        Cell::Text(&pair.old),
        Cell::Text(commit),
        Cell::Number(sorting_index),
        Cell::Number(topological_index),
        Cell::Text(pair.source()),
    ])
}
