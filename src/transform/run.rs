//! One transform: the tables that it has staged, and the order in which it makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::published::{engine_over, register_published};
use super::run_step::{register_with_unique_key, register_written, run_step};
use super::steps::{self, StepGraph};
use super::write::{self, WrittenFiles};
use super::{CheckResults, TransformReport, buckets, damage, outside, report, settings};
use crate::config::{AssignedRepository, Config};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{Inventory, Lake, Manifest, NextFile, NextTable, RepositoryState};
use crate::schema::{Contract, Contracts};

/// The part of a table that its step made, beside the parts that `[[table]]` adds.
const STEP_PART: &str = "made";

/// The state of one transform.
pub(super) struct TransformRun<'a> {
    pub(super) config: &'a Config,
    pub(super) lake: &'a Lake,
    pub(super) engine: Engine,
    pub(super) contracts: Contracts,
    pub(super) steps: StepGraph,
    pub(super) inventory: &'a Inventory,
    /// The published files that can be read.
    pub(super) manifest: Manifest,
    staging: TempDir,
    /// The tables to publish, by `layer.table`.
    pub(super) tables: BTreeMap<String, NextTable>,
    /// The parts that `[[table]]` gives, in the schema `given`.
    given_parts: Vec<(Arc<Contract>, String)>,
    /// The parts that `[[table]]` adds to the tables of steps, in the schema `given`.
    added_parts: BTreeMap<TableName, Vec<String>>,
    /// The tables that are registered and final. A step whose table is among them does not run.
    pub(super) registered: BTreeSet<TableName>,
    pub(super) report: TransformReport,
}

impl<'a> TransformRun<'a> {
    pub(super) fn new(
        config: &'a Config,
        lake: &'a Lake,
        contracts: Contracts,
        steps: StepGraph,
        inventory: &'a Inventory,
        states: &[RepositoryState],
    ) -> Result<Self> {
        let staging = tempfile::Builder::new()
            .prefix("bitlake-staging-")
            .tempdir()
            .or_error(ErrorKind::Lake, "cannot create the staging folder")
            .map_err(|error| error.hint("set TMPDIR to a folder with free space"))?;
        Ok(Self {
            config,
            lake,
            engine: engine_over(lake, config.lake.memory_limit)?,
            contracts,
            steps,
            inventory,
            manifest: damage::readable(inventory, states),
            staging,
            tables: BTreeMap::new(),
            given_parts: Vec::new(),
            added_parts: BTreeMap::new(),
            registered: BTreeSet::new(),
            report: TransformReport::default(),
        })
    }

    /// Return the staging folder of a table.
    pub(super) fn folder(&self, layer: &str, table: &str) -> PathBuf {
        self.staging.path().join(layer).join(table)
    }

    /// Stage the configuration as tables.
    pub(super) fn stage_settings(
        &mut self,
        states: &[RepositoryState],
        assigned: &[AssignedRepository],
    ) -> Result<()> {
        for (table, rows) in settings::tables(self.config, states, assigned)? {
            self.stage_setting(table, &rows)?;
        }
        Ok(())
    }

    fn stage_setting(&mut self, table: &str, rows: &[serde_json::Value]) -> Result<()> {
        let contract = self.contracts.require("config", table)?.clone();
        let path = self.folder("config", table).join("part-0.parquet");
        let files = vec![(None, settings::write(&contract, rows, &path)?)];
        register_written(&self.engine, &contract, &files)?;
        self.stage(&contract, files);
        Ok(())
    }

    /// Stage the periods of every project that the configuration or a `[[table]]` names.
    pub(super) async fn stage_buckets(
        &mut self,
        states: &[RepositoryState],
        assigned: &[AssignedRepository],
        as_of: Option<DateTime<Utc>>,
    ) -> Result<()> {
        if self
            .registered
            .contains(&TableName::new("config", "buckets"))
        {
            return Ok(());
        }
        let longest = self.config.lake.longest_span;
        let outside = outside::outline(&self.engine, &self.given_parts, longest).await?;
        let mut clocks = outside.clocks;
        for project in &self.config.projects {
            clocks.insert(project.name.clone(), (project.timezone, project.week_start));
        }
        let mut rows = Vec::new();
        for (project, (zone, week_start)) in clocks {
            let collected = settings::collected(&project, states, assigned);
            let Some((from, until)) = collected.or(outside.times) else {
                continue;
            };
            let span = buckets::BucketSpan {
                project,
                zone,
                week_start,
                from,
                until: as_of.map_or(until, |as_of| until.min(as_of)),
            };
            rows.extend(span.rows());
        }
        self.stage_setting("buckets", &rows)
    }

    /// Read every `[[table]]`. Stage those that replace a table, keep the parts that add to the table of a step, and
    /// record the rows of each.
    pub(super) async fn stage_outside(&mut self) -> Result<()> {
        let mut replaced = BTreeMap::new();
        let mut rows = Vec::new();
        for (n, given) in self.config.tables.iter().enumerate() {
            let contract = self.contract(&given.layer, &given.table)?;
            let contract = self.steps.input_contract(&contract);
            let part = format!("part_{n}");
            let folder = self.staging.path().join(outside::GIVEN);
            let read = outside::read(
                &self.engine,
                given,
                &self.config.lake.options,
                &contract,
                &part,
                &folder,
            )
            .await?;
            rows.push(settings::outside_table(n, given, read.rows));
            self.report.nulled.extend(read.nulled);
            self.given_parts.push((Arc::clone(&contract), part.clone()));
            let name = TableName::new(&contract.layer, &contract.table);
            self.added_parts.entry(name.clone()).or_default().push(part);
            if !given.add || !self.steps.has_step(&name) {
                replaced.insert(name, contract);
            }
        }
        for (name, contract) in replaced {
            let parts = self.added_parts.remove(&name).unwrap_or_default();
            self.stage_union(&contract, &parts).await?;
        }
        self.stage_setting("outside_tables", &rows)
    }

    /// Stage the union of the given parts as the table.
    async fn stage_union(&mut self, contract: &Contract, parts: &[String]) -> Result<()> {
        let folder = self.folder(&contract.layer, &contract.table);
        let sql = outside::union(contract, parts);
        let table = write::query(&self.engine, &sql, &[], contract, &folder).await?;
        register_with_unique_key(&self.engine, contract, &table).await?;
        self.stage(contract, table.files);
        Ok(())
    }

    fn contract(&self, layer: &str, table: &str) -> Result<Arc<Contract>> {
        self.contracts.get(layer, table).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "there is no such table")
                .with("table", format!("{layer}.{table}"))
                .hint("`bitlake tables` lists them")
        })
    }

    /// Register the published tables for steps that do not run now, and the previous version of the tables that read
    /// themselves.
    pub(super) fn register_published(&self) -> Result<()> {
        let missing = self.contracts.all().filter(|contract| {
            let name = TableName::new(&contract.layer, &contract.table);
            !self.registered.contains(&name)
        });
        register_published(&self.engine, self.lake, &self.manifest, missing)?;
        for contract in self.contracts.layer(steps::CUMULATIVE) {
            let files = super::published::files(self.lake, &self.manifest, contract)?;
            let previous = contract.in_layer(steps::PUBLISHED);
            self.engine.register(&previous, &files)?;
        }
        Ok(())
    }

    /// Run the steps in dependency order, without those whose table is registered or whose layer is not in `only`.
    pub(super) async fn run_steps(&mut self, only: Option<&BTreeSet<String>>) -> Result<()> {
        for step in self.steps.topological_order(&self.engine)? {
            let layer = match step.name.layer.as_str() {
                steps::BASE => "domain",
                layer => layer,
            };
            let is_selected = only.is_none_or(|layers| layers.contains(layer));
            if !is_selected || self.registered.contains(&step.name) {
                continue;
            }
            let folder = self.folder(&step.name.layer, &step.name.table);
            let Some(mut parts) = self.added_parts.remove(&step.name) else {
                let (contract, files) = run_step(&self.engine, &step, &folder).await?;
                self.stage(&contract, files);
                continue;
            };
            let (contract, files) = run_step(&self.engine, &step, &folder.join(STEP_PART)).await?;
            let made = files.iter().map(|(_, written)| TableFile::written(written));
            self.engine.register_parquet(
                outside::GIVEN,
                STEP_PART,
                contract.arrow_schema(),
                &made.collect::<Result<Vec<_>>>()?,
            )?;
            parts.push(STEP_PART.to_owned());
            self.stage_union(&contract, &parts).await?;
        }
        Ok(())
    }

    /// Run the checks, whose findings go to the run report.
    pub(super) async fn run_checks(&self) -> Result<CheckResults> {
        report::run_checks(&self.engine, |_| true).await
    }

    /// Record written files, which are registered already, as a table to publish. Tables of `base` are not published.
    fn stage(&mut self, contract: &Contract, files: WrittenFiles) {
        self.registered
            .insert(TableName::new(&contract.layer, &contract.table));
        if contract.layer == steps::BASE {
            return;
        }
        let rows = files.iter().map(|(_, written)| written.rows).sum();
        self.report.rows.insert(contract.name(), rows);
        let mut next = NextTable {
            schema_version: contract.version,
            ..NextTable::default()
        };
        for (partition, written) in files {
            let path = crate::lake::layout::table_file(contract, partition.as_deref());
            next.files.insert(path, NextFile::Staged(written));
        }
        self.tables.insert(contract.name(), next);
    }
}
