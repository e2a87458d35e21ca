//! Makes the rows of some repositories or projects alone, and replaces their old rows in the published files.
//!
//! ```text
//! inputs       in a session of their own: the rows of the selected repositories; all rows of tables that are not
//!              incremental
//! new rows     the step over these inputs
//! old rows     the published rows of the selected repositories
//! files        kept where the new and the old rows of a partition are the same bytes; else the published rows without the
//!              old ones, and the new ones
//! ```
//!
//! A step that is incremental is made so if its text, its contract and this build are those of the published table, and
//! if every input that differs does so in rows of the selection only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use datafusion::execution::SendableRecordBatchStream;

use super::TransformOptions;
use super::incremental::{Incremental, RowOwner};
use super::kept::{MadeFrom, published_content};
use super::run::{Place, TransformRun, file_path};
use super::run_step::{register_with_unique_key, run_step};
use super::selection::{COMMIT_TABLES, Conditions, Selection};
use super::steps::{BASE, CUMULATIVE, PUBLISHED, Step, StepBody};
use super::write::{self, QueryFailure, WrittenTable};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::layout::table_file;
use crate::lake::{NextFile, NextTable, WrittenFile};
use crate::schema::{Contract, SourceTable};

/// The schema of old and new rows while they are merged.
const SCHEMA: &str = "parts";

/// The tables of selected repositories or projects.
pub(super) struct Part {
    pub(super) selection: Selection,
    /// A session whose tables have the rows of the selection only.
    pub(super) engine: Arc<Engine>,
    pub(super) registered: BTreeSet<TableName>,
}

/// How a table differs from the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableChange {
    Unchanged,
    /// In rows of selected repositories or projects only.
    Within(RowOwner),
    Anywhere,
}

impl TransformRun<'_> {
    /// Find what may differ from the published tables, so that the rest need not be made.
    pub(super) async fn open_parts(&mut self, options: &TransformOptions) -> Result<()> {
        // Rows that a `[[table]]` gives, and a user's own steps, may depend on any repository. Damaged files, and those of
        // an interrupted publish, are made whole.
        let is_possible = !options.full
            && !options.rebuild
            && self.config.tables.is_empty()
            && options.queries.is_none()
            && self.inventory.damaged.is_empty()
            && self.inventory.manifest.intent.is_none();
        if !is_possible || !self.knows_related_commits()? {
            return Ok(());
        }
        for (scope, selection) in self.selections().await? {
            let part = Part {
                selection,
                engine: Arc::new(self.engine.without_tables()?),
                registered: BTreeSet::new(),
            };
            self.parts.insert(scope, part);
        }
        Ok(())
    }

    /// Return whether the published tables by which repositories are related are those of the published source layer.
    fn knows_related_commits(&self) -> Result<bool> {
        for table in COMMIT_TABLES {
            let name = TableName::new("domain", table);
            let (Some(step), Some(published)) = (self.steps.get(&name), self.before(&name)) else {
                return Ok(false);
            };
            for (name, input) in self.inputs(step)? {
                let made_from = published.made_from.get(&name);
                if made_from != Some(&published_content(self.before(&input))) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Return the scope of the part in which a step can be made; `None` if its table must be made whole. `made_from`: what
    /// it would be made from now.
    pub(super) fn part_of(&self, step: &Step, made_from: &MadeFrom) -> Result<Option<RowOwner>> {
        let Some(scope) = step.incremental.as_ref().map(|it| it.scope) else {
            return Ok(None);
        };
        let Some(published) = self.before(&step.name) else {
            return Ok(None);
        };
        let names: BTreeSet<_> = made_from.keys().chain(published.made_from.keys()).collect();
        let mut inputs = self.inputs(step)?;
        for name in names {
            let (before, now) = (published.made_from.get(name), made_from.get(name));
            // A step or a setting that is not a table is another one.
            let Some(input) = inputs.remove(name.as_str()) else {
                if before != now {
                    return Ok(None);
                }
                continue;
            };
            if before != now && before != Some(&published_content(self.before(&input))) {
                return Ok(None);
            }
        }
        let is_possible = self.parts.contains_key(&scope) && self.is_within(step, scope)?;
        Ok(is_possible.then_some(scope))
    }

    /// Return the tables with a content that a step reads, directly or by way of base tables, by name.
    fn inputs(&self, step: &Step) -> Result<BTreeMap<String, TableName>> {
        let mut inputs = BTreeMap::new();
        for read in step.reads(&self.engine)? {
            match self.base_step(read) {
                Some(base) => inputs.extend(self.inputs(base)?),
                None => drop(inputs.insert(read.to_string(), read.clone())),
            }
        }
        Ok(inputs)
    }

    /// Return how much of everything is made at a place: `1 of 100 repositories`.
    pub(super) fn share(&self, place: Place) -> Option<String> {
        let Place::Part(scope) = place else {
            return None;
        };
        let selected = self.parts.get(&scope)?.selection.count(scope);
        let all = match scope {
            RowOwner::Repository => self.repositories.len(),
            RowOwner::Project => self.config.projects.len(),
        };
        Some(format!("{selected} of {all} {}", scope.plural()))
    }

    /// Return whether the inputs of a step differ in rows of the selection only.
    fn is_within(&self, step: &Step, scope: RowOwner) -> Result<bool> {
        for read in step.reads(&self.engine)? {
            let is_within = match self.base_step(read) {
                Some(base) => {
                    let declared = base.incremental.as_ref();
                    declared.is_some_and(|it| it.scope <= scope) && self.is_within(base, scope)?
                }
                None => match self.change(read) {
                    TableChange::Unchanged => true,
                    TableChange::Within(other) => other <= scope,
                    TableChange::Anywhere => false,
                },
            };
            if !is_within {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Return how a final table differs from the published one.
    fn change(&self, name: &TableName) -> TableChange {
        if name.layer == PUBLISHED || self.content(name) == published_content(self.before(name)) {
            return TableChange::Unchanged;
        }
        if let Some(scope) = self.made_in_parts.get(name) {
            return TableChange::Within(*scope);
        }
        let is_of_repositories = || {
            let part = self.parts.get(&RowOwner::Repository);
            let selected = part.map(|part| part.selection.source_files(&name.table));
            let changed = self.changed_files(&name.to_string());
            selected.is_some_and(|selected| changed.is_subset(&selected))
        };
        match name.layer == SourceTable::LAYER && is_of_repositories() {
            true => TableChange::Within(RowOwner::Repository),
            false => TableChange::Anywhere,
        }
    }

    /// Register the rows of the selection that a table has; all rows of a table that is not incremental.
    pub(super) async fn register_part(&mut self, scope: RowOwner, name: &TableName) -> Result<()> {
        let part = self.parts.get(&scope).ok_or_else(internal)?;
        if part.registered.contains(name) {
            return Ok(());
        }
        let contract = self.known_contract(name).await?.ok_or_else(internal)?;
        let part = self.parts.get(&scope).ok_or_else(internal)?;
        if name.layer == SourceTable::LAYER {
            let selected = part.selection.source_files(&name.table);
            let files = self.final_files_where(name, |it| selected.contains(it))?;
            part.engine.register(&contract, &files)?;
        } else {
            let own = match name.layer.as_str() {
                PUBLISHED => TableName::new(CUMULATIVE, &name.table),
                _ => name.clone(),
            };
            let incremental = self.steps.get(&own).and_then(|it| it.incremental.clone());
            for (table, _) in incremental.iter().flat_map(|it| &it.known_from) {
                Box::pin(self.register_part(scope, table)).await?;
            }
            let part = self.parts.get(&scope).ok_or_else(internal)?;
            let conditions =
                incremental.and_then(|it| part.selection.conditions(&it, TableName::to_string));
            let files = self.final_files(name)?;
            match conditions {
                None => part.engine.register(&contract, &files)?,
                Some(Conditions { selected, .. }) => {
                    let engine = &part.engine;
                    engine.register_where(&contract, &files, &selected).await?;
                }
            }
        }
        if let Some(part) = self.parts.get_mut(&scope) {
            part.registered.insert(name.clone());
        }
        Ok(())
    }

    /// Register the published rows of the selection that a table has.
    async fn register_rows_before(&self, scope: RowOwner, table: &TableName) -> Result<()> {
        let part = self.parts.get(&scope).ok_or_else(internal)?;
        let incremental = self.steps.get(table).and_then(|it| it.incremental.as_ref());
        let conditions =
            incremental.and_then(|it| part.selection.conditions(it, TableName::to_string));
        let contract = self.contracts.require(&table.layer, &table.table)?;
        let contract = contract.renamed(SCHEMA, &name_before(scope, table));
        let files = self.published_files(table, |_| true)?;
        let Conditions { selected, .. } = conditions.ok_or_else(internal)?;
        self.engine
            .register_where(&contract, &files, &selected)
            .await
    }

    /// Return the work of making a step in a part. Its inputs are registered.
    pub(super) async fn step_in_part(
        &mut self,
        step: &Step,
        scope: RowOwner,
    ) -> Result<StepInPart> {
        let contract = self.known_contract(&step.name).await?;
        let incremental = step.incremental.as_ref().ok_or_else(internal)?;
        for (table, _) in &incremental.known_from {
            self.register_rows_before(scope, table).await?;
        }
        let part = self.parts.get(&scope).ok_or_else(internal)?;
        let rows_before = |table: &TableName| format!("{SCHEMA}.\"{}\"", name_before(scope, table));
        let conditions = part.selection.conditions(incremental, rows_before);
        let conditions = conditions.ok_or_else(internal)?;
        let mut step = step.clone();
        if let StepBody::Sql(sql) = &mut step.work {
            // Settings name every repository, so that there may be rows of others, which lack their inputs.
            *sql = format!(
                "SELECT * FROM (\n{sql}\n) AS made WHERE {}",
                conditions.selected
            );
        }
        let published = self.before(&step.name).ok_or_else(internal)?;
        let files = published.files.keys();
        let files = files.map(|path| Ok((path.clone(), self.kept_file(&step.name, path)?)));
        Ok(StepInPart {
            selections: self.engine.for_selections(),
            part: Arc::clone(&part.engine),
            contract: contract.ok_or_else(internal)?,
            conditions,
            published: files.collect::<Result<_>>()?,
            folder: self.folder(SCHEMA, &step.name.to_string()),
            step,
        })
    }
}

fn name_before(scope: RowOwner, table: &TableName) -> String {
    format!("{table} by {scope}, before")
}

/// A step whose rows are made for a selection.
pub(super) struct StepInPart {
    part: Arc<Engine>,
    /// A session that reads files in order.
    selections: Engine,
    step: Step,
    contract: Arc<Contract>,
    conditions: Conditions,
    /// The published files by path.
    published: BTreeMap<String, TableFile>,
    folder: PathBuf,
}

/// The files of a table that is made, each with its rows, by path.
type Files = BTreeMap<String, (u64, NextFile)>;

impl StepInPart {
    /// Run the step, and return the table in which the new rows of the selection have replaced the old ones.
    pub(super) async fn make(self) -> Result<(Arc<Contract>, NextTable)> {
        let (_, new) = run_step(&self.part, &self.step, &self.folder.join("new")).await?;
        let started = Instant::now();
        let path_of = |partition: Option<String>| table_file(&self.contract, partition.as_deref());
        let mut new: BTreeMap<_, _> = new
            .into_iter()
            .filter(|(_, written)| written.rows > 0)
            .map(|(partition, written)| (path_of(partition), written))
            .collect();
        let mut files = Files::new();
        let mut merged = Vec::new();
        for (path, file) in &self.published {
            let new = new.remove(&self.path_of_rows(path));
            let old = self.old_rows(file, path).await?;
            let sha256 = |file: &Option<WrittenFile>| file.as_ref().map(|it| it.sha256.clone());
            if sha256(&old) == sha256(&new) {
                files.insert(
                    path.clone(),
                    (file.rows.unwrap_or_default(), NextFile::Kept),
                );
            } else {
                merged.push(self.merge(path, Some(file), new).await?);
            }
        }
        for (path, written) in new {
            merged.push(self.merge(&path, None, Some(written)).await?);
        }
        self.reject_duplicate_keys(&merged).await?;
        for (path, table) in merged {
            for (_, written) in table.files {
                files.insert(self.path_of_file(&path, &written), staged(written));
            }
        }
        let (name, took) = (self.contract.name(), started.elapsed());
        tracing::debug!(table = name, ?took, "replaced the rows of a part");
        let table = NextTable {
            schema_version: self.contract.version,
            files: self.without_empty_files(files),
            ..NextTable::default()
        };
        Ok((self.contract, table))
    }

    /// Return the path by which new rows are known. A base table has one file, which is named for its content.
    fn path_of_rows(&self, published: &str) -> String {
        match self.contract.layer == BASE {
            true => table_file(&self.contract, None),
            false => published.to_owned(),
        }
    }

    fn path_of_file(&self, path: &str, written: &WrittenFile) -> String {
        match self.contract.layer == BASE {
            true => file_path(&self.contract, None, written),
            false => path.to_owned(),
        }
    }

    /// Write the rows of the selection that a published file has. `None` if there are none.
    async fn old_rows(&self, file: &TableFile, path: &str) -> Result<Option<WrittenFile>> {
        let rows = self.read(file, &self.conditions.selected).await?;
        let table = self
            .write(rows, &self.folder.join("old").join(path))
            .await?;
        let written = table.files.into_iter().map(|(_, written)| written).next();
        Ok(written.filter(|written| written.rows > 0))
    }

    /// Write the `published` rows of the others, and the `new` ones, as the file at `path`.
    async fn merge(
        &self,
        path: &str,
        published: Option<&TableFile>,
        new: Option<WrittenFile>,
    ) -> Result<(String, WrittenTable)> {
        let mut streams = Vec::new();
        if let Some(file) = published {
            streams.push(self.read(file, &self.conditions.others).await?);
        }
        if let Some(file) = new {
            streams.push(self.read(&TableFile::written(&file)?, "TRUE").await?);
        }
        let order = write::order_of_rows(&self.contract);
        let rows = self
            .selections
            .merge_sorted(self.contract.arrow_schema(), &order, streams)
            .map_err(|error| QueryFailure::of(error).into_error(&self.contract))?;
        let folder = self.folder.join("merged").join(path);
        Ok((path.to_owned(), self.write(rows, &folder).await?))
    }

    async fn write(&self, rows: SendableRecordBatchStream, folder: &Path) -> Result<WrittenTable> {
        let table = write::partition(&self.selections, rows, &self.contract, folder).await;
        table.map_err(|failure| failure.into_error(&self.contract))
    }

    /// Read the rows of a file that satisfy a condition, in their order.
    async fn read(&self, file: &TableFile, condition: &str) -> Result<SendableRecordBatchStream> {
        let table = format!("rows of {}", self.contract.name());
        let schema = self.contract.arrow_schema();
        let files = std::slice::from_ref(file);
        self.selections
            .register_parquet(SCHEMA, &table, schema, files)?;
        let mut sql = format!("SELECT * FROM {SCHEMA}.\"{table}\" WHERE {condition}");
        let looks_up = |it: &Incremental| !it.known_from.is_empty();
        if self.step.incremental.as_ref().is_some_and(looks_up) {
            // A join with the tables that know the values may change the order.
            let order = write::order_of_rows(&self.contract);
            let order = order
                .iter()
                .map(|name| format!("\"{name}\" ASC NULLS FIRST"));
            let order = order.collect::<Vec<_>>().join(", ");
            sql = format!("{sql} ORDER BY {order}");
        }
        let rows = self.selections.plan(&sql, &[]).await?;
        let rows = rows.execute_stream().await;
        rows.map_err(|error| QueryFailure::of(error).into_error(&self.contract))
    }

    async fn reject_duplicate_keys(&self, merged: &[(String, WrittenTable)]) -> Result<()> {
        let files = merged.iter().flat_map(|(_, table)| &table.files);
        let table = WrittenTable {
            files: files.cloned().collect(),
            may_repeat_keys: merged.iter().any(|(_, table)| table.may_repeat_keys),
        };
        register_with_unique_key(&self.selections, &self.contract, &table).await
    }

    /// Return the files with rows. A table without rows has one file, that of null.
    fn without_empty_files(&self, files: Files) -> BTreeMap<String, NextFile> {
        let has_rows = files.values().any(|(rows, _)| *rows > 0);
        let is_base = self.contract.layer == BASE;
        let mut kept = BTreeMap::new();
        for (path, (rows, file)) in files {
            if rows > 0 || is_base {
                kept.insert(path, file);
            } else if !has_rows {
                kept.insert(table_file(&self.contract, None), file);
            }
        }
        kept
    }
}

fn staged(written: WrittenFile) -> (u64, NextFile) {
    (written.rows, NextFile::Staged(written))
}

fn internal() -> Error {
    Error::new(
        ErrorKind::Internal,
        "an input of a step in parts is missing",
    )
}
