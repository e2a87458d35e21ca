//! The statements of `bitlake ddl` load the lake: executed on DuckDB, DuckLake, Delta Lake, Iceberg and Postgres, parsed by
//! sqlglot for the other dialects.
//!
//! ```text
//! demo's lake, copied ─▶ ddl ─────────────────▶ database ─▶ equals the lake, cell by cell
//!   │ publish: partitions changed, moved, emptied, new; tables new and gone
//!   ▼
//! the lake after it ───▶ ddl --changed-since ─▶ the same database ─▶ equals the lake again
//! ```

mod bench;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use bitlake::schema::ddl::{DdlDialect, DdlScript, DdlTable, LoadedTable};
use bitlake::schema::{Contract, Contracts};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use serde_json::json;
use tempfile::TempDir;

use self::bench::write;
use super::demo::{bitlake, demo_lake, text};
use super::python::Python;

pub use self::bench::{Bench, described};

static PYTHON: LazyLock<Option<Python>> = LazyLock::new(|| Python::with("loading"));

#[tokio::test]
async fn duckdb_equals_the_lake_before_and_after_a_change() {
    loads_and_follows("duckdb").await;
}

#[tokio::test]
async fn ducklake_equals_the_lake_before_and_after_a_change() {
    loads_and_follows("ducklake").await;
}

/// Written by delta-rs, read by DuckDB.
#[tokio::test]
async fn delta_equals_the_lake_before_and_after_a_change() {
    loads_and_follows("delta").await;
}

#[tokio::test]
async fn iceberg_equals_the_lake_before_and_after_a_change() {
    loads_and_follows("iceberg").await;
}

#[tokio::test]
async fn postgres_equals_the_lake_before_and_after_a_change() {
    loads_and_follows("postgres").await;
}

async fn loads_and_follows(dialect: &str) {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let bench = Bench::new().await;
    let load = async |since: Option<&str>, gone: &[&str]| {
        let mut arguments = vec!["ddl", "--dialect", dialect, "--schema-prefix", "Lake's "];
        arguments.extend(since.iter().flat_map(|run| ["--changed-since", run]));
        let script = bench.ddl(&arguments);
        let plan = bench.plan(&script, "Lake's ", gone).await;
        python.run(dialect, &plan, bench.folder.path());
        script
    };
    let first = bench.hide("domain.boards").await;
    load(None, &[]).await;
    // Run it again on full tables.
    load(None, &[]).await;

    bench.change().await;
    let changes = load(Some(&first), &["domain.board_repos"]).await;
    assert!(
        !changes.contains("pull_request_reviewers") && changes.contains("pull_request_comments"),
        "only what changed is loaded"
    );
    let second = bench.run_id().await;
    let nothing = bench.ddl(&["ddl", "--dialect", dialect, "--changed-since", &second]);
    assert!(nothing.ends_with(" Nothing changed.\n"), "{nothing}");
}

#[tokio::test]
async fn devlakes_dashboards_find_their_tables_and_show_the_figures_of_metrics_devlake() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let bench = Bench::named("lake").await;
    let script = bench.ddl(&["ddl", "--dialect", "postgres"]);
    let mut plan = bench.plan_of(&script, json!({}));
    plan["recipes"] = json!(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/grafana"));
    python.run("grafana", &plan, bench.folder.path());
    let some = bench.ddl(&["ddl", "--dialect", "postgres", "--only", "domain"]);
    assert!(
        !some.contains("search_path"),
        "not without the tables of all layers"
    );
}

/// Statements for tables that were created when the contract had one column less.
#[tokio::test]
async fn a_column_that_the_contract_gained_is_added_to_loaded_tables() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let old = contract(1, "");
    let new = contract(
        2,
        r#", {"name": "size", "type": "bigint", "since": 2, "unit": "bytes", "description": "How big."}"#,
    );
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let sizes: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    for (dialect, name) in [
        (DdlDialect::DuckDb, "duckdb"),
        (DdlDialect::DuckLake, "ducklake"),
        (DdlDialect::Delta, "delta"),
        (DdlDialect::Iceberg, "iceberg"),
        (DdlDialect::Postgres, "postgres"),
    ] {
        let bench = Bench::new().await;
        let root = bench.lake.folder().unwrap();
        let location = root.to_str().unwrap();
        let script = |table| DdlScript {
            dialect,
            title: Vec::new(),
            schema_prefix: "",
            location: Some(location),
            tables: vec![table],
            gone: Vec::new(),
        };
        let load = |script: DdlScript<'_>, contract: &Contract| {
            let files: Vec<_> = script.tables[0].files.iter().copied().collect();
            let tables = json!({"domain.things": described(contract, &files)});
            let plan = bench.plan_of(&script.write().unwrap(), tables);
            python.run(name, &plan, bench.folder.path());
        };
        let (kept, changed) = ("domain/things/m=1/part-0.parquet", THINGS);
        for file in [kept, changed] {
            // The names differ, so that the key is unique.
            let prefix = StringArray::from(vec![format!("{file}a"), format!("{file}b")]);
            write(&root.join(file), &old, &batch(&old, vec![Arc::new(prefix)]));
        }
        let files = BTreeSet::from([kept, changed]);
        let table = DdlTable {
            contract: &old,
            files: files.clone(),
            loaded: None,
        };
        load(script(table), &old);
        let rows = batch(&new, vec![Arc::clone(&names), Arc::clone(&sizes)]);
        write(&root.join(changed), &new, &rows);
        let loaded = LoadedTable {
            version: 1,
            files: files.clone(),
            changed: BTreeSet::from([changed]),
        };
        let table = DdlTable {
            contract: &new,
            files,
            loaded: Some(loaded),
        };
        load(script(table), &new);
    }
}

#[tokio::test]
async fn every_statement_is_read_by_sqlglot_in_its_dialect() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let bench = Bench::new().await;
    let first = bench.run_id().await;
    let mut scripts = Vec::new();
    for step in ["whole", "changes"] {
        for (dialect, location) in LOCATIONS {
            let mut arguments = vec!["ddl", "--dialect", dialect, "--location", location];
            if step == "changes" {
                arguments.extend(["--changed-since", &first]);
            }
            let script = bench.ddl(&arguments);
            let at_least = if step == "whole" { 150 } else { 5 };
            scripts.push(
                json!({"dialect": dialect, "name": step, "script": script, "at_least": at_least}),
            );
        }
        if step == "whole" {
            bench.change().await;
        }
    }
    python.run("parse", &json!({"scripts": scripts}), bench.folder.path());
}

#[test]
fn dbt_gets_every_table_with_its_key_and_tests() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let output = bitlake(&["ddl", "--dialect", "dbt"]);
    let contracts = Contracts::bundled().unwrap().iter();
    let tables: serde_json::Map<_, _> = contracts
        .map(|contract| (contract.name(), described(contract, &[])))
        .collect();
    let folder = TempDir::new().unwrap();
    let plan = json!({"script": text(&output.stdout), "tables": tables});
    python.run("dbt", &plan, folder.path());
}

/// The lake's address for each warehouse.
const LOCATIONS: [(&str, &str); 7] = [
    ("snowflake", "s3://acme/lake"),
    ("bigquery", "gs://acme/lake"),
    ("redshift", "s3://acme/lake"),
    ("databricks", "s3://acme/lake"),
    ("athena", "s3://acme/lake"),
    ("duckdb", "/data/lake"),
    ("postgres", "/data/lake"),
];

/// The same where sqlglot reads nothing.
const OTHERS: [(&str, &str); 4] = [
    ("dbt", "/data/lake"),
    ("ducklake", "gs://acme/lake"),
    ("iceberg", "/data/lake"),
    ("delta", "abfss://lake@acme.dfs.core.windows.net/bitlake"),
];

const THINGS: &str = "domain/things/m=2/part-0.parquet";

/// Snapshot the statements of one small table whose partitions were added, changed, removed and kept.
#[test]
fn statements_for_one_table() {
    let contract = contract(
        2,
        r#", {"name": "table", "type": {"list": "labels"}, "description": "Says 'x\\y'."},
            {"name": "size", "type": "bigint", "since": 2, "unit": "bytes", "description": "How big."}"#,
    );
    let gone = "domain/things/m=__HIVE_DEFAULT_PARTITION__/part-0.parquet";
    let new = "domain/things/m=it%27s/part-0.parquet";
    let kept = "domain/things/m=1/part-0.parquet";
    for (dialect, location) in LOCATIONS.into_iter().chain(OTHERS) {
        let write = |table: DdlTable<'_>, gone: Vec<(&str, &str)>| {
            let script = DdlScript {
                dialect: clap::ValueEnum::from_str(dialect, false).unwrap(),
                title: vec!["A title.".to_owned()],
                schema_prefix: "lake_",
                location: Some(location),
                tables: vec![table],
                gone,
            };
            script.write().unwrap()
        };
        let whole = write(
            DdlTable {
                contract: &contract,
                files: BTreeSet::from([kept, THINGS]),
                loaded: None,
            },
            Vec::new(),
        );
        let loaded = LoadedTable {
            version: 1,
            files: BTreeSet::from([kept, THINGS, gone]),
            changed: BTreeSet::from([THINGS]),
        };
        let changes = write(
            DdlTable {
                contract: &contract,
                files: BTreeSet::from([kept, THINGS, new]),
                loaded: Some(loaded),
            },
            vec![("domain", "gone")],
        );
        let both = match dialect {
            "dbt" => whole,
            _ => format!("{whole}\n---- changes\n\n{changes}"),
        };
        insta::assert_snapshot!(format!("statements_for_{dialect}"), both);
    }
}

#[test]
fn a_place_that_the_warehouse_cannot_read_is_refused_before_anything_is_printed() {
    let lake = demo_lake().to_str().unwrap();
    let output = bitlake(&["--lake", lake, "ddl", "--dialect", "bigquery"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert!(error.contains("--location gs://"), "{error}");
}

#[tokio::test]
async fn a_lake_in_the_middle_of_a_publish_is_refused() {
    let bench = Bench::new().await;
    bench
        .edit_manifest(|manifest| {
            manifest["intent"] =
                json!({"run_id": "killed", "epoch": 9, "expires_at": "2026-01-01T00:00:00Z"});
        })
        .await;
    let lake = bench.lake.url();
    let output = bitlake(&["--lake", &lake, "ddl", "--dialect", "duckdb"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("run=killed"));
}

#[test]
fn create_statements_need_no_lake() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("nothing");
    let output = bitlake(&[
        "--lake",
        missing.to_str().unwrap(),
        "ddl",
        "--dialect",
        "snowflake",
        "--create",
        "--only",
        "dora,metrics",
    ]);
    let script = text(&output.stdout);
    let tables = Contracts::bundled().unwrap().iter();
    let chosen = tables.filter(|it| ["dora", "metrics"].contains(&it.layer.as_str()));
    assert_eq!(script.matches("CREATE TABLE").count(), chosen.count());
    assert!(!script.contains("COPY") && !script.contains("BEGIN"));
    // The client command of psql.
    let output = bitlake(&["ddl", "--dialect", "postgres", "--create"]);
    let script = text(&output.stdout);
    assert!(script.contains("CREATE TABLE") && !script.contains("postgres_execute"));
}

fn contract(version: u32, more: &str) -> Arc<Contract> {
    let text = format!(
        r#"{{"description": "One row per thing; it's small.", "version": {version}, "primary_key": ["name"], "columns": [
            {{"name": "name", "type": "string", "nullable": false, "description": "Name."}}{more}]}}"#
    );
    let types = r#"{"labels": {"struct": [{"name": "from", "type": "timestamp"}, {"name": "url", "type": "string"}]}}"#;
    let contracts = Contracts::parse(types, [("domain", "things", text.as_str())]).unwrap();
    Arc::clone(contracts.require("domain", "things").unwrap())
}

fn batch(contract: &Contract, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(contract.arrow_schema(), columns).unwrap()
}
