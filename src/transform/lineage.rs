//! Finds the columns that each column of a table is computed from, by the plans of the steps' SQL.
//!
//! The plans need no data: every table is registered without files. Base tables are never published, and are replaced by
//! the tables that they read.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::steps::{BASE, CUMULATIVE, PUBLISHED, StepBody, StepGraph};
use crate::engine::{Engine, TableName};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contracts;

/// A column of a table.
pub type SourceColumn = (TableName, String);

/// Where the rows of a table come from.
#[derive(Debug, Clone, Default)]
pub struct TableLineage {
    /// The tables of the lake that the step reads, directly or by base tables.
    pub reads: BTreeSet<TableName>,
    /// The columns of these tables from which each column is computed. Empty for a native step.
    pub columns: BTreeMap<String, BTreeSet<SourceColumn>>,
}

/// Return an engine in which every table of the lake is registered without files.
pub(super) fn engine_without_files() -> Result<Engine> {
    let engine = Engine::new(None)?;
    for contract in Contracts::bundled()?.iter() {
        engine.register(contract, &[])?;
        if contract.layer == CUMULATIVE {
            engine.register(&contract.in_layer(PUBLISHED), &[])?;
        }
    }
    Ok(engine)
}

impl StepGraph {
    /// Return where the rows of each published table come from.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for steps that cannot be ordered or planned.
    pub async fn lineage(&self) -> Result<BTreeMap<TableName, TableLineage>> {
        let engine = engine_without_files()?;
        let mut all: BTreeMap<TableName, TableLineage> = BTreeMap::new();
        for step in self.topological_order(&engine)? {
            let mut own = TableLineage::default();
            let mut columns = BTreeMap::new();
            if let StepBody::Sql(sql) = &step.work {
                let frame = engine.plan(sql, &step.params).await?;
                let plan = frame.logical_plan();
                let names = plan
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| field.name().clone());
                columns = names.zip(sources(plan)).collect();
            }
            let contract = match (&step.contract, &step.work) {
                (None, StepBody::Sql(sql)) => step.inferred_contract(&engine, sql).await?,
                (contract, _) => contract.clone().ok_or_else(no_contract)?,
            };
            engine.register(&contract, &[])?;
            for read in step.reads(&engine)? {
                match all.get(read).filter(|_| read.layer == BASE) {
                    Some(base) => own.reads.extend(base.reads.iter().cloned()),
                    None => drop(own.reads.insert(published(read))),
                }
            }
            for (name, sources) in columns {
                let found = sources.iter().flat_map(|(table, column)| {
                    let base = all.get(table).filter(|_| table.layer == BASE);
                    match base {
                        Some(base) => base.columns.get(column).cloned().unwrap_or_default(),
                        None => BTreeSet::from([(published(table), column.clone())]),
                    }
                });
                own.columns.insert(name, found.collect());
            }
            all.insert(step.name.clone(), own);
        }
        all.retain(|table, _| table.layer != BASE);
        Ok(all)
    }
}

/// Return the table itself for a step's own published rows, and any other table unchanged.
fn published(table: &TableName) -> TableName {
    match table.layer == PUBLISHED {
        true => TableName::new(CUMULATIVE, &table.table),
        false => table.clone(),
    }
}

fn no_contract() -> Error {
    Error::new(ErrorKind::Internal, "table has no contract")
}

/// The columns from which one column is computed.
type Sources = BTreeSet<SourceColumn>;

/// Return the sources of each column of a plan.
fn sources(plan: &LogicalPlan) -> Vec<Sources> {
    let mut found = match plan {
        LogicalPlan::TableScan(scan) => {
            let table = scan
                .table_name
                .schema()
                .map(|layer| TableName::new(layer, scan.table_name.table()));
            let fields = scan.projected_schema.fields().iter();
            fields
                .map(|field| {
                    table
                        .iter()
                        .map(|table| (table.clone(), field.name().clone()))
                        .collect()
                })
                .collect()
        }
        LogicalPlan::Projection(projection) => of_expressions(&projection.expr, &projection.input),
        LogicalPlan::Aggregate(aggregate) => {
            let mut found = of_expressions(&aggregate.group_expr, &aggregate.input);
            found.extend(of_expressions(&aggregate.aggr_expr, &aggregate.input));
            found
        }
        LogicalPlan::Window(window) => {
            let mut found = sources(&window.input);
            found.extend(of_expressions(&window.window_expr, &window.input));
            found
        }
        LogicalPlan::Unnest(unnest) => {
            let input = sources(&unnest.input);
            let indices = unnest.dependency_indices.iter();
            indices
                .map(|n| input.get(*n).cloned().unwrap_or_default())
                .collect()
        }
        LogicalPlan::Join(join) => {
            let mut found = sources(&join.left);
            found.extend(sources(&join.right));
            found
        }
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .map(|input| sources(input))
            .reduce(merge)
            .unwrap_or_default(),
        LogicalPlan::RecursiveQuery(query) => {
            merge(sources(&query.static_term), sources(&query.recursive_term))
        }
        LogicalPlan::Distinct(Distinct::On(on)) => of_expressions(&on.select_expr, &on.input),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Vec::new(),
        // Filters, sorts, limits and aliases have the columns of their input.
        other => other
            .inputs()
            .first()
            .map(|input| sources(input))
            .unwrap_or_default(),
    };
    found.resize(plan.schema().fields().len(), Sources::new());
    found
}

/// Unite the sources of columns at the same positions.
fn merge(left: Vec<Sources>, right: Vec<Sources>) -> Vec<Sources> {
    let mut right = right.into_iter();
    let merged = left.into_iter().map(|mut sources| {
        sources.extend(right.next().into_iter().flatten());
        sources
    });
    merged.collect()
}

fn of_expressions(expressions: &[Expr], input: &LogicalPlan) -> Vec<Sources> {
    let known = sources(input);
    let found = expressions
        .iter()
        .map(|expression| of_expression(expression, input.schema(), &known));
    found.collect()
}

fn of_expression(expression: &Expr, schema: &DFSchema, known: &[Sources]) -> Sources {
    let mut found = Sources::new();
    // The closure returns no error.
    let _ = expression.apply(|node| {
        match node {
            Expr::Column(column) => {
                let place = schema.maybe_index_of_column(column);
                found.extend(
                    place
                        .and_then(|n| known.get(n))
                        .into_iter()
                        .flatten()
                        .cloned(),
                );
            }
            Expr::ScalarSubquery(query) => {
                found.extend(
                    sources(&query.subquery)
                        .into_iter()
                        .next()
                        .into_iter()
                        .flatten(),
                );
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(table: &str) -> TableLineage {
        let steps = StepGraph::find(None).unwrap();
        let (layer, table) = table.split_once('.').unwrap();
        steps.lineage().await.unwrap()[&TableName::new(layer, table)].clone()
    }

    fn named(sources: &BTreeSet<SourceColumn>) -> Vec<String> {
        let names = sources
            .iter()
            .map(|(table, column)| format!("{table}.{column}"));
        names.collect()
    }

    #[tokio::test]
    async fn a_column_comes_from_the_columns_of_its_expression() {
        let repos = of("domain.board_repos").await;
        assert_eq!(named(&repos.columns["board_id"]), ["domain.boards.id"]);
        let changes = of("domain.cicd_tasks").await;
        assert!(
            named(&changes.columns["name"]).contains(&"bitbucket.pipeline_steps.name".to_owned())
        );
    }

    #[tokio::test]
    async fn base_tables_are_replaced_by_what_they_read() {
        let requests = of("domain.pull_requests").await;
        assert_eq!(
            named(&requests.columns["title"]),
            ["bitbucket.pull_requests.title"]
        );
        assert!(
            requests.reads.iter().all(|table| table.layer != BASE),
            "{:?}",
            requests.reads
        );
        assert!(
            requests
                .reads
                .contains(&TableName::new("bitbucket", "commits"))
        );
    }

    #[tokio::test]
    async fn a_table_that_reads_its_own_rows_and_native_steps_have_their_inputs() {
        let history = of("metrics.history").await;
        assert_eq!(
            named(&history.columns["value"]),
            ["metrics.dora.value", "metrics.history.value"]
        );
        let native = of("domain.ref_commits").await;
        assert!(native.columns.is_empty() && !native.reads.is_empty());
    }
}
