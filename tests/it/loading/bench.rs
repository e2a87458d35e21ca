//! A lake that tests publish to, with the rows that a database or reader must find in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bitlake::lake::{InventoryDepth, Lake, NextFile, NextTable, ParquetFile, WrittenFile, publish};
use bitlake::schema::{Contract, Contracts};
use chrono::Utc;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::demo::{bitlake, demo_lake, text};
use super::super::support::copy;

/// A table's files, with their rows or with others.
type Files = BTreeMap<String, Option<RecordBatch>>;

/// A copy of the demo's lake that the test may publish to.
pub struct Bench {
    pub folder: TempDir,
    pub lake: Lake,
}

impl Bench {
    pub async fn new() -> Self {
        // A name that every statement must quote.
        Self::named("it's [a] lake").await
    }

    pub async fn named(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        #[cfg(unix)]
        {
            // Postgres runs as another user when root runs the test.
            use std::os::unix::fs::PermissionsExt;
            let all = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(folder.path(), all).unwrap();
        }
        let root = folder.path().join(name);
        copy(demo_lake(), &root);
        let lake = Lake::open(root.to_str().unwrap(), &BTreeMap::new())
            .await
            .unwrap();
        Self { folder, lake }
    }

    pub fn ddl(&self, arguments: &[&str]) -> String {
        let url = self.lake.url();
        let mut all = vec!["--lake", &url];
        all.extend(arguments);
        let output = bitlake(&all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    pub async fn run_id(&self) -> String {
        self.lake.manifest().await.unwrap().run_id.unwrap()
    }

    /// Describe the expected database after `script`: all published rows, and none of the tables in `gone`.
    pub async fn plan(&self, script: &str, prefix: &str, gone: &[&str]) -> Value {
        let manifest = self.lake.manifest().await.unwrap();
        let mut tables = serde_json::Map::new();
        for contract in Contracts::bundled().unwrap().iter() {
            let files: Vec<_> = manifest.files(&contract.name()).collect();
            let with_rows = files.iter().filter(|(_, file)| file.rows > 0);
            let with_rows: Vec<_> = with_rows.map(|(path, _)| path.as_str()).collect();
            let name = format!("\"{prefix}{}\".{}", contract.layer, contract.table);
            if !files.is_empty() || gone.contains(&contract.name().as_str()) {
                tables.insert(name, described(contract, &with_rows));
            }
        }
        self.plan_of(script, Value::Object(tables))
    }

    pub fn plan_of(&self, script: &str, tables: Value) -> Value {
        json!({
            "folder": self.folder.path(),
            "server": self.folder.path().join("pg"),
            "lake": self.lake.url(),
            "script": script,
            "tables": tables,
        })
    }

    pub async fn edit_manifest(&self, edit: impl Fn(&mut Value)) {
        let root = self.lake.folder().unwrap();
        let kept = format!("_bitlake/manifests/{}.json", self.run_id().await);
        for path in ["_bitlake/manifest.json", &kept] {
            let path = root.join(path);
            let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            edit(&mut manifest);
            std::fs::write(&path, manifest.to_string()).unwrap();
        }
    }

    /// Remove the table from the last manifest, as a publish without it would have written it; return its run.
    pub async fn hide(&self, table: &str) -> String {
        self.edit_manifest(|manifest| {
            manifest["tables"].as_object_mut().unwrap().remove(table);
        })
        .await;
        self.run_id().await
    }

    fn read(&self, path: &str) -> RecordBatch {
        let file = File::open(self.lake.folder().unwrap().join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let schema = Arc::clone(reader.schema());
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    }

    /// Publish a second time, with every kind of change of partitions and tables.
    pub async fn change(&self) {
        let manifest = self.lake.manifest().await.unwrap();
        let contracts = Contracts::bundled().unwrap();
        let staging = TempDir::new().unwrap();
        let mut next: BTreeMap<String, NextTable> = BTreeMap::new();
        let mut change = |name: &str, edit: &dyn Fn(&mut Files)| {
            let (layer, table) = name.split_once('.').unwrap();
            let contract = contracts.require(layer, table).unwrap();
            let mut files = manifest
                .files(name)
                .map(|(path, _)| (path.clone(), None))
                .collect();
            edit(&mut files);
            let staged = |(path, rows): (String, Option<RecordBatch>)| {
                let file = match rows {
                    None => NextFile::Kept,
                    Some(rows) => {
                        let local = staging.path().join(path.replace('/', "_"));
                        NextFile::Staged(write(&local, contract, &rows))
                    }
                };
                (path, file)
            };
            let entry = NextTable {
                schema_version: contract.version,
                made_from: BTreeMap::new(),
                files: files.into_iter().map(staged).collect(),
            };
            next.insert(name.to_owned(), entry);
        };
        let first = |files: &Files| files.keys().next().unwrap().clone();
        let less = |rows: &RecordBatch| rows.slice(0, rows.num_rows() / 2);
        // Some rows leave one partition; all rows of another move to a new one.
        change("domain.pull_requests", &|files| {
            let moved = first(files);
            files.remove(&moved);
            let new =
                "domain/pull_requests/created_month=__HIVE_DEFAULT_PARTITION__/part-0.parquet";
            files.insert(new.to_owned(), Some(self.read(&moved)));
            let changed = first(files);
            files.insert(changed.clone(), Some(less(&self.read(&changed))));
        });
        // A hostile name and nested columns.
        change("bitbucket.pull_requests", &|files| {
            let moved = first(files);
            files.remove(&moved);
            let new = "bitbucket/pull_requests/connection=1/workspace_slug=a%2F..%2F%27b/repo=%5B%2A%5D%20%25/part-0.parquet";
            files.insert(new.to_owned(), Some(self.read(&moved)));
        });
        // One partition becomes empty, and a table without partitions loses rows.
        for name in ["domain.pull_request_comments", "domain.refs"] {
            let rows = |rows: &RecordBatch| match name {
                "domain.refs" => less(rows),
                _ => rows.slice(0, 0),
            };
            change(name, &|files| {
                let changed = first(files);
                files.insert(changed.clone(), Some(rows(&self.read(&changed))));
            });
        }
        // A whole table becomes empty.
        change("domain.issues", &|files| {
            let any = first(files);
            files.clear();
            let empty = "domain/issues/created_month=__HIVE_DEFAULT_PARTITION__/part-0.parquet";
            files.insert(empty.to_owned(), Some(self.read(&any).slice(0, 0)));
        });
        // A table is added.
        change("domain.boards", &|files| {
            let path = "domain/boards/part-0.parquet";
            files.insert(path.to_owned(), Some(self.read(path)));
        });
        let base = self.lake.inventory(InventoryDepth::Listing).await.unwrap();
        let lock = self.lake.lock().unwrap();
        let run = "29991231T000000Z-000000";
        publish(&self.lake, &lock, run, Utc::now(), &base, next)
            .await
            .unwrap();
        drop(lock);
        // A table is removed.
        self.hide("domain.board_repos").await;
    }
}

/// The description of a table for the comparing scripts.
pub fn described(contract: &Contract, files: &[&str]) -> Value {
    let columns = contract.columns.iter();
    let nested = columns.clone().enumerate();
    let nested = nested.filter(|(_, column)| column.data_type.is_nested());
    let not_null = columns.clone().filter(|column| !column.nullable);
    json!({
        "files": files,
        "columns": columns.map(|column| &column.name).collect::<Vec<_>>(),
        "nested": nested.map(|(n, _)| n).collect::<Vec<_>>(),
        "not_null": not_null.map(|column| &column.name).collect::<Vec<_>>(),
        "key": contract.primary_key,
    })
}

pub fn write(path: &Path, contract: &Contract, rows: &RecordBatch) -> WrittenFile {
    let mut file = ParquetFile::create(path, contract.arrow_schema(), contract).unwrap();
    file.write(rows).unwrap();
    file.finish().unwrap()
}
