//! DuckDB, pyarrow, Polars and Spark read every table by its folder, and see what the contract and the manifest say.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use bitlake::schema::Contracts;
use serde_json::{Value, json};

use super::loading::Bench;
use super::python::{Python, skip};

static PYTHON: LazyLock<Option<Python>> = LazyLock::new(|| match has_java() {
    true => Python::with("readers"),
    false => {
        skip("Java, for Spark");
        None
    }
});

fn has_java() -> bool {
    let java = Command::new("java")
        .arg("-version")
        .stderr(Stdio::null())
        .status();
    java.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn four_engines_see_the_same_types_rows_and_sums() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let bench = Bench::named("lake").await;
    // Adds rows without a month, names that had to be encoded, and empty partitions.
    bench.change().await;
    let manifest = bench.lake.manifest().await.unwrap();
    let mut tables = serde_json::Map::new();
    for contract in Contracts::bundled().unwrap().iter() {
        let Some(entry) = manifest.table(&contract.name()) else {
            continue;
        };
        let columns = contract.columns.iter();
        let columns: Vec<Value> = columns
            .map(|column| json!([column.name, column.type_name()]))
            .collect();
        let files: Vec<_> = entry.files.keys().collect();
        let folder = format!("{}/{}", contract.layer, contract.table);
        tables.insert(
            folder,
            json!({"columns": columns, "rows": entry.rows, "files": files}),
        );
    }
    assert!(tables.len() > 70, "{}", tables.len());
    let plan = json!({"lake": bench.lake.url(), "tables": tables});
    python.run("read", &plan, bench.folder.path());
}
