//! Decides which steps are made for some repositories or projects alone, and what they read.
//!
//! ```text
//! inputs   in a session of their own: the rows of the selected repositories, which are found in the files once; all
//!          rows of tables that are not incremental
//! step     step_in_part.rs makes the rows, which are an input of the next steps
//! ```
//!
//! A step that is incremental is made so if its text, its contract and this build are those of the published table, and
//! if every input that differs does so in rows of the selection only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::TransformOptions;
use super::incremental::RowOwner;
use super::kept::{MadeFrom, published_content};
use super::run::{Place, TransformRun};
use super::selection::{COMMIT_TABLES, Conditions, Selection};
use super::step_in_part::StepInPart;
use super::steps::{CUMULATIVE, PUBLISHED, Step, StepBody};
use crate::engine::{Engine, TableName};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::SourceTable;

/// The schema of old and new rows while they are merged.
pub(super) const SCHEMA: &str = "parts";
/// The folder of the rows of parts that steps read.
const SCRATCH: &str = "rows";

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
            let scratch = self.folder(SCHEMA, SCRATCH);
            match conditions {
                None => part.engine.register(&contract, &files)?,
                Some(Conditions { selected, .. }) => {
                    let engine = &part.engine;
                    engine
                        .register_where(&contract, &files, &selected, &scratch)
                        .await?;
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
        let scratch = self.folder(SCHEMA, SCRATCH);
        self.engine
            .register_where(&contract, &files, &selected, &scratch)
            .await
    }

    /// Return the work of making a step in a part. Its inputs are registered.
    pub(super) async fn step_in_part(
        &mut self,
        step: &Step,
        scope: RowOwner,
    ) -> Result<StepInPart> {
        let contract = self
            .known_contract(&step.name)
            .await?
            .ok_or_else(internal)?;
        let incremental = step.incremental.as_ref().ok_or_else(internal)?;
        for (table, _) in &incremental.known_from {
            self.register_rows_before(scope, table).await?;
        }
        let part = self.parts.get(&scope).ok_or_else(internal)?;
        let rows_before = |table: &TableName| format!("{SCHEMA}.\"{}\"", name_before(scope, table));
        let conditions = part.selection.conditions(incremental, rows_before);
        let conditions = conditions.ok_or_else(internal)?;
        let mut step = step.clone();
        step.contract = Some(Arc::new(contract.temporary()));
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
            contract,
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

fn internal() -> Error {
    Error::new(
        ErrorKind::Internal,
        "an input of a step in parts is missing",
    )
}
