//! One transform: the tables that it has staged, and the order in which it makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::incremental::RowOwner;
use super::kept::{self, MadeFrom};
use super::parts::Part;
use super::published::{self, engine_over};
use super::run_step::register_written;
use super::run_steps::write_union;
use super::steps::{self, BASE, Step, StepBody, StepGraph};
use super::stored::StoredTables;
use super::write::WrittenFiles;
use super::{TransformReport, buckets, damage, outside, settings};
use crate::cluster::Cluster;
use crate::config::{AssignedRepository, Config};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::layout::{base_file, table_file};
use crate::lake::{Inventory, Lake, Manifest, NextFile, NextTable, RepositoryState, WrittenFile};
use crate::schema::{Contract, Contracts};

/// The state of one transform.
pub(super) struct TransformRun<'a> {
    pub(super) config: &'a Config,
    pub(super) lake: &'a Lake,
    pub(super) engine: Arc<Engine>,
    pub(super) contracts: Contracts,
    pub(super) steps: StepGraph,
    pub(super) inventory: &'a Inventory,
    /// The published files that can be read.
    pub(super) manifest: Manifest,
    staging: TempDir,
    /// The tables to publish and the base tables to store, by `layer.table`.
    pub(super) tables: BTreeMap<String, NextTable>,
    /// The parts that `[[table]]` gives, in the schema `given`.
    given_parts: Vec<(Arc<Contract>, String)>,
    /// The parts that `[[table]]` adds to the tables of steps, in the schema `given`, with the SHA-256 of each.
    pub(super) added_parts: BTreeMap<TableName, BTreeMap<String, String>>,
    /// The digests of the tables that are final. A step whose table is among them does not run.
    pub(super) contents: BTreeMap<TableName, String>,
    /// The repositories that the configuration selects.
    pub(super) repositories: &'a [AssignedRepository],
    /// The base tables as the last transform stored them.
    pub(super) stored: StoredTables,
    /// What tables are made of in parts. Empty if every table is made whole.
    pub(super) parts: BTreeMap<RowOwner, Part>,
    /// The tables that differ from the published ones in rows of a part only.
    pub(super) made_in_parts: BTreeMap<TableName, RowOwner>,
    /// The tables that are registered in the engine.
    registered: BTreeSet<TableName>,
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
        repositories: &'a [AssignedRepository],
    ) -> Result<Self> {
        let staging = staging_builder()
            .tempdir()
            .or_error(ErrorKind::Lake, CANNOT_STAGE)
            .map_err(|error| error.hint("set TMPDIR to a folder with free space"))?;
        Ok(Self {
            config,
            lake,
            engine: Arc::new(engine_over(lake, config.lake.memory_limit)?),
            contracts,
            steps,
            inventory,
            manifest: damage::readable(inventory, states),
            staging,
            tables: BTreeMap::new(),
            given_parts: Vec::new(),
            added_parts: BTreeMap::new(),
            contents: BTreeMap::new(),
            repositories,
            stored: StoredTables::default(),
            parts: BTreeMap::new(),
            made_in_parts: BTreeMap::new(),
            registered: BTreeSet::new(),
            report: TransformReport::default(),
        })
    }

    /// Let SQL steps run on workers. Nothing is staged yet.
    pub(super) fn use_cluster(&mut self, cluster: Cluster) -> Result<()> {
        if let Some(folder) = cluster.staging_folder() {
            let create = || {
                std::fs::create_dir_all(&folder)?;
                staging_builder().tempdir_in(&folder)
            };
            let staging = create().or_error(ErrorKind::Lake, CANNOT_STAGE);
            self.staging = staging.map_err(|error| error.with("folder", folder.display()))?;
        }
        let engine = engine_over(self.lake, self.config.lake.memory_limit)?;
        self.engine = Arc::new(engine.with_cluster(Arc::new(cluster)));
        Ok(())
    }

    /// Report what the workers did.
    pub(super) async fn finish_cluster(&mut self) {
        if let Some(cluster) = self.engine.cluster() {
            (self.report.workers, self.report.on_coordinator) = cluster.finish().await;
        }
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
        self.stage(&contract, files, MadeFrom::new());
        Ok(())
    }

    /// Stage the periods of every project that the configuration or a `[[table]]` names.
    pub(super) async fn stage_buckets(
        &mut self,
        states: &[RepositoryState],
        assigned: &[AssignedRepository],
        as_of: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let name = TableName::new("config", "buckets");
        if self.contents.contains_key(&name) {
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
                &self.config.lake.options_at(&given.location),
                &contract,
                &part,
                &folder,
            )
            .await?;
            rows.push(settings::outside_table(n, given, read.rows));
            self.report.nulled.extend(read.nulled);
            self.given_parts.push((Arc::clone(&contract), part.clone()));
            let name = TableName::new(&contract.layer, &contract.table);
            let parts = self.added_parts.entry(name.clone()).or_default();
            parts.insert(part, read.sha256);
            if !given.add || !self.steps.has_step(&name) {
                replaced.insert(name, contract);
            }
        }
        for (name, contract) in replaced {
            let parts = self.added_parts.remove(&name).unwrap_or_default();
            let parts: Vec<_> = parts.into_keys().collect();
            let folder = self.folder(&contract.layer, &contract.table);
            let files = write_union(&self.engine, &contract, &parts, &folder).await?;
            self.stage_replaced(&contract, files);
        }
        self.stage_setting("outside_tables", &rows)
    }

    /// Record the files of a table that a `[[table]]` replaces. Tables of `base` are not published.
    fn stage_replaced(&mut self, contract: &Contract, files: WrittenFiles) {
        if contract.layer != steps::BASE {
            return self.stage(contract, files, MadeFrom::new());
        }
        let digests = files.iter().map(|(partition, written)| {
            let partition = partition.as_deref().unwrap_or_default();
            (partition, written.sha256.as_str())
        });
        let name = TableName::new(&contract.layer, &contract.table);
        self.contents.insert(name.clone(), kept::content(digests));
        self.registered.insert(name);
    }

    fn contract(&self, layer: &str, table: &str) -> Result<Arc<Contract>> {
        self.contracts.get(layer, table).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "there is no such table")
                .with("table", format!("{layer}.{table}"))
                .hint("`bitlake tables` lists them")
        })
    }

    /// Return the steps of the base tables that a step reads, directly or by way of others, and that are not made yet. Each
    /// follows the steps that it reads.
    pub(super) fn unmade_bases(&self, step: &Step, place: Place) -> Result<Vec<Step>> {
        let mut found: Vec<Step> = Vec::new();
        for read in step.reads(&self.engine)? {
            let Some(base) = self.base_step(read) else {
                continue;
            };
            if self.is_registered(place, read) {
                continue;
            }
            for before in self
                .unmade_bases(base, place)?
                .into_iter()
                .chain([base.clone()])
            {
                if !found.iter().any(|known| known.name == before.name) {
                    found.push(before);
                }
            }
        }
        Ok(found)
    }

    /// Return the session in which a step runs at a place.
    pub(super) fn engine_at(&self, place: Place) -> Arc<Engine> {
        let part = match place {
            Place::Whole => None,
            Place::Part(scope) => self.parts.get(&scope),
        };
        Arc::clone(part.map_or(&self.engine, |part| &part.engine))
    }

    fn is_registered(&self, place: Place, name: &TableName) -> bool {
        match place {
            Place::Whole => self.registered.contains(name),
            Place::Part(scope) => {
                let part = self.parts.get(&scope);
                part.is_some_and(|part| part.registered.contains(name))
            }
        }
    }

    /// Record that a table is registered at a place.
    pub(super) fn mark_registered(&mut self, place: Place, name: TableName) {
        match place {
            Place::Whole => drop(self.registered.insert(name)),
            Place::Part(scope) => {
                if let Some(part) = self.parts.get_mut(&scope) {
                    part.registered.insert(name);
                }
            }
        }
    }

    /// Keep the table of a step as it is published.
    pub(super) fn keep(&mut self, step: &Step, made_from: MadeFrom) {
        let Some(published) = self.before(&step.name) else {
            return;
        };
        let paths = published.files.keys();
        let next = NextTable {
            schema_version: published.schema_version,
            made_from,
            files: paths.map(|path| (path.clone(), NextFile::Kept)).collect(),
        };
        self.add_table(&step.name, next);
    }

    /// Register a final table, or one as it is published, unless it is registered already.
    pub(super) async fn register_final(&mut self, name: &TableName) -> Result<()> {
        if self.registered.contains(name) {
            return Ok(());
        }
        if let Some(contract) = self.known_contract(name).await? {
            let files = self.final_files(name)?;
            self.engine.register(&contract, &files)?;
        }
        self.registered.insert(name.clone());
        Ok(())
    }

    /// Return the files of a final table, or of one as it is published.
    pub(super) fn final_files(&self, name: &TableName) -> Result<Vec<TableFile>> {
        self.final_files_where(name, |_| true)
    }

    /// As [`Self::final_files`], for the files whose path is selected.
    pub(super) fn final_files_where(
        &self,
        name: &TableName,
        is_selected: impl Fn(&str) -> bool,
    ) -> Result<Vec<TableFile>> {
        if name.layer == steps::PUBLISHED {
            let own = TableName::new(steps::CUMULATIVE, &name.table);
            return self.published_files(&own, is_selected);
        }
        let Some(next) = self.tables.get(&name.to_string()) else {
            return self.published_files(name, is_selected);
        };
        let files = next.files.iter().filter(|(path, _)| is_selected(path));
        let files = files.map(|(path, file)| match file {
            NextFile::Staged(written) => TableFile::written(written),
            NextFile::Kept => self.kept_file(name, path),
        });
        files.collect()
    }

    /// Return the selected files of a table as the last transform published or stored it.
    pub(super) fn published_files(
        &self,
        name: &TableName,
        is_selected: impl Fn(&str) -> bool,
    ) -> Result<Vec<TableFile>> {
        let table = match name.layer == BASE {
            true => self.before(name),
            false => self.manifest.table(&name.to_string()),
        };
        let paths = table.into_iter().flat_map(|table| table.files.keys());
        let paths = paths.filter(|path| is_selected(path));
        paths.map(|path| self.kept_file(name, path)).collect()
    }

    /// Return a file as the last transform published or stored it.
    pub(super) fn kept_file(&self, name: &TableName, path: &str) -> Result<TableFile> {
        if name.layer != BASE {
            return published::file(self.lake, &self.manifest, &name.to_string(), path);
        }
        let entry = self.before(name).and_then(|table| table.files.get(path));
        Ok(TableFile {
            url: self.lake.file_url(path)?,
            bytes: entry.map(|entry| entry.bytes),
            rows: entry.map(|entry| entry.rows),
        })
    }

    /// Return the contract of a table; for the table of a user's step, that of its query.
    pub(super) async fn known_contract(
        &mut self,
        name: &TableName,
    ) -> Result<Option<Arc<Contract>>> {
        if name.layer == steps::PUBLISHED {
            let contract = self.contracts.get(steps::CUMULATIVE, &name.table);
            return Ok(contract.map(|it| Arc::new(it.in_layer(steps::PUBLISHED))));
        }
        let step = self.steps.get(name).cloned();
        match (self.contracts.get(&name.layer, &name.table), step) {
            (Some(contract), _) => Ok(Some(Arc::clone(contract))),
            (None, Some(step)) => match &step.work {
                StepBody::Sql(sql) => {
                    for read in step.reads(&self.engine)? {
                        Box::pin(self.register_final(read)).await?;
                    }
                    let contract = step.inferred_contract(&self.engine, sql).await?;
                    Ok(Some(contract))
                }
                StepBody::Native(_) => Ok(None),
            },
            (None, None) => Ok(None),
        }
    }

    /// Record written files, which are registered already, as a table to publish.
    pub(super) fn stage(&mut self, contract: &Contract, files: WrittenFiles, made_from: MadeFrom) {
        self.registered
            .insert(TableName::new(&contract.layer, &contract.table));
        let mut next = NextTable {
            schema_version: contract.version,
            made_from,
            ..NextTable::default()
        };
        for (partition, written) in files {
            let path = file_path(contract, partition.as_deref(), &written);
            next.files.insert(path, NextFile::Staged(written));
        }
        self.add_table(&TableName::new(&contract.layer, &contract.table), next);
    }

    /// Record a table to publish or store, which is final.
    pub(super) fn add_table(&mut self, name: &TableName, table: NextTable) {
        let text = name.to_string();
        let content = self.content_of(name, &table);
        self.contents.insert(name.clone(), content);
        if name.layer != BASE {
            let published = self.before(name).map(|published| &published.files);
            let rows = table.files.iter().map(|(path, file)| match file {
                NextFile::Staged(written) => written.rows,
                NextFile::Kept => {
                    let kept = published.and_then(|files| files.get(path));
                    kept.map_or(0, |entry| entry.rows)
                }
            });
            let rows = rows.sum();
            self.report.rows.insert(text.clone(), rows);
        }
        self.tables.insert(text, table);
    }
}

const CANNOT_STAGE: &str = "cannot create the staging folder";

fn staging_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bitlake-staging-");
    builder
}

/// Where a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the session that has all rows.
    Whole,
    /// In the session of a part.
    Part(RowOwner),
}

/// Return the path of a file of a table that is published or stored.
pub(super) fn file_path(
    contract: &Contract,
    partition: Option<&str>,
    written: &WrittenFile,
) -> String {
    match contract.layer == BASE {
        true => base_file(&contract.name(), &written.sha256),
        false => table_file(contract, partition),
    }
}

/// Return the tables to publish, and the base tables to store.
pub(super) fn split_tables(
    tables: BTreeMap<String, NextTable>,
) -> (BTreeMap<String, NextTable>, BTreeMap<String, NextTable>) {
    let is_base = |name: &String| name.split_once('.').is_some_and(|(layer, _)| layer == BASE);
    let (stored, published) = tables.into_iter().partition(|(name, _)| is_base(name));
    (published, stored)
}
