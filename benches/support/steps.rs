//! The steps of a transform, one after the other: bitlake's and DuckDB's, over the same source layer.
//!
//! ```text
//! lake with a source layer ─┬─▶ bitlake: every step ─────────────▶ Parquet
//!                           └─▶ DuckDB: the same SQL ────────────▶ Parquet
//!                                native steps: bitlake's tables ──┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bitlake::engine::{bind_params, inline_params};
use bitlake::lake::{Lake, ParquetFile};
use bitlake::schema::Contracts;
use bitlake::transform::{Step, StepBody, StepGraph, open_published, run_step};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::figures::{self, Figure, Figures};
use super::measure::{Cost, measured};

/// The threads of both; with as many, figures of one machine serve another.
pub(crate) const THREADS: usize = 2;
/// The first argument of the process that runs bitlake's steps.
pub(crate) const STEPS: &str = "steps";

/// The table that a step made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MadeTable {
    pub(crate) table: String,
    /// Seconds.
    took: f64,
    rows: u64,
    /// The query with its parameters; `None` for a native step.
    sql: Option<String>,
    files: Vec<PathBuf>,
}

/// The seconds of the SQL steps by table, and the cost of the process.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) steps: BTreeMap<String, f64>,
    /// The seconds of the native steps; DuckDB has none.
    pub(crate) native: f64,
    pub(crate) cost: Cost,
}

/// Run every step over the published source layer of `lake`, and print its table as a line of JSON. `memory_limit`: bytes.
pub(crate) async fn run_steps(lake: &Path, folder: &Path, memory_limit: u64) {
    let lake = Lake::open(lake.to_str().unwrap(), &BTreeMap::new())
        .await
        .unwrap();
    let engine = open_published(&lake, Some(memory_limit)).await.unwrap();
    for contract in Contracts::bundled().unwrap().layer("metrics") {
        engine
            .register(&contract.in_layer("published"), &[])
            .unwrap();
    }
    let steps = StepGraph::find(None).unwrap();
    for mut step in steps.topological_order(&engine).unwrap() {
        set_params(&mut step);
        let table = step.name.to_string();
        let started = Instant::now();
        let (_, files) = run_step(&engine, &step, &folder.join(&table))
            .await
            .unwrap();
        let made = MadeTable {
            took: started.elapsed().as_secs_f64(),
            rows: files.iter().map(|(_, written)| written.rows).sum(),
            sql: match &step.work {
                StepBody::Sql(sql) => Some(inline_params(sql, &step.params).unwrap()),
                StepBody::Native(_) => None,
            },
            files: files.into_iter().map(|(_, written)| written.path).collect(),
            table,
        };
        println!("{}", serde_json::to_string(&made).unwrap());
    }
}

/// Set the parameters that a run gives.
fn set_params(step: &mut Step) {
    let given = [("run_id", "bench"), ("recorded_at", "2026-11-23T10:00:00Z")];
    let given = given
        .iter()
        .filter(|(name, _)| step.params.iter().any(|param| param.name == *name));
    let given: Vec<_> = given
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    step.params = bind_params(std::mem::take(&mut step.params), &given).unwrap();
}

/// The two runs over one lake.
pub(crate) struct StepsBench<'a> {
    /// The interpreter that has DuckDB.
    pub(crate) python: &'a Path,
    /// A lake with a published source layer.
    pub(crate) lake: &'a Path,
    /// The folder of the tables that the runs make.
    pub(crate) folder: &'a Path,
    /// The memory limit of both, in bytes.
    pub(crate) memory_limit: u64,
}

/// The shortest time of each step, and the runs with the least CPU time.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) figures: Figures,
    pub(crate) bitlake: Option<Run>,
    pub(crate) duckdb: Option<Run>,
}

impl Comparison {
    fn add(&mut self, bitlake: Run, duckdb: Run) {
        let figure = |(table, bitlake): (&String, &f64)| {
            let (bitlake, duckdb) = (*bitlake, duckdb.steps[table]);
            (table.clone(), Figure { bitlake, duckdb })
        };
        let run: Figures = bitlake.steps.iter().map(figure).collect();
        figures::keep_shorter(&mut self.figures, &run);
        for (kept, run) in [(&mut self.bitlake, bitlake), (&mut self.duckdb, duckdb)] {
            if kept
                .as_ref()
                .is_none_or(|kept| run.cost.cpu < kept.cost.cpu)
            {
                *kept = Some(run);
            }
        }
    }
}

impl StepsBench<'_> {
    /// Run both `repeat` times, in turn.
    ///
    /// # Panics
    /// When a step has another number of rows on DuckDB.
    pub(crate) async fn compare(&self, repeat: usize) -> Comparison {
        let source = self.source().await;
        let mut comparison = Comparison::default();
        for _ in 0..repeat {
            let (made, bitlake) = self.bitlake();
            let duckdb = self.duckdb(&source, &made);
            comparison.add(bitlake, duckdb);
        }
        comparison
    }

    /// Run bitlake's steps in a process of their own.
    fn bitlake(&self) -> (Vec<MadeTable>, Run) {
        let folder = self.empty("bitlake");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("TOKIO_WORKER_THREADS", THREADS.to_string());
        command.arg(STEPS).arg(self.lake).arg(&folder);
        command.arg(self.memory_limit.to_string());
        let (printed, cost) = measured(&mut command, &folder);
        let lines = printed.lines();
        let made: Vec<MadeTable> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (native, sql): (Vec<_>, Vec<_>) = made.iter().partition(|table| table.sql.is_none());
        let run = Run {
            steps: sql
                .iter()
                .map(|table| (table.table.clone(), table.took))
                .collect(),
            native: native.iter().map(|table| table.took).sum(),
            cost,
        };
        (made, run)
    }

    /// Run the same steps on DuckDB.
    fn duckdb(&self, source: &BTreeMap<String, Vec<PathBuf>>, made: &[MadeTable]) -> Run {
        #[derive(Deserialize)]
        struct Printed {
            steps: BTreeMap<String, f64>,
            rows: BTreeMap<String, u64>,
        }

        let folder = self.empty("duckdb");
        let layers = made.iter().map(|table| &table.table).chain(source.keys());
        let layers: BTreeSet<_> = layers.filter_map(|name| name.split('.').next()).collect();
        let plan = json!({
            "prelude": include_str!("../../queries/duckdb.sql"),
            "memory_limit": self.memory_limit, "threads": THREADS, "folder": folder,
            "layers": layers, "tables": source, "steps": made,
        });
        let path = folder.join("plan.json");
        std::fs::write(&path, plan.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/duckdb_steps.py");
        let (printed, cost) = measured(Command::new(self.python).arg(script).arg(path), &folder);
        let printed: Printed = serde_json::from_str(&printed).unwrap();
        for table in made.iter().filter(|table| table.sql.is_some()) {
            let rows = printed.rows[&table.table];
            assert_eq!(rows, table.rows, "rows of {} on DuckDB", table.table);
        }
        Run {
            steps: printed.steps,
            native: 0.0,
            cost,
        }
    }

    /// Create an empty folder.
    fn empty(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Return the files of the tables that the steps read and do not make. A table without files gets an empty one.
    async fn source(&self) -> BTreeMap<String, Vec<PathBuf>> {
        let lake = Lake::open(self.lake.to_str().unwrap(), &BTreeMap::new())
            .await
            .unwrap();
        let manifest = lake.manifest().await.unwrap();
        let folder = self.empty("empty");
        let contracts = Contracts::bundled().unwrap();
        let history = contracts.require("metrics", "history").unwrap();
        let read = contracts
            .layer("bitbucket")
            .chain(contracts.layer("config"));
        let read = read.map(|contract| (contract.name(), contract));
        let mut tables = BTreeMap::new();
        for (name, contract) in read.chain([("published.history".to_owned(), history)]) {
            let files = manifest.files(&name).map(|(path, _)| self.lake.join(path));
            let mut files: Vec<_> = files.collect();
            if files.is_empty() {
                let path = folder.join(format!("{name}.parquet"));
                let empty = ParquetFile::create(&path, contract.arrow_schema(), contract).unwrap();
                empty.finish().unwrap();
                files.push(path);
            }
            tables.insert(name, files);
        }
        tables
    }
}
