//! `domain.commits_diffs`: the commits that the newer of two tags, or of two successive deployments, has and the older
//! one has not.
//!
//! The definition is DevLake's, with two exceptions. The whole history of a commit without a predecessor is written
//! only if the rules ask for it (`commits_diffs = "all"`). A predecessor that is not among the collected commits makes
//! the range unknown, so it has no rows; DevLake treats it as no predecessor.

use std::collections::{BTreeMap, BTreeSet};

use super::repository_graphs::{GRAPHS, RepositoryGraphs};
use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use crate::engine::{Engine, TableName};
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, RevisionRanges};

/// A deployment is compared with each of its predecessors, of which there are several if several commits were deployed
/// at once. Deployments from outside tables count if a project maps their scope, as in DevLake, or if no project maps
/// any scope.
const PAIRS: &str = r#"
    WITH collected AS (
        SELECT DISTINCT repo_id FROM domain.repo_commits
    ),
    pairs AS (
        SELECT d.repo_id, d.commit_sha AS new_sha, coalesce(p.commit_sha, '') AS old_sha, 'deployments' AS pair_source
        FROM base.deployed_commits AS d
        LEFT JOIN domain.cicd_deployment_commits AS p
          ON p.id = d.prev_success_deployment_commit_id AND p.id <> ''
        WHERE d.deployment_source <> ''
           OR d.cicd_scope_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes')
           OR (SELECT count(*) FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes') = 0
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
    ORDER BY p.new_sha, p.old_sha, p.pair_source, p.repo_id"#;

pub(super) fn queries() -> Vec<String> {
    [GRAPHS, PAIRS].map(str::to_owned).into()
}

/// Return the columns that have the newer commits of all pairs.
pub(super) fn newer_commits() -> Vec<(TableName, &'static str)> {
    let deployments = TableName::new("domain", "cicd_deployment_commits");
    let tags = TableName::new("domain", "ref_commits");
    vec![(deployments, "commit_sha"), (tags, "new_commit_sha")]
}

/// Two commits to compare, and the sources of the pair.
#[derive(Default)]
struct CommitPair {
    new: String,
    old: String,
    tags: bool,
    deployments: bool,
    /// Write the whole history of the newer commit if the older one is unknown.
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

/// The pairs, and the indices of those to look up in each repository.
#[derive(Default)]
struct CommitPairs {
    pairs: Vec<CommitPair>,
    by_repository: BTreeMap<String, BTreeSet<usize>>,
    /// Pairs to look up in every repository, because theirs is not collected.
    in_any_repository: BTreeSet<usize>,
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let asked = read_pairs(engine).await?;
    let mut remaining: BTreeMap<usize, &CommitPair> = asked.pairs.iter().enumerate().collect();
    let is_needed =
        |id: &str| !asked.in_any_repository.is_empty() || asked.by_repository.contains_key(id);
    let mut graphs = RepositoryGraphs::open(engine).await?;
    while let Some(repository) = graphs.next_repository().await? {
        let here: Vec<usize> = if graphs.covers_all() {
            remaining.keys().copied().collect()
        } else if is_needed(&repository) {
            let own = asked.by_repository.get(&repository).into_iter().flatten();
            own.chain(&asked.in_any_repository).copied().collect()
        } else {
            graphs.skip(&repository).await?;
            continue;
        };
        let graph = graphs.read(&repository).await?;
        let mut ranges = RevisionRanges::new(&graph);
        for index in here {
            if let Some(pair) = remaining.get(&index)
                && write(&graph, &mut ranges, pair, writer).await?
            {
                remaining.remove(&index);
            }
        }
    }
    // No history contains the newer commit, so it is the only commit of its range.
    for pair in remaining.values() {
        row(writer, pair, &pair.new, 1, 1).await?;
    }
    Ok(())
}

async fn read_pairs(engine: &Engine) -> Result<CommitPairs, QueryFailure> {
    let mut asked = CommitPairs::default();
    let mut rows = RowReader::open(engine, PAIRS).await?;
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
            if let Some(pair) = asked.pairs.last_mut() {
                pair.tags |= sources.text(row) == "tags";
                pair.deployments |= sources.text(row) == "deployments";
                pair.wants_all |= all.is_true(row);
            }
            let index = asked.pairs.len().saturating_sub(1);
            let indices = match collected.is_true(row) {
                true => {
                    let repository = repositories.text(row).to_owned();
                    asked.by_repository.entry(repository).or_default()
                }
                false => &mut asked.in_any_repository,
            };
            indices.insert(index);
        }
    }
    Ok(asked)
}

/// Write the rows of a pair. Return false if the history does not contain its newer commit.
async fn write(
    graph: &CommitGraph,
    ranges: &mut RevisionRanges<'_>,
    pair: &CommitPair,
    writer: &mut RowWriter,
) -> Result<bool, QueryFailure> {
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
        let position = at.ok().and_then(|at| topological.get(at));
        let place = position.map_or(0, |(place, _)| *place);
        row(writer, pair, &graph.name(node), sorting, place).await?;
    }
    Ok(true)
}

async fn row(
    writer: &mut RowWriter,
    pair: &CommitPair,
    commit: &str,
    sorting_index: i64,
    topological_index: i64,
) -> Result<(), QueryFailure> {
    let row = [
        Cell::Text(&pair.new),
        Cell::Text(&pair.old),
        Cell::Text(commit),
        Cell::Number(sorting_index),
        Cell::Number(topological_index),
        Cell::Text(pair.source()),
    ];
    writer.push(row).await
}
