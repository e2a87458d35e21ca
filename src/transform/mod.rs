//! From what was collected to what is published, with nothing but Parquet between the steps.
//!
//! ```text
//! bitlake.toml ─▶ settings.rs ─▶ config/…    ─┐
//! segments ─────▶ source.rs ───▶ bitbucket/… ─┼─▶ steps.rs (in the order their references ask for) ─▶ domain, dora, metrics
//! [[table]] ────▶ outside.rs ─────────────────┘        │      SQL, or native: native/
//!                                              checks ─┴─▶ publish, then state
//! ```
//!
//! Every step reads registered Parquet and writes one table into a staging folder; the next steps read it there. When
//! all tables have passed their contracts, and not before, they are published together.

mod buckets;
mod damage;
mod fold;
mod history;
mod layout;
mod native;
mod outside;
mod renew;
mod report;
mod settings;
mod source;
mod steps;
mod write;

pub use layout::contracts;
pub use native::NativeStep;
pub use report::{CheckResults, LargeFile, NulledValues, TransformReport, Warning};
pub use steps::{Step, StepBody, StepGraph, reports};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::config::{AssignedRepository, Config, RepositoryIdentity};
use crate::engine::{Engine, TableName};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{
    Inventory, InventoryDepth, Lake, LakeLock, Manifest, NextFile, NextTable, RepositoryState,
    WrittenFile, publish,
};
use crate::schema::{Contract, Contracts};
use crate::secret::Masker;

/// The part that a step made itself, beside those that `[[table]]` adds.
const MADE: &str = "made";

/// What a transform may be told.
#[derive(Debug, Clone, Default)]
pub struct TransformOptions {
    /// Only the steps of these layers; the others are read as published.
    pub only: Option<BTreeSet<String>>,
    /// The moment at which the figures' time ends, where that is earlier than what is collected.
    pub as_of: Option<DateTime<Utc>>,
    /// A folder whose `<layer>/<table>.sql` add or replace steps.
    pub queries: Option<PathBuf>,
    /// Every record of the source layer is decoded again.
    pub rebuild: bool,
    /// Damaged files that nothing can make again are given up.
    pub accept_loss: bool,
    /// Credentials that records which are decoded again must not hold.
    pub masker: Masker,
}

/// Transforms what the lake holds and publishes it.
///
/// # Errors
/// [`ErrorKind::Contract`] and [`ErrorKind::Configuration`] before anything is published; [`ErrorKind::Lake`] when
/// publishing fails.
pub async fn transform(
    config: &Config,
    lake: &Lake,
    lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    options: &TransformOptions,
) -> Result<TransformReport> {
    let states = lake.states().await?.into_iter().map(|(state, _)| state);
    let mut states = fold::current(states.collect());
    let assigned = config.assign(&found(&states))?;
    let mut steps = StepGraph::find(options.queries.as_deref())?;
    steps.set_run(run_id, now)?;
    let contracts = contracts(config)?;
    steps.lay_out(&contracts);
    let inventory = lake.inventory(InventoryDepth::Listing).await?;
    let mut run = TransformRun::new(config, lake, contracts, steps, &inventory, &states)?;
    let given_up = run.weigh_damage(&mut states, options.accept_loss).await?;

    let work = async {
        run.settings(&states, &assigned)?;
        run.source(&states, now, options).await?;
        run.outside().await?;
        run.buckets(&states, &assigned, options.as_of).await?;
        run.register_published()?;
        run.steps(options.only.as_ref()).await?;
        run.checks().await
    };
    let checked = match work.await {
        Ok(checked) => checked,
        Err(error) => return Err(damage::explain(lake, error).await),
    };
    run.settle_damage(options.accept_loss)?;
    let large_files = report::large_files(&run.contracts, &run.tables);

    let TransformRun { tables, report, .. } = run;
    let published = publish(lake, lock, run_id, now, &inventory, tables).await?;
    fold::settle(lake, &states, &given_up).await?;
    let damaged = inventory.damaged.iter();
    Ok(TransformReport {
        published,
        repaired: damaged
            .map(|(path, damage)| (path.clone(), damage.to_string()))
            .collect(),
        warnings: checked.warnings,
        notices: checked.notices,
        large_files,
        ..report
    })
}

fn found(states: &[RepositoryState]) -> Vec<RepositoryIdentity> {
    let repositories = states.iter().filter(|state| !state.is_workspace());
    repositories
        .map(|state| RepositoryIdentity {
            connection_id: state.connection_id,
            full_name: state.full_name.clone(),
            uuid: state.uuid.clone(),
            bitbucket_project: state.bitbucket_project.clone(),
        })
        .collect()
}

/// One transform under way.
struct TransformRun<'a> {
    config: &'a Config,
    lake: &'a Lake,
    engine: Engine,
    contracts: Contracts,
    steps: StepGraph,
    inventory: &'a Inventory,
    /// What is published and can be read.
    manifest: Manifest,
    staging: TempDir,
    /// What will be published.
    tables: BTreeMap<String, NextTable>,
    /// What `[[table]]` gave, in the schema `given`.
    parts: Vec<(Arc<Contract>, String)>,
    /// What `[[table]]` adds to the tables that steps make: parts in the schema `given`.
    given: BTreeMap<TableName, Vec<String>>,
    /// What the engine knows already; a step whose table is here was given from outside.
    registered: BTreeSet<TableName>,
    report: TransformReport,
}

impl<'a> TransformRun<'a> {
    fn new(
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
            parts: Vec::new(),
            given: BTreeMap::new(),
            registered: BTreeSet::new(),
            report: TransformReport::default(),
        })
    }

    /// Says what is missing or damaged, and ends the run over what nothing can make again. With `accept_loss` it is
    /// given up: returns the files of the source layer among it.
    async fn weigh_damage(
        &self,
        states: &mut [RepositoryState],
        accept_loss: bool,
    ) -> Result<BTreeSet<String>> {
        for (path, damage) in &self.inventory.damaged {
            tracing::warn!(file = path, "a published file {damage}");
        }
        let segments = self.lake.damaged_segments(states).await?;
        let remembered = self.steps.remembered(&self.engine)?;
        let lost = damage::irreplaceable(self.inventory, segments, states, &remembered);
        if lost.is_empty() {
            return Ok(BTreeSet::new());
        }
        if !accept_loss {
            return Err(damage::error(&lost));
        }
        for state in states {
            for known in state.entities.values_mut() {
                known
                    .segments
                    .retain(|segment| !lost.contains_key(&segment.path));
            }
        }
        Ok(lost.into_keys().collect())
    }

    /// Refuses to publish while a damaged file belongs to a table that was not made; given up, the table goes on without.
    fn settle_damage(&mut self, accept_loss: bool) -> Result<()> {
        let mut left = damage::Irreplaceable::new();
        for (path, damage) in &self.inventory.damaged {
            let table = damage::table(path);
            if !self.tables.contains_key(&table) {
                left.insert(path.clone(), damage.to_string());
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if !accept_loss {
            return Err(damage::error(&left));
        }
        for name in left.keys().map(|path| damage::table(path)) {
            if let Some(table) = self.manifest.table(&name) {
                let kept = table.files.keys();
                let next = NextTable {
                    schema_version: table.schema_version,
                    files: kept.map(|path| (path.clone(), NextFile::Kept)).collect(),
                };
                self.tables.insert(name, next);
            }
        }
        Ok(())
    }

    fn folder(&self, layer: &str, table: &str) -> PathBuf {
        self.staging.path().join(layer).join(table)
    }

    /// The configuration as tables.
    fn settings(
        &mut self,
        states: &[RepositoryState],
        assigned: &[AssignedRepository],
    ) -> Result<()> {
        for (table, rows) in settings::tables(self.config, states, assigned)? {
            self.setting(table, &rows)?;
        }
        Ok(())
    }

    fn setting(&mut self, table: &str, rows: &[serde_json::Value]) -> Result<()> {
        let contract = self.contracts.require("config", table)?.clone();
        let path = self.folder("config", table).join("part-0.parquet");
        let written = settings::write(&contract, rows, &path)?;
        self.stage(&contract, vec![(None, written)])
    }

    /// The periods of every project that the configuration or a `[[table]]` names.
    async fn buckets(
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
        let outside = outside::outline(&self.engine, &self.parts, longest).await?;
        let mut clocks = outside.clocks;
        for project in &self.config.projects {
            clocks.insert(project.name.clone(), (project.timezone, project.week_start));
        }
        let mut rows = Vec::new();
        for (project, (zone, week_start)) in clocks {
            let collected = settings::collected(&project, states, assigned);
            let Some((from, through)) = collected.or(outside.times) else {
                continue;
            };
            let span = buckets::Span {
                project,
                zone,
                week_start,
                from,
                through: as_of.map_or(through, |as_of| through.min(as_of)),
            };
            rows.extend(span.rows());
        }
        self.setting("buckets", &rows)
    }

    /// Tables that `[[table]]` puts in the place of a step's, and the record of what each `[[table]]` brought.
    async fn outside(&mut self) -> Result<()> {
        let mut replaced = BTreeMap::new();
        let mut rows = Vec::new();
        for (n, given) in self.config.tables.iter().enumerate() {
            let contract = self.contract(&given.layer, &given.table)?;
            let contract = self.steps.place_of(&contract);
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
            self.parts.push((Arc::clone(&contract), part.clone()));
            let name = TableName::new(&contract.layer, &contract.table);
            self.given.entry(name.clone()).or_default().push(part);
            if !given.add || !self.steps.make(&name) {
                replaced.insert(name, contract);
            }
        }
        for (name, contract) in replaced {
            let parts = self.given.remove(&name).unwrap_or_default();
            self.unite(&contract, &parts).await?;
        }
        self.setting("outside_tables", &rows)
    }

    /// Makes the given parts the table.
    async fn unite(&mut self, contract: &Contract, parts: &[String]) -> Result<()> {
        let folder = self.folder(&contract.layer, &contract.table);
        let sql = outside::union(contract, parts);
        let files = write::query(&self.engine, &sql, &[], contract, &folder).await?;
        check_key(&self.engine, contract, &files).await?;
        self.stage(contract, files)
    }

    fn contract(&self, layer: &str, table: &str) -> Result<Arc<Contract>> {
        self.contracts.get(layer, table).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "there is no such table")
                .with("table", format!("{layer}.{table}"))
                .hint("`bitlake tables` lists them")
        })
    }

    /// What is published already, for steps that do not run now.
    fn register_published(&mut self) -> Result<()> {
        for contract in self.contracts.all() {
            let name = TableName::new(&contract.layer, &contract.table);
            if self.registered.contains(&name) {
                continue;
            }
            self.engine
                .register(contract, &self.published_files(contract)?)?;
        }
        for contract in self.contracts.layer(steps::REMEMBERED) {
            let urls = self.published_files(contract)?;
            let published = contract.in_layer(steps::PUBLISHED);
            self.engine.register(&published, &urls)?;
        }
        Ok(())
    }

    fn published_files(&self, contract: &Contract) -> Result<Vec<url::Url>> {
        published_files(self.lake, &self.manifest, contract)
    }

    async fn steps(&mut self, only: Option<&BTreeSet<String>>) -> Result<()> {
        for step in self.steps.topological_order(&self.engine)? {
            let layer = match step.name.layer.as_str() {
                steps::BASE => "domain",
                layer => layer,
            };
            let runs = only.is_none_or(|layers| layers.contains(layer));
            if !runs || self.registered.contains(&step.name) {
                continue;
            }
            let folder = self.folder(&step.name.layer, &step.name.table);
            let Some(mut parts) = self.given.remove(&step.name) else {
                let (contract, files) = run_step(&self.engine, &step, &folder).await?;
                self.stage(&contract, files)?;
                continue;
            };
            let (contract, files) = run_step(&self.engine, &step, &folder.join("made")).await?;
            let schema = contract.arrow_schema();
            self.engine
                .register_parquet(outside::GIVEN, MADE, schema, &urls(&files)?)?;
            parts.push(MADE.to_owned());
            self.unite(&contract, &parts).await?;
        }
        Ok(())
    }

    /// What the run report should mention, said in SQL.
    async fn checks(&self) -> Result<CheckResults> {
        let mut all = CheckResults::default();
        for (origin, sql) in steps::checks() {
            let found = report::read_check(&self.engine, sql).await;
            all.extend(found.map_err(|error| error.with("file", origin))?);
        }
        Ok(all)
    }

    /// Makes written files the table that later steps read and that will be published.
    fn stage(
        &mut self,
        contract: &Contract,
        files: Vec<(Option<String>, WrittenFile)>,
    ) -> Result<()> {
        self.engine.register(contract, &urls(&files)?)?;
        self.registered
            .insert(TableName::new(&contract.layer, &contract.table));
        if contract.layer == steps::BASE {
            return Ok(());
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
        Ok(())
    }
}

/// Runs one step: its table, written below `folder`, registered in `engine`, its key checked.
///
/// # Errors
/// Name the step's file: [`ErrorKind::Configuration`] for SQL that fails, [`ErrorKind::Contract`] for rows that break
/// the table's contract.
pub async fn run_step(
    engine: &Engine,
    step: &Step,
    folder: &Path,
) -> Result<(Arc<Contract>, Vec<(Option<String>, WrittenFile)>)> {
    let begun = Instant::now();
    let run = async {
        let (contract, files) = match (&step.work, &step.contract) {
            (StepBody::Sql(sql), Some(contract)) => {
                let files = write::query(engine, sql, &step.params, contract, folder).await?;
                (Arc::clone(contract), files)
            }
            (StepBody::Sql(sql), None) => {
                let contract = step.inferred_contract(engine, sql).await?;
                let files = write::query(engine, sql, &step.params, &contract, folder).await?;
                (contract, files)
            }
            (StepBody::NativeStep(native), Some(contract)) => {
                let files = native.write(engine, contract, folder).await?;
                (Arc::clone(contract), files)
            }
            (StepBody::NativeStep(_), None) => {
                return Err(Error::new(ErrorKind::Internal, "table has no contract"));
            }
        };
        check_key(engine, &contract, &files).await?;
        let rows: u64 = files.iter().map(|(_, written)| written.rows).sum();
        tracing::debug!(table = contract.name(), rows, took = ?begun.elapsed(), "step");
        Ok((contract, files))
    };
    run.await
        .map_err(|error: Error| error.with("file", &step.origin))
}

/// Registers written files and refuses a doubled key: a doubled row in a warehouse is found by a customer.
async fn check_key(
    engine: &Engine,
    contract: &Contract,
    files: &[(Option<String>, WrittenFile)],
) -> Result<()> {
    engine.register(contract, &urls(files)?)?;
    let doubled = write::doubled_keys(engine, contract).await?;
    if doubled.is_empty() {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Contract, "the table has doubled keys")
            .with("table", contract.name())
            .with("key", contract.primary_key.join(", "))
            .with("for example", doubled.join("; "))
            .hint("nothing was published"),
    )
}

fn urls(files: &[(Option<String>, WrittenFile)]) -> Result<Vec<url::Url>> {
    files
        .iter()
        .map(|(_, written)| crate::lake::file_url(&written.path))
        .collect()
}

/// The engine over what a lake has published, for `bitlake query`.
pub async fn open_published(lake: &Lake, memory_limit: Option<u64>) -> Result<Engine> {
    let engine = engine_over(lake, memory_limit)?;
    let manifest = lake.manifest().await?;
    for contract in Contracts::bundled()?.all() {
        engine.register(contract, &published_files(lake, &manifest, contract)?)?;
    }
    Ok(engine)
}

/// What of the published rows joins nothing, as the check `unmatched` says it.
///
/// # Errors
/// [`ErrorKind::Lake`] when the lake cannot be read.
pub async fn check_unmatched(lake: &Lake, memory_limit: Option<u64>) -> Result<CheckResults> {
    let engine = open_published(lake, memory_limit).await?;
    let mut all = CheckResults::default();
    for (origin, sql) in steps::checks().filter(|(origin, _)| origin.ends_with("/unmatched.sql")) {
        let found = report::read_check(&engine, sql).await;
        all.extend(found.map_err(|error| error.with("file", origin))?);
    }
    Ok(all)
}

/// An engine that can read the lake's files.
fn engine_over(lake: &Lake, memory_limit: Option<u64>) -> Result<Engine> {
    let engine = Engine::new(memory_limit)?;
    if let Some((url, store)) = lake.engine_store() {
        engine.add_store(url, store);
    }
    Ok(engine)
}

fn published_files(lake: &Lake, manifest: &Manifest, contract: &Contract) -> Result<Vec<url::Url>> {
    let files = manifest.files(&contract.name());
    files.map(|(path, _)| lake.file_url(path)).collect()
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem()?.to_str()
}
