//! `dora.commit_deployments`: the first deployment of each commit to production.
//!
//! A chain is the sequence of successful deployments of one scope and repository to one production environment, ordered
//! by finish time. `Prod EU` and `Prod US` are two environments. A deployed commit that is not in the history of the
//! repository gets a row of its own and has no ancestors.

use std::collections::BTreeMap;

use super::deployed;
use super::repository_graphs::{self, RepositoryGraphs};
use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use crate::engine::Engine;
use crate::error::Result;
use crate::transform::write::QueryFailure;
use bitlake_graph::{CommitGraph, GraphBuilder, NOT_CONTAINED};

fn chains_sql() -> String {
    let ctes = deployed::CTES;
    format!(
        "WITH {ctes}
        SELECT repo_id, cicd_scope_id, original_environment, id, cicd_deployment_id, commit_sha
        FROM deployed
        WHERE environment = 'PRODUCTION' AND result = 'SUCCESS' AND finished_date IS NOT NULL
        ORDER BY repo_id, cicd_scope_id, original_environment,
                 finished_date, started_date NULLS FIRST, id, commit_sha"
    )
}

pub(super) fn queries() -> Vec<String> {
    let mut queries = repository_graphs::queries().to_vec();
    queries.push(chains_sql());
    queries
}

struct Deployment {
    id: String,
    deployment_id: String,
    commit: String,
}

#[derive(Default)]
struct Chain {
    repository: String,
    scope: String,
    environment: String,
    deployments: Vec<Deployment>,
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let mut chains = chains(engine).await?;
    let mut graphs = RepositoryGraphs::open(engine).await?;
    while let Some(history) = graphs.next(|id| chains.contains_key(id)).await? {
        let own_chains = match &history.repository {
            Some(id) => chains.remove(id).unwrap_or_default(),
            None => std::mem::take(&mut chains)
                .into_values()
                .flatten()
                .collect(),
        };
        for chain in &own_chains {
            label(chain, &history.graph, writer)?;
        }
    }
    let unknown = GraphBuilder::default().finish();
    for chain in chains.into_values().flatten() {
        label(&chain, &unknown, writer)?;
    }
    Ok(())
}

/// Read the chains of each repository.
async fn chains(engine: &Engine) -> Result<BTreeMap<String, Vec<Chain>>, QueryFailure> {
    let mut chains: BTreeMap<String, Vec<Chain>> = BTreeMap::new();
    let mut rows = RowReader::open(engine, &chains_sql()).await?;
    while let Some(batch) = rows.next().await? {
        let (repositories, scopes) = (batch.texts(0)?, batch.texts(1)?);
        let (environments, ids) = (batch.texts(2)?, batch.texts(3)?);
        let (deployment_ids, commits) = (batch.texts(4)?, batch.texts(5)?);
        for row in 0..batch.rows() {
            let repository = repositories.text(row);
            let (scope, environment) = (scopes.text(row), environments.text(row));
            let known_chains = chains.entry(repository.to_owned()).or_default();
            let is_continued =
                |chain: &&mut Chain| chain.scope == scope && chain.environment == environment;
            let deployment = Deployment {
                id: ids.text(row).to_owned(),
                deployment_id: deployment_ids.text(row).to_owned(),
                commit: commits.text(row).to_owned(),
            };
            match known_chains.last_mut().filter(is_continued) {
                Some(chain) => chain.deployments.push(deployment),
                None => known_chains.push(Chain {
                    repository: repository.to_owned(),
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
fn label(chain: &Chain, graph: &CommitGraph, writer: &mut RowWriter) -> Result<()> {
    let nodes: Vec<_> = chain
        .deployments
        .iter()
        .map(|deployment| graph.find(&deployment.commit))
        .collect();
    let mut row = |commit: &str, index: usize| {
        let Some(deployment) = chain.deployments.get(index) else {
            return Ok(());
        };
        writer.push([
            Cell::Text(&chain.scope),
            Cell::Text(&chain.repository),
            Cell::Text(&chain.environment),
            Cell::Text(commit),
            Cell::Text(&deployment.id),
            Cell::Text(&deployment.deployment_id),
            Cell::Number(index as i64 + 1),
        ])
    };
    let labels = graph.first_containing(nodes.iter().copied());
    for (node, label) in (0..).zip(labels) {
        if label != NOT_CONTAINED {
            row(&graph.name(node), label as usize)?;
        }
    }
    let mut without_history: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, (deployment, node)) in chain.deployments.iter().zip(&nodes).enumerate() {
        if node.is_none() {
            without_history.entry(&deployment.commit).or_insert(index);
        }
    }
    for (commit, index) in without_history {
        row(commit, index)?;
    }
    Ok(())
}
