//! Finds the steps and orders them. Each `queries/<layer>/<table>.sql` is a step that makes the table of its name, and
//! the tables that it reads are its inputs. A few steps are native.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, SecondsFormat, Utc};
use include_dir::{Dir, include_dir};

use super::incremental::{self, Incremental};
use super::native::NativeStep;
use super::stem;
use crate::encoding;
use crate::engine::{Engine, Param, TableName, bind_params, declared_params};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::{Contract, Contracts};

static QUERIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// The layers whose tables steps has_step.
///
/// A table of `base` is never published. If `domain` has a table of the same name, the `base` table has its contract:
/// it holds the rows before the computed columns are added, so that a `[[table]]` can give the rows and still gets
/// these columns. Other `base` tables are shared inputs of several steps, with the columns of their query.
const LAYERS: [&str; 4] = [BASE, "domain", "dora", "metrics"];
pub(super) const BASE: &str = "base";
/// The parameters that name the run and its start. They mark the rows that a step adds to its own published rows, and
/// change no other row.
const RUN_PARAMS: [&str; 2] = ["run_id", "recorded_at"];
/// The folder of the checks, whose findings go to the run report.
const CHECKS: &str = "checks";
/// The folder of the reports, which `bitlake query` runs.
const REPORTS: &str = "reports";

/// The work of a step.
#[derive(Debug, Clone)]
pub enum StepBody {
    /// A query, whose rows are the table.
    Sql(String),
    /// Rust code.
    Native(NativeStep),
}

/// A step, which makes one table.
#[derive(Debug, Clone)]
pub struct Step {
    /// The table that the step makes.
    pub name: TableName,
    /// The work of the step.
    pub work: StepBody,
    /// The source file, for errors.
    pub origin: String,
    /// The parameters that the header of the query declares, with the values of this run.
    pub params: Vec<Param>,
    /// `None` for a table of the user, and for a `base` table without a contract: the query defines the columns.
    pub contract: Option<Arc<Contract>>,
    /// How some rows of the table can be made alone; `None` if the table must be made whole.
    pub(super) incremental: Option<Incremental>,
    /// The lake keeps the base table from one run to the next.
    pub(super) is_stored: bool,
    /// The tables that the step reads, once its SQL was parsed.
    reads: OnceLock<Vec<TableName>>,
}

impl Step {
    /// Return the tables that the step reads.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for SQL that does not parse.
    pub fn reads(&self, engine: &Engine) -> Result<&[TableName]> {
        if let Some(known) = self.reads.get() {
            return Ok(known);
        }
        let reads = match &self.work {
            StepBody::Sql(sql) => engine.references(sql)?,
            StepBody::Native(native) => native.reads(engine)?,
        };
        Ok(self.reads.get_or_init(|| reads))
    }

    /// Return whether the table is intermediate, and never published.
    pub(super) fn is_base(&self) -> bool {
        self.name.layer == BASE
    }

    /// Derive a contract without a key from the columns of the query.
    pub(super) async fn inferred_contract(
        &self,
        engine: &Engine,
        sql: &str,
    ) -> Result<Arc<Contract>> {
        let frame = engine
            .plan(sql, &self.params)
            .await
            .map_err(|e| e.with("file", &self.origin))?;
        let TableName { layer, table } = &self.name;
        let fields = frame.schema().fields();
        let mut contract = Contract::of_fields(layer, table, fields)?;
        contract.is_temporary = self.is_base() && !self.is_stored;
        contract.is_unordered = contract.is_temporary;
        Ok(Arc::new(contract))
    }
}

/// All steps, by the table that they make.
#[derive(Debug, Default)]
pub struct StepGraph(BTreeMap<TableName, Step>);

impl StepGraph {
    /// Find the bundled steps, and add or replace steps by those in the folder `own`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a query cannot be read or its header is malformed.
    pub fn find(own: Option<&Path>) -> Result<Self> {
        let contracts = Contracts::bundled()?;
        let mut steps = Self::default();
        for native in NativeStep::ALL {
            let (layer, table) = (native.layer(), native.table());
            let work = StepBody::Native(native);
            steps.insert(contracts, layer, table, native.origin(), work)?;
        }
        for layer in LAYERS {
            for (table, origin, sql) in bundled(layer) {
                steps.insert(
                    contracts,
                    layer,
                    table,
                    origin,
                    StepBody::Sql(sql.to_owned()),
                )?;
            }
            if let Some(folder) = own {
                steps.find_own(contracts, layer, &folder.join(layer))?;
            }
        }
        Ok(steps)
    }

    fn find_own(&mut self, contracts: &Contracts, layer: &str, folder: &Path) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Ok(());
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "sql") {
                let sql = std::fs::read(&path)
                    .or_error(ErrorKind::Configuration, "cannot read a query")
                    .and_then(|bytes| encoding::text(bytes, &path, ErrorKind::Configuration))
                    .map_err(|error| error.with("file", path.display()))?;
                if let Some(table) = stem(&path) {
                    let origin = path.display().to_string();
                    self.insert(contracts, layer, table, origin, StepBody::Sql(sql))?;
                }
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        contracts: &Contracts,
        layer: &str,
        table: &str,
        origin: String,
        work: StepBody,
    ) -> Result<()> {
        let params = match &work {
            StepBody::Sql(sql) => {
                declared_params(sql).map_err(|error| error.with("file", &origin))?
            }
            StepBody::Native(_) => Vec::new(),
        };
        let (incremental, is_stored) = match &work {
            StepBody::Sql(sql) => {
                let incremental = Incremental::declared(sql);
                let incremental = incremental.map_err(|error| error.with("file", &origin))?;
                (incremental, layer == BASE && incremental::is_stored(sql))
            }
            StepBody::Native(native) => (Some(native.incremental()), false),
        };
        let name = TableName::new(layer, table);
        let own = match &work {
            StepBody::Native(native) => native.contract()?.map(Arc::new),
            StepBody::Sql(_) => None,
        };
        let contract = match layer {
            _ if own.is_some() => own,
            BASE => contracts.get("domain", table).map(|domain| based(domain)),
            _ => contracts.get(layer, table).cloned(),
        };
        self.0.insert(
            name.clone(),
            Step {
                name,
                work,
                origin,
                params,
                contract,
                incremental,
                is_stored,
                reads: OnceLock::new(),
            },
        );
        Ok(())
    }

    /// Give the steps these contracts, which have the configured layout.
    pub(super) fn apply_layout(&mut self, contracts: &Contracts) {
        for step in self.0.values_mut() {
            let TableName { layer, table } = &step.name;
            if let Some(contract) = contracts.get(layer, table) {
                step.contract = Some(Arc::clone(contract));
            }
        }
    }

    /// Set the parameters [`RUN_PARAMS`] of the steps that declare them.
    pub(super) fn set_run_params(&mut self, run_id: &str, started_at: DateTime<Utc>) -> Result<()> {
        let started_at = started_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let known = RUN_PARAMS.into_iter().zip([run_id, &started_at]);
        let known: Vec<_> = known.collect();
        for step in self.0.values_mut() {
            let asked: Vec<_> = known
                .iter()
                .filter(|(name, _)| step.params.iter().any(|param| param.name == *name))
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            step.params = bind_params(std::mem::take(&mut step.params), &asked)?;
        }
        Ok(())
    }

    /// Return the step that makes the table.
    pub(super) fn get(&self, name: &TableName) -> Option<&Step> {
        self.0.get(name)
    }

    /// Return whether a step makes the table.
    pub(super) fn has_step(&self, name: &TableName) -> bool {
        self.0.contains_key(name)
    }

    /// Return the contract that a `[[table]]` for `contract` must fill: that of the `base` table, if there is one.
    pub(super) fn input_contract(&self, contract: &Arc<Contract>) -> Arc<Contract> {
        let base = TableName::new(BASE, &contract.table);
        if contract.layer == "domain" && self.has_step(&base) {
            return based(contract);
        }
        Arc::clone(contract)
    }

    /// Return the tables (`layer.table`) that steps make from their own published rows.
    pub(super) fn self_reading_tables(&self, engine: &Engine) -> Result<BTreeSet<String>> {
        let mut self_reading_tables = BTreeSet::new();
        for step in self.0.values() {
            let reads = step.reads(engine)?.iter();
            let published = reads.filter(|read| read.layer == PUBLISHED);
            self_reading_tables
                .extend(published.map(|read| format!("{CUMULATIVE}.{}", read.table)));
        }
        Ok(self_reading_tables)
    }

    /// Return the steps ordered so that each follows the steps that it reads. Independent steps are ordered by name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the file: SQL that does not parse, a table that no step makes, or a cycle.
    pub fn topological_order(&self, engine: &Engine) -> Result<Vec<Step>> {
        let contracts = Contracts::bundled()?;
        let mut unordered: BTreeMap<&TableName, BTreeSet<TableName>> = BTreeMap::new();
        for step in self.0.values() {
            let at = |error: Error| error.with("file", &step.origin);
            let reads = step.reads(engine).map_err(at)?;
            for read in reads {
                let is_known = published(contracts, read).is_some()
                    || contracts.get(&read.layer, &read.table).is_some();
                if !self.0.contains_key(read) && !is_known {
                    let missing =
                        Error::new(ErrorKind::Configuration, "reads a table that no step makes");
                    return Err(at(missing.with("table", read)));
                }
            }
            let own = reads.iter().filter(|read| self.0.contains_key(read));
            unordered.insert(&step.name, own.cloned().collect());
        }
        let mut order = Vec::new();
        while !unordered.is_empty() {
            let ready = unordered
                .iter()
                .find(|(_, reads)| !reads.iter().any(|read| unordered.contains_key(read)));
            let Some((name, _)) = ready else {
                let steps = unordered.keys().filter_map(|name| self.0.get(*name));
                let files = steps.map(|step| step.origin.as_str());
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "queries depend on each other in a cycle",
                )
                .with("files", files.collect::<Vec<_>>().join(", ")));
            };
            let name = *name;
            unordered.remove(name);
            order.extend(self.0.get(name).cloned());
        }
        Ok(order)
    }
}

/// The schema in which a step reads the published rows of its own layer, [`CUMULATIVE`].
pub(super) const PUBLISHED: &str = "published";
/// The layer whose tables can be made from their own published rows.
pub(super) const CUMULATIVE: &str = "metrics";

/// Return the contract of `published.<table>`, which is that of the table in [`CUMULATIVE`].
pub(super) fn published(contracts: &Contracts, name: &TableName) -> Option<Arc<Contract>> {
    let contract = contracts.get(CUMULATIVE, &name.table)?;
    (name.layer == PUBLISHED).then(|| Arc::new(contract.in_layer(PUBLISHED)))
}

fn based(domain: &Contract) -> Arc<Contract> {
    Arc::new(domain.in_layer(BASE))
}

/// Return the bundled files of one folder: name, path and text.
fn bundled(folder: &str) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let files = QUERIES.get_dir(folder).into_iter().flat_map(Dir::files);
    files.filter_map(|file| {
        let origin = format!("queries/{}", file.path().display());
        Some((stem(file.path())?, origin, file.contents_utf8()?))
    })
}

/// Return the file and the SQL of each check.
pub(super) fn checks() -> impl Iterator<Item = (String, &'static str)> {
    bundled(CHECKS).map(|(_, origin, sql)| (origin, sql))
}

/// Return the name (`group/name`) and the SQL of each report, sorted by name.
pub fn reports() -> Vec<(String, &'static str)> {
    let groups = QUERIES.get_dir(REPORTS).into_iter().flat_map(Dir::dirs);
    let files = groups.flat_map(Dir::files);
    let mut reports: Vec<_> = files
        .filter_map(|file| {
            let path = file.path().strip_prefix(REPORTS).ok()?.with_extension("");
            Some((path.to_str()?.replace('\\', "/"), file.contents_utf8()?))
        })
        .collect();
    reports.sort();
    reports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(texts: &[(&str, &str)]) -> StepGraph {
        let mut steps = StepGraph::default();
        for (table, sql) in texts {
            let origin = format!("{table}.sql");
            let inserted = steps.insert(
                &Contracts::default(),
                "domain",
                table,
                origin,
                StepBody::Sql((*sql).to_owned()),
            );
            inserted.unwrap();
        }
        steps
    }

    fn order(texts: &[(&str, &str)]) -> Result<Vec<String>> {
        let order = steps(texts).topological_order(&Engine::new(None)?)?;
        Ok(order.into_iter().map(|step| step.name.table).collect())
    }

    #[test]
    fn a_step_follows_its_inputs_and_independent_steps_are_ordered_by_name() {
        let order = order(&[
            ("a", "SELECT * FROM domain.c"),
            ("b", "SELECT 1 AS n"),
            ("c", "WITH a AS (SELECT * FROM domain.b) SELECT * FROM a"),
        ]);
        assert_eq!(order.unwrap(), ["b", "c", "a"]);
    }

    #[test]
    fn errors_for_cycles_and_missing_tables_name_the_files() {
        let circle = order(&[
            ("a", "SELECT * FROM domain.b"),
            ("b", "SELECT * FROM domain.a"),
        ]);
        assert!(
            circle
                .unwrap_err()
                .to_string()
                .contains("files=a.sql, b.sql")
        );
        let missing = order(&[("a", "SELECT * FROM domain.nowhere")])
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("table=domain.nowhere") && missing.contains("file=a.sql"),
            "{missing}"
        );
    }

    #[test]
    fn bundled_steps_can_be_ordered_and_published_tables_have_a_contract() {
        let order = StepGraph::find(None)
            .unwrap()
            .topological_order(&Engine::new(None).unwrap())
            .unwrap();
        for step in order {
            let is_private = step.name.layer == BASE;
            assert!(is_private || step.contract.is_some(), "{}", step.origin);
        }
    }
}
