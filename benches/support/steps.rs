//! The steps of a transform, one after the other: bitlake's and DuckDB's, over the same source layer.
//!
//! ```text
//! lake with a source layer ─┬─▶ bitlake: every step ─────────────▶ Parquet
//!                           └─▶ DuckDB: the same SQL ────────────▶ Parquet
//!                                native steps: bitlake's tables ──┘
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bitlake::engine::{bind_params, inline_params};
use bitlake::lake::Lake;
use bitlake::schema::Contracts;
use bitlake::transform::{Step, StepBody, StepGraph, open_published, run_step};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::measure::{Cost, measured};

/// The memory limit of both, in bytes.
pub(crate) const MEMORY_LIMIT: u64 = 2 << 30;
/// The threads of both.
const THREADS: usize = 2;
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

/// Run every step over the published source layer of `lake`, and print its table as a line of JSON.
pub(crate) async fn run_steps(lake: &Path, folder: &Path) {
    let lake = Lake::open(lake.to_str().unwrap(), &BTreeMap::new())
        .await
        .unwrap();
    let engine = open_published(&lake, Some(MEMORY_LIMIT)).await.unwrap();
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
            files: files
                .into_iter()
                .map(|(_, written)| written.path.to_path_buf())
                .collect(),
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

/// Run bitlake's steps in a process of their own, which writes their tables below `folder`.
pub(crate) fn bitlake(lake: &Path, folder: &Path) -> (Vec<MadeTable>, Run) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let (printed, cost) = measured(command.arg(STEPS).arg(lake).arg(folder), folder);
    let made: Vec<MadeTable> = printed
        .lines()
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
///
/// # Panics
/// When a step has another number of rows than bitlake's.
pub(crate) fn duckdb(
    python: &Path,
    source: &BTreeMap<String, Vec<PathBuf>>,
    made: &[MadeTable],
    folder: &Path,
) -> Run {
    #[derive(Deserialize)]
    struct Printed {
        steps: BTreeMap<String, f64>,
        rows: BTreeMap<String, u64>,
    }

    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let layers = made.iter().map(|table| &table.table).chain(source.keys());
    let layers: std::collections::BTreeSet<_> =
        layers.filter_map(|name| name.split('.').next()).collect();
    let plan = json!({
        "prelude": include_str!("../../queries/duckdb.sql"),
        "memory_limit": MEMORY_LIMIT, "threads": THREADS, "folder": folder,
        "layers": layers, "tables": source, "steps": made,
    });
    let path = folder.join("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/duckdb_steps.py");
    let (printed, cost) = measured(Command::new(python).arg(script).arg(path), folder);
    let printed: Printed = serde_json::from_str(&printed).unwrap();
    for table in made.iter().filter(|table| table.sql.is_some()) {
        assert_eq!(
            printed.rows[&table.table], table.rows,
            "rows of {} on DuckDB",
            table.table
        );
    }
    Run {
        steps: printed.steps,
        native: 0.0,
        cost,
    }
}

/// Return the files of the tables that the steps read and do not make. A table without files is an empty one in `folder`.
pub(crate) async fn source(lake_folder: &Path, folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let lake = Lake::open(lake_folder.to_str().unwrap(), &BTreeMap::new())
        .await
        .unwrap();
    let manifest = lake.manifest().await.unwrap();
    let contracts = Contracts::bundled().unwrap();
    let history = contracts.require("metrics", "history").unwrap();
    let mut tables = BTreeMap::new();
    std::fs::create_dir_all(folder).unwrap();
    for (name, contract) in contracts
        .layer("bitbucket")
        .chain(contracts.layer("config"))
        .map(|contract| (contract.name(), contract))
        .chain([("published.history".to_owned(), history)])
    {
        let files = manifest
            .files(&name)
            .map(|(path, _)| lake_folder.join(path));
        let mut files: Vec<_> = files.collect();
        if files.is_empty() {
            let path = folder.join(format!("{name}.parquet"));
            let empty =
                bitlake::lake::ParquetFile::create(&path, contract.arrow_schema(), contract)
                    .unwrap();
            empty.finish().unwrap();
            files.push(path);
        }
        tables.insert(name, files);
    }
    tables
}
