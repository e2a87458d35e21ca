//! The bundled SQL gives the same results on an engine that shares no code with DataFusion, and can be written in other
//! dialects.
//!
//! ```text
//! demo's lake ─┬─▶ DataFusion: reports and checks, run here ─▶ Parquet ─┐
//!              ├─▶ DataFusion: steps, whose tables are on the lake ─────┼─▶ tests/engines/run.py compares
//!              ├─▶ DuckDB: the same texts over the same files ──────────┤
//!              └─▶ Sail, an engine of Spark's SQL: what is printed for it ─┘
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use bitlake::engine::{
    Dialect, Engine, Param, StepTranslation, TableName, bind_params, declared_params,
    inline_params, translate, translate_step,
};
use bitlake::lake::Lake;
use bitlake::schema::Contracts;
use bitlake::transform::{StepGraph, open_published, run_step};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::demo::demo_lake;
use super::python::Python;

static PYTHON: LazyLock<Option<Python>> = LazyLock::new(|| Python::with("engines"));

/// Non-default values of the parameters that reports declare.
const VARIATION: [(&str, &str); 9] = [
    ("project", "checkout,platform"),
    ("repo", "acme/checkout-web,acme/platform"),
    ("interval", "week"),
    ("from", "2026-04-01T00:00:00Z"),
    ("to", "2026-10-01T00:00:00Z"),
    ("report", "2021"),
    ("part", "review"),
    ("authors", "people"),
    ("linked", "false"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_gives_the_same_rows_on_duckdb_and_on_sail() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let plan = Plan::new(folder.path()).await;
    let rows = plan.rows().await;
    python.run("rows", &rows, folder.path());
    python.run("sail", &rows, folder.path());
}

#[test]
fn every_query_can_be_written_in_the_warehouses_dialects() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let cases: Vec<_> = files("")
        .iter()
        .map(|(name, sql)| json!({"name": name, "sql": sql}))
        .collect();
    let plan = json!({"cases": cases});
    python.run("dialects", &plan, folder.path());
}

/// The queries for DuckDB, with DataFusion's results.
struct Plan<'a> {
    folder: &'a Path,
    engine: Engine,
    /// The files of each table.
    tables: BTreeMap<String, Vec<PathBuf>>,
}

impl<'a> Plan<'a> {
    async fn new(folder: &'a Path) -> Self {
        let lake = Lake::open(demo_lake().to_str().unwrap(), &BTreeMap::new())
            .await
            .unwrap();
        let manifest = lake.manifest().await.unwrap();
        let files = |table: &String| {
            let paths = manifest.files(table).map(|(path, _)| path);
            paths.map(|path| demo_lake().join(path)).collect()
        };
        Self {
            folder,
            engine: open_published(&lake, None).await.unwrap(),
            tables: manifest
                .tables
                .keys()
                .map(|table| (table.clone(), files(table)))
                .collect(),
        }
    }

    async fn rows(&self) -> Value {
        let mut tables: Vec<_> = self
            .tables
            .iter()
            .map(|(name, files)| json!({"name": name, "files": files}))
            .collect();
        let views = self.private(&mut tables).await;
        let columns = self.columns().await;
        let mut cases = Vec::new();
        for layer in ["base", "domain", "dora", "metrics"] {
            cases.extend(self.steps(layer, &columns).await);
        }
        for folder in ["checks", "reports"] {
            for (name, sql) in files(folder) {
                cases.extend(self.report(&name, &sql).await);
            }
        }
        // As before the first run.
        tables.push(self.empty("published.history", "metrics.history").await);
        for contract in Contracts::bundled().unwrap().iter() {
            let name = contract.name();
            if !self.tables.contains_key(&name) {
                tables.push(self.empty(&name, &name).await);
            }
        }
        json!({
            "prelude": include_str!("../../queries/duckdb.sql"),
            "tables": tables,
            "views": views,
            "cases": cases,
        })
    }

    /// Add a table without rows, with the columns of another.
    async fn empty(&self, name: &str, like: &str) -> Value {
        let path = self.folder.join(format!("{name}.parquet"));
        let sql = format!("SELECT * FROM {like} WHERE false");
        let frame = self.engine.plan(&sql, &[]).await.unwrap();
        write(&path, frame.schema().inner(), &[]);
        json!({"name": name, "files": [path]})
    }

    /// Add the tables that steps read and the lake does not contain, in the order of their computation; the result of a native
    /// step is added with its rows.
    async fn private(&self, tables: &mut Vec<Value>) -> Vec<Value> {
        let steps = StepGraph::find(None)
            .unwrap()
            .topological_order(&self.engine)
            .unwrap();
        let texts = files("base");
        let mut views = Vec::new();
        for step in steps.iter().filter(|step| step.name.layer == "base") {
            let name = step.name.to_string();
            let folder = self.folder.join(&name);
            let (_, _files) = run_step(&self.engine, step, &folder).await.unwrap();
            let frame = self
                .engine
                .plan(&format!("SELECT * FROM {name}"), &[])
                .await;
            let frame = frame.unwrap();
            let path = self.base_file(&name);
            let schema = Arc::clone(frame.schema().inner());
            write(&path, &schema, &frame.collect().await.unwrap());
            match texts.get(&format!("queries/base/{}.sql", step.name.table)) {
                Some(sql) => views.push(json!({"name": name, "sql": sql, "files": [path]})),
                None => tables.push(json!({"name": name, "files": [path]})),
            }
        }
        views
    }

    /// The file with the rows of a table that is not published.
    fn base_file(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.parquet"))
    }

    /// The columns of the tables that steps read.
    async fn columns(&self) -> BTreeMap<String, Vec<String>> {
        let mut columns = BTreeMap::new();
        let order = StepGraph::find(None).unwrap();
        let order = order.topological_order(&self.engine).unwrap();
        let bundled = Contracts::bundled().unwrap().iter();
        let bundled = bundled.map(|it| TableName::new(&it.layer, &it.table));
        for TableName { layer, table } in order.into_iter().map(|step| step.name).chain(bundled) {
            let found = self.engine.columns(&layer, &table).await;
            columns.insert(format!("{layer}.{table}"), found);
        }
        let history = columns["metrics.history"].clone();
        columns.insert("published.history".to_owned(), history);
        columns
    }

    /// Add a layer's steps; DataFusion's rows are those that the demo published.
    async fn steps(&self, layer: &str, columns: &BTreeMap<String, Vec<String>>) -> Vec<Value> {
        let contracts = Contracts::bundled().unwrap();
        let params = self.run().await;
        let spark_params = params.iter().map(|param| {
            let (name, text) = (
                param["name"].as_str().unwrap(),
                param["text"].as_str().unwrap(),
            );
            let kind = param["type"].as_str().unwrap().replace("varchar", "string");
            (name.to_owned(), format!("CAST('{text}' AS {kind})"))
        });
        let spark_params = spark_params.collect();
        let mut cases = Vec::new();
        for (name, sql) in files(layer) {
            let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
            let table = TableName::new(layer, stem).to_string();
            let expected = match layer {
                "base" => vec![self.base_file(&table)],
                _ => self
                    .tables
                    .get(&table)
                    .unwrap_or_else(|| panic!("{table} is not published"))
                    .clone(),
            };
            let contract = match layer {
                "base" => contracts.get("domain", stem),
                _ => contracts.get(layer, stem),
            };
            let translation = StepTranslation {
                contract: contract.map(AsRef::as_ref),
                columns_of: &|table| columns.get(&table.to_string()).cloned(),
                table: &ToString::to_string,
                params: &spark_params,
            };
            let spark = match translate_step(&sql, Dialect::Spark, &translation) {
                Ok(sql) => json!({"sql": sql}),
                Err(error) => json!({"failure": error.to_string()}),
            };
            cases.push(json!({
                "name": name, "sql": sql, "is_step": true, "expected": expected, "params": params, "spark": spark,
            }));
        }
        cases
    }

    /// The parameters that a run passes to its steps.
    async fn run(&self) -> Vec<Value> {
        let sql = "SELECT max(run_id) AS run_id, cast(max(recorded_at) AS varchar) AS recorded_at FROM metrics.history";
        let batches = self.engine.plan(sql, &[]).await.unwrap().collect().await;
        let batch = &batches.unwrap()[0];
        let options = FormatOptions::default().with_null("null");
        let mut params = Vec::new();
        for (n, kind) in ["varchar", "timestamp"].iter().enumerate() {
            let column = batch.column(n);
            let cells = ArrayFormatter::try_new(column, &options);
            let value = cells.unwrap().value(0).to_string();
            let name = batch.schema().field(n).name().clone();
            params.push(json!({"name": name, "type": kind, "text": value}));
        }
        params
    }

    /// Add a report, once with its defaults and once with other values of its parameters.
    async fn report(&self, name: &str, sql: &str) -> Vec<Value> {
        let declared = declared_params(sql).unwrap();
        let mut cases = vec![self.case(name, sql, &declared, &[]).await];
        let given: Vec<_> = VARIATION
            .iter()
            .filter(|(name, value)| {
                let takes = |param: &Param| {
                    param.allowed.is_empty() || param.allowed.iter().any(|it| it == value)
                };
                declared
                    .iter()
                    .any(|param| param.name == *name && takes(param))
            })
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if !given.is_empty() {
            cases.push(self.case(name, sql, &declared, &given).await);
        }
        cases
    }

    async fn case(
        &self,
        name: &str,
        sql: &str,
        declared: &[Param],
        given: &[(String, String)],
    ) -> Value {
        let shown = given.iter().map(|(name, value)| format!(" {name}={value}"));
        let title = format!("{name}{}", shown.collect::<String>());
        let params = bind_params(declared.to_vec(), given).unwrap();
        let path = self
            .folder
            .join(title.replace(['/', ' ', ':', ','], "_") + ".parquet");
        let failure = self.answer(sql, &params, &path).await.err();
        let values: Vec<_> = params
            .iter()
            .map(|param| {
                let text = &param.text;
                json!({"name": param.name, "type": param.type_name, "text": text})
            })
            .collect();
        let mut printed =
            vec![json!({"dialect": "duckdb", "sql": inline_params(sql, &params).unwrap()})];
        for dialect in Dialect::WAREHOUSES {
            printed.push(match translate(sql, &params, dialect) {
                Ok(text) => json!({"dialect": dialect.name(), "sql": text}),
                Err(error) => json!({"dialect": dialect.name(), "failure": error.to_string()}),
            });
        }
        let spark = printed.last();
        json!({
            "spark": spark,
            "name": title, "sql": sql, "is_step": false, "expected": [path], "params": values, "printed": printed,
            "failure": failure,
        })
    }

    /// Write DataFusion's rows to a file.
    async fn answer(&self, sql: &str, params: &[Param], path: &Path) -> Result<(), String> {
        let frame = self.engine.plan(sql, params).await;
        let frame = frame.map_err(|error| error.to_string())?;
        let schema = Arc::clone(frame.schema().inner());
        let batches = frame.collect().await.map_err(|error| error.to_string())?;
        write(path, &schema, &batches);
        Ok(())
    }
}

fn write(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) {
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(schema), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

/// Return the SQL files below `queries/<folder>` by path.
fn files(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![root.join("queries").join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "sql") && !path.ends_with("duckdb.sql")
            {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}
