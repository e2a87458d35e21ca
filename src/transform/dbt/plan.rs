//! Decides which steps become models, and translates them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::super::lineage::engine_without_files;
use super::super::steps::{BASE, CUMULATIVE, PUBLISHED, Step, StepBody, StepGraph, published};
use super::{DbtProject, files};
use crate::engine::{
    Dialect, Engine, StepTranslation, TableName, inline_params, model_type, translate_step,
};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Contract, Contracts};

/// The expressions for the parameters of a run.
const RUN_PARAMS: [(&str, &str); 2] = [
    ("run_id", "'{{ var(\"run_id\", invocation_id) }}'"),
    (
        "recorded_at",
        "CAST('{{ var(\"recorded_at\", run_started_at.strftime(\"%Y-%m-%d %H:%M:%S+00:00\")) }}' AS {type})",
    ),
];

/// A step that is a model.
pub(super) struct DbtModel {
    pub(super) name: TableName,
    /// The contents of the table, as a sentence.
    pub(super) description: String,
    pub(super) sql: String,
    /// `None` for a `base` table with the columns of its query.
    pub(super) contract: Option<Arc<Contract>>,
}

/// A dbt project before it is written.
pub(super) struct DbtPlan<'a> {
    pub(super) dialect: Dialect,
    /// The URL of the lake, which DuckDB reads in place.
    pub(super) lake: Option<&'a str>,
    pub(super) models: Vec<DbtModel>,
    /// The tables that models read from the loaded lake.
    pub(super) sources: BTreeMap<TableName, Arc<Contract>>,
    pub(super) not_models: BTreeMap<TableName, String>,
}

impl StepGraph {
    /// Return the steps as a dbt project. `outside` are the tables (`layer.table`) that a `[[table]]` supplies, `lake` the
    /// URL of the lake.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) for steps that cannot be ordered or planned.
    pub async fn dbt_project(
        &self,
        dialect: Dialect,
        outside: &BTreeSet<String>,
        lake: Option<&str>,
    ) -> Result<DbtProject> {
        let engine = engine_without_files()?;
        let mut plan = DbtPlan {
            dialect,
            lake,
            models: Vec::new(),
            sources: BTreeMap::new(),
            not_models: BTreeMap::new(),
        };
        let mut known: BTreeMap<TableName, Arc<Contract>> = BTreeMap::new();
        for step in self.topological_order(&engine)? {
            let contract = match (&step.contract, &step.work) {
                (None, StepBody::Sql(sql)) => step.inferred_contract(&engine, sql).await?,
                (contract, _) => contract.clone().ok_or_else(no_contract)?,
            };
            engine.register(&contract, &[])?;
            known.insert(step.name.clone(), contract);
            plan.add(&step, &engine, outside, &known)?;
        }
        files::write(&plan)
    }
}

impl DbtPlan<'_> {
    /// Add a step as a model, or as a table that is not a model.
    fn add(
        &mut self,
        step: &Step,
        engine: &Engine,
        outside: &BTreeSet<String>,
        known: &BTreeMap<TableName, Arc<Contract>>,
    ) -> Result<()> {
        let reads = step.reads(engine)?;
        let missing = reads
            .iter()
            .find(|read| read.layer == BASE && self.not_models.contains_key(*read));
        let reason = match (&step.work, missing) {
            _ if is_outside(step, outside) => {
                "a [[table]] of the configuration supplies it".to_owned()
            }
            (StepBody::Native(_), _) => "bitlake computes it without SQL".to_owned(),
            (StepBody::Sql(_), Some(read)) => format!("it reads {read}, which is not a model"),
            (StepBody::Sql(sql), None) if has_jinja(sql) => {
                "its SQL has brackets that dbt would evaluate".to_owned()
            }
            (StepBody::Sql(sql), None) => match self.translate(step, sql, known) {
                Ok(text) => {
                    self.add_model(step, sql, text, reads, known)?;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Usage => {
                    match error.context("construct") {
                        Some(construct) => format!("the dialect does not support `{construct}`"),
                        None => error.to_string(),
                    }
                }
                Err(error) => return Err(error.with("file", &step.origin)),
            },
        };
        self.not_models.insert(step.name.clone(), reason);
        Ok(())
    }

    fn translate(
        &self,
        step: &Step,
        sql: &str,
        known: &BTreeMap<TableName, Arc<Contract>>,
    ) -> Result<String> {
        let contracts = Contracts::bundled()?;
        let contract_of = |table: &TableName| {
            let step = known.get(table).cloned();
            let bundled = || contracts.get(&table.layer, &table.table).cloned();
            step.or_else(|| published(contracts, table))
                .or_else(bundled)
        };
        let columns_of = |table: &TableName| {
            let contract = contract_of(table)?;
            Some(
                contract
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
            )
        };
        let (run, fixed): (Vec<_>, Vec<_>) = step
            .params
            .iter()
            .cloned()
            .partition(|param| RUN_PARAMS.iter().any(|(name, _)| *name == param.name));
        let timestamp = model_type(
            &DataType::Timestamp(TimeUnit::Microsecond, None),
            self.dialect,
        )?;
        let params = RUN_PARAMS
            .iter()
            .filter(|(name, _)| run.iter().any(|param| param.name == *name));
        let params =
            params.map(|(name, text)| ((*name).to_owned(), text.replace("{type}", timestamp)));
        translate_step(
            &inline_params(sql, &fixed)?,
            self.dialect,
            &StepTranslation {
                contract: step.contract.as_deref(),
                columns_of: &columns_of,
                table: &|table| self.reference(table),
                params: &params.collect(),
            },
        )
    }

    /// Return how a model names a table that it reads.
    fn reference(&self, table: &TableName) -> String {
        if self.models.iter().any(|model| model.name == *table) {
            return format!("{{{{ ref('{}') }}}}", model_name(table));
        }
        let table = source_of(table);
        format!(
            "{{{{ source('{}', '{}') }}}}",
            source_name(&table.layer),
            table.table
        )
    }

    fn add_model(
        &mut self,
        step: &Step,
        sql: &str,
        text: String,
        reads: &[TableName],
        known: &BTreeMap<TableName, Arc<Contract>>,
    ) -> Result<()> {
        let contracts = Contracts::bundled()?;
        for read in reads {
            if self.models.iter().any(|model| model.name == *read) {
                continue;
            }
            let source = source_of(read);
            let contract = contracts
                .get(&source.layer, &source.table)
                .or_else(|| known.get(read));
            let contract = contract.ok_or_else(no_contract)?;
            self.sources.insert(source, Arc::clone(contract));
        }
        let described = step
            .contract
            .as_ref()
            .map(|contract| contract.description.clone());
        let described = described.filter(|description| !description.is_empty());
        let question = sql.lines().next().unwrap_or_default();
        self.models.push(DbtModel {
            name: step.name.clone(),
            description: described.unwrap_or_else(|| question.trim_start_matches("-- ").to_owned()),
            sql: text,
            contract: step.contract.clone(),
        });
        Ok(())
    }
}

/// Return whether dbt would evaluate a part of the SQL as a template.
fn has_jinja(sql: &str) -> bool {
    ["{{", "{%", "{#"]
        .iter()
        .any(|bracket| sql.contains(bracket))
}

/// Return whether a `[[table]]` supplies the rows of the step's table, or of the domain table that a base table prepares.
fn is_outside(step: &Step, outside: &BTreeSet<String>) -> bool {
    let based = step.name.layer == BASE && step.contract.is_some();
    let domain = TableName::new("domain", &step.name.table).to_string();
    outside.contains(&step.name.to_string()) || (based && outside.contains(&domain))
}

/// Return the table of the lake that has the rows: for a step's own published rows, the table itself.
fn source_of(table: &TableName) -> TableName {
    match table.layer == PUBLISHED {
        true => TableName::new(CUMULATIVE, &table.table),
        false => table.clone(),
    }
}

/// Return the name of a model, which is unique in the project.
pub(super) fn model_name(table: &TableName) -> String {
    format!("{}_{}", table.layer, table.table)
}

/// Return the name of the source of a layer's loaded tables.
pub(super) fn source_name(layer: &str) -> String {
    format!("lake_{layer}")
}

fn no_contract() -> Error {
    Error::new(ErrorKind::Internal, "table has no contract")
}
