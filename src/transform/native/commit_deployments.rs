//! `dora.commit_deployments`: the first deployment of each commit to production.
//!
//! A chain is the sequence of successful deployments of one scope and repository to one production environment, ordered
//! by finish time. `Prod EU` and `Prod US` are two environments. A deployed commit that is not in the history of the
//! repository gets a row of its own and has no ancestors.

use std::collections::BTreeMap;

use super::group_reader::GroupReader;
use super::repository_graphs::{GRAPHS, RepositoryGraphs};
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, GraphBuilder, NOT_CONTAINED};

const CHAINS: &str = "
    SELECT repo_id, cicd_scope_id, original_environment, id, cicd_deployment_id, commit_sha
    FROM base.deployed_commits
    WHERE environment = 'PRODUCTION' AND result = 'SUCCESS' AND finished_date IS NOT NULL
    ORDER BY repo_id, cicd_scope_id, original_environment,
             finished_date, started_date NULLS FIRST, id, commit_sha";

pub(super) fn queries() -> Vec<String> {
    [GRAPHS, CHAINS].map(str::to_owned).into()
}

struct Deployment {
    id: String,
    deployment_id: String,
    commit: String,
}

struct Chain {
    scope: String,
    environment: String,
    deployments: Vec<Deployment>,
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let mut rows = GroupReader::open(engine, CHAINS).await?;
    let mut graphs = RepositoryGraphs::open(engine).await?;
    let mut graph = match graphs.covers_all() {
        true => graphs.read("").await?,
        false => GraphBuilder::default().finish(),
    };
    while let Some(repository) = rows.next_group().await? {
        if !graphs.covers_all() {
            let own = graphs.find(&repository).await?;
            graph = own.unwrap_or_else(|| GraphBuilder::default().finish());
        }
        for chain in chains(&mut rows, &repository).await? {
            label(&repository, &chain, &graph, writer).await?;
        }
    }
    Ok(())
}

/// Read the chains of a repository.
async fn chains(rows: &mut GroupReader, repository: &str) -> Result<Vec<Chain>, QueryFailure> {
    let mut chains: Vec<Chain> = Vec::new();
    while let Some(batch) = rows.rows_of(repository).await? {
        let (scopes, environments) = (batch.texts(1)?, batch.texts(2)?);
        let (ids, deployment_ids) = (batch.texts(3)?, batch.texts(4)?);
        let commits = batch.texts(5)?;
        for row in 0..batch.rows() {
            let (scope, environment) = (scopes.text(row), environments.text(row));
            let is_continued =
                |chain: &&mut Chain| chain.scope == scope && chain.environment == environment;
            let deployment = Deployment {
                id: ids.text(row).to_owned(),
                deployment_id: deployment_ids.text(row).to_owned(),
                commit: commits.text(row).to_owned(),
            };
            match chains.last_mut().filter(is_continued) {
                Some(chain) => chain.deployments.push(deployment),
                None => chains.push(Chain {
                    scope: scope.to_owned(),
                    environment: environment.to_owned(),
                    deployments: vec![deployment],
                }),
            }
        }
    }
    Ok(chains)
}

/// Write a row for each commit that the chain deploys.
async fn label(
    repository: &str,
    chain: &Chain,
    graph: &CommitGraph,
    writer: &mut RowWriter,
) -> Result<(), QueryFailure> {
    let nodes: Vec<_> = chain
        .deployments
        .iter()
        .map(|deployment| graph.find(&deployment.commit))
        .collect();
    let labels = graph.first_containing(nodes.iter().copied());
    for (node, label) in (0..).zip(labels) {
        if label != NOT_CONTAINED {
            let commit = graph.name(node);
            chain
                .write(repository, &commit, label as usize, writer)
                .await?;
        }
    }
    let mut without_history: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, (deployment, node)) in chain.deployments.iter().zip(&nodes).enumerate() {
        if node.is_none() {
            without_history.entry(&deployment.commit).or_insert(index);
        }
    }
    for (commit, index) in without_history {
        chain.write(repository, commit, index, writer).await?;
    }
    Ok(())
}

impl Chain {
    /// Write the row of a commit that the deployment at `index` was the first to contain.
    async fn write(
        &self,
        repository: &str,
        commit: &str,
        index: usize,
        writer: &mut RowWriter,
    ) -> Result<(), QueryFailure> {
        let Some(deployment) = self.deployments.get(index) else {
            return Ok(());
        };
        let row = [
            Cell::Text(&self.scope),
            Cell::Text(repository),
            Cell::Text(&self.environment),
            Cell::Text(commit),
            Cell::Text(&deployment.id),
            Cell::Text(&deployment.deployment_id),
            Cell::Number(index as i64 + 1),
        ];
        writer.push(row).await
    }
}
