//! The steps, found: each `queries/<layer>/<table>.sql` is one, and the tables it names are its inputs. A few more are
//! native.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use include_dir::{Dir, include_dir};

use super::native::NativeStep;
use super::stem;
use crate::encoding;
use crate::engine::{Engine, Param, TableName, bind_params, declared_params};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::{Contract, Contracts};

static QUERIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// The layers whose tables steps make. A `base` table has the contract of its namesake in `domain`: the rows before the
/// columns that are computed from them, so that a `[[table]]` can give the rows and still gets the columns. Without a
/// namesake it is what several steps rest on, and its columns are the query's. It is never published.
const LAYERS: [&str; 4] = [BASE, "domain", "dora", "metrics"];
pub(super) const BASE: &str = "base";
/// The folder of the queries that tell the run report what to mention.
const CHECKS: &str = "checks";
/// The folder of the queries that `bitlake query` runs.
const REPORTS: &str = "reports";

/// What makes a table.
#[derive(Debug, Clone)]
pub enum StepBody {
    Sql(String),
    NativeStep(NativeStep),
}

/// What makes one table.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: TableName,
    pub work: StepBody,
    /// The file, for errors.
    pub origin: String,
    /// What the text's header declares, with the values of this run.
    pub params: Vec<Param>,
    /// `None` for a user's own table and for a `base` table without a namesake: the columns are what the query gives.
    pub contract: Option<Arc<Contract>>,
}

impl Step {
    /// The tables that it reads.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`]: SQL that does not parse.
    pub fn reads(&self, engine: &Engine) -> Result<Vec<TableName>> {
        match &self.work {
            StepBody::Sql(sql) => engine.references(sql),
            StepBody::NativeStep(native) => native.reads(engine),
        }
    }

    /// A contract from the query's own columns, keyed and ordered by none.
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
        Ok(Arc::new(Contract::of_fields(layer, table, fields)?))
    }
}

/// All steps of a run, by the table they make.
#[derive(Debug, Default)]
pub struct StepGraph(BTreeMap<TableName, Step>);

impl StepGraph {
    /// The bundled steps, with those of `own` added or put in their place.
    pub fn find(own: Option<&Path>) -> Result<Self> {
        let contracts = Contracts::bundled()?;
        let mut steps = Self::default();
        for native in NativeStep::ALL {
            let (layer, table) = (native.layer(), native.table());
            let work = StepBody::NativeStep(native);
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
            StepBody::NativeStep(_) => Vec::new(),
        };
        let name = TableName::new(layer, table);
        let own = match &work {
            StepBody::NativeStep(native) => native.contract()?.map(Arc::new),
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
            },
        );
        Ok(())
    }

    /// Cuts and compresses what the steps make as these contracts say.
    pub(super) fn lay_out(&mut self, contracts: &Contracts) {
        for step in self.0.values_mut() {
            let TableName { layer, table } = &step.name;
            if let Some(contract) = contracts.get(layer, table) {
                step.contract = Some(Arc::clone(contract));
            }
        }
    }

    /// Gives the run's own values to the steps that ask for them: `run_id` and `recorded_at`.
    pub(super) fn set_run(&mut self, run_id: &str, started_at: DateTime<Utc>) -> Result<()> {
        let started_at = started_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let known = [("run_id", run_id), ("recorded_at", &started_at)];
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

    /// Whether a step makes the table.
    pub(super) fn make(&self, name: &TableName) -> bool {
        self.0.contains_key(name)
    }

    /// The contract that a `[[table]]` given for `contract` fills: of the rows before enrichment, where there are such.
    pub(super) fn place_of(&self, contract: &Arc<Contract>) -> Arc<Contract> {
        let base = TableName::new(BASE, &contract.table);
        if contract.layer == "domain" && self.make(&base) {
            return based(contract);
        }
        Arc::clone(contract)
    }

    /// Every step after those it reads; ready ones by name, so that the order never moves.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the file: SQL that does not parse, a table that nothing makes, a circle.
    /// The tables (`layer.table`) that are made from what was published of them before.
    pub(super) fn remembered(&self, engine: &Engine) -> Result<BTreeSet<String>> {
        let mut remembered = BTreeSet::new();
        for step in self.0.values() {
            let reads = step.reads(engine)?.into_iter();
            let published = reads.filter(|read| read.layer == PUBLISHED);
            remembered.extend(published.map(|read| format!("{REMEMBERED}.{}", read.table)));
        }
        Ok(remembered)
    }

    pub fn topological_order(&self, engine: &Engine) -> Result<Vec<Step>> {
        let contracts = Contracts::bundled()?;
        let mut waits: BTreeMap<&TableName, BTreeSet<TableName>> = BTreeMap::new();
        for step in self.0.values() {
            let at = |error: Error| error.with("file", &step.origin);
            let reads = step.reads(engine).map_err(at)?;
            for read in &reads {
                let is_known = published(contracts, read).is_some()
                    || contracts.get(&read.layer, &read.table).is_some();
                if !self.0.contains_key(read) && !is_known {
                    let missing =
                        Error::new(ErrorKind::Configuration, "reads a table that nothing makes");
                    return Err(at(missing.with("table", read)));
                }
            }
            let own = reads.into_iter().filter(|read| self.0.contains_key(read));
            waits.insert(&step.name, own.collect());
        }
        let mut order = Vec::new();
        while !waits.is_empty() {
            let ready = waits
                .iter()
                .find(|(_, reads)| !reads.iter().any(|read| waits.contains_key(read)));
            let Some((name, _)) = ready else {
                let files = waits.keys().map(|name| self.0[*name].origin.as_str());
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "queries read each other in a circle",
                )
                .with("files", files.collect::<Vec<_>>().join(", ")));
            };
            let name = *name;
            waits.remove(name);
            order.push(self.0[name].clone());
        }
        Ok(order)
    }
}

/// The schema in which a step sees what the lake published before of a layer, for a table that remembers.
pub(super) const PUBLISHED: &str = "published";
pub(super) const REMEMBERED: &str = "metrics";

/// The contract of `published.<table>`: that of its namesake in `metrics`.
fn published(contracts: &Contracts, name: &TableName) -> Option<Arc<Contract>> {
    let contract = contracts.get(REMEMBERED, &name.table)?;
    (name.layer == PUBLISHED).then(|| Arc::new(contract.in_layer(PUBLISHED)))
}

fn based(domain: &Contract) -> Arc<Contract> {
    Arc::new(domain.in_layer(BASE))
}

/// The bundled files of one folder: name, path, text.
fn bundled(folder: &str) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let files = QUERIES.get_dir(folder).into_iter().flat_map(Dir::files);
    files.filter_map(|file| {
        let origin = format!("queries/{}", file.path().display());
        Some((stem(file.path())?, origin, file.contents_utf8()?))
    })
}

/// `(file, SQL)` of the checks.
pub(super) fn checks() -> impl Iterator<Item = (String, &'static str)> {
    bundled(CHECKS).map(|(_, origin, sql)| (origin, sql))
}

/// `(group/name, SQL)` of the queries that people run, sorted.
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
    fn a_step_follows_what_it_reads_and_ready_ones_run_by_name() {
        let order = order(&[
            ("a", "SELECT * FROM domain.c"),
            ("b", "SELECT 1 AS n"),
            ("c", "WITH a AS (SELECT * FROM domain.b) SELECT * FROM a"),
        ]);
        assert_eq!(order.unwrap(), ["b", "c", "a"]);
    }

    #[test]
    fn a_circle_and_a_missing_table_name_their_files() {
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
    fn the_bundled_steps_are_a_graph_and_what_they_publish_has_a_contract() {
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
