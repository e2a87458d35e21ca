//! The layout of a table is configurable: a table with a new layout moves in one publish, and a reader that globs meanwhile
//! sees no row twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bitlake::lake::{InventoryDepth, Lake, NextFile, NextTable, ParquetFile, WrittenFile, publish};
use bitlake::schema::{Contract, Contracts};
use chrono::Utc;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};

use super::demo::bitlake;
use super::outside::Outside;

const INCIDENTS: &str = "id,title,created_date
    a,one,2026-05-01 10:00:00
    b,two,2026-05-02 10:00:00
    c,three,2026-06-01 10:00:00
    d,four,";

/// Return every Parquet file of a table, relative to the table's folder.
fn files(given: &Outside, table: &str) -> Vec<String> {
    let folder = given.root().join(table);
    let mut found = Vec::new();
    find(&folder, &mut found);
    let mut names: Vec<_> = found
        .iter()
        .map(|path: &std::path::PathBuf| {
            path.strip_prefix(&folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

fn find(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, found),
            false => found.push(path),
        }
    }
}

#[tokio::test]
async fn a_table_that_is_cut_otherwise_moves_in_one_publish() {
    let given = Outside::new().csv("domain.incidents", INCIDENTS);
    given.transform(&["config"]).await.unwrap();
    let incidents = "SELECT id, created_date FROM domain.incidents ORDER BY id";
    let rows = given.query(incidents).await;
    assert_eq!(files(&given, "domain/incidents").len(), 3);

    let given = given.lake(
        "compression = \"snappy\"\ntables = { \"domain.incidents\" = { partition = \"day\" } }",
    );
    let report = given.transform(&["config"]).await.unwrap();
    assert_eq!(report.published.files_removed, 3);
    assert_eq!(
        files(&given, "domain/incidents"),
        [
            "created_day=2026-05-01/part-0.parquet",
            "created_day=2026-05-02/part-0.parquet",
            "created_day=2026-06-01/part-0.parquet",
            "created_day=__HIVE_DEFAULT_PARTITION__/part-0.parquet",
        ]
    );
    assert_eq!(given.query(incidents).await, rows);
    let path = given
        .root()
        .join("domain/incidents/created_day=2026-06-01/part-0.parquet");
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let column = reader.metadata().row_group(0).column(0).clone();
    assert_eq!(column.compression(), Compression::SNAPPY);

    let again = given.transform(&["config"]).await.unwrap();
    assert_eq!(again.published.files_written, 0, "and stays where it is");
}

#[test]
fn a_mistake_in_the_layout_is_found_before_the_first_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bitlake.toml");
    let text = "[lake]\nurl = \"lake\"\ntables = { \"domain.commit\" = { partition = \"day\" } }\n";
    std::fs::write(&path, text).unwrap();
    for command in ["check", "collect"] {
        let output = bitlake(&["--config", path.to_str().unwrap(), command]);
        assert_eq!(output.status.code(), Some(2));
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(
            shown.contains("there is no table `domain.commit`") && shown.contains("line=3"),
            "{shown}"
        );
    }
}

fn contract() -> Arc<Contract> {
    let text = r#"{"description": "d", "version": 1, "primary_key": ["id"], "columns": [
        {"name": "id", "type": "string", "nullable": false}]}"#;
    let contracts = Contracts::parse("{}", [("domain", "things", text)]).unwrap();
    Arc::clone(contracts.require("domain", "things").unwrap())
}

const TABLE: &str = "domain.things";
const MAY: &str = "domain/things/created_month=2026-05/part-0.parquet";
const JUNE: &str = "domain/things/created_month=2026-06/part-0.parquet";
const DAY: &str = "domain/things/created_day=2026-05-01/part-0.parquet";
const NEXT_DAY: &str = "domain/things/created_day=2026-05-02/part-0.parquet";

struct Bench {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::create(
            folder.path().join("lake").to_str().unwrap(),
            &BTreeMap::new(),
        )
        .unwrap();
        Self { folder, lake }
    }

    fn staged(&self, id: &str) -> WrittenFile {
        let contract = contract();
        let path = self.folder.path().join(format!("{id}.parquet"));
        let mut file = ParquetFile::create(&path, contract.arrow_schema(), &contract).unwrap();
        let ids: ArrayRef = Arc::new(StringArray::from(vec![id]));
        file.write(&RecordBatch::try_new(contract.arrow_schema(), vec![ids]).unwrap())
            .unwrap();
        file.finish().unwrap()
    }

    /// Publish one row per path; die at the file whose path contains `dies_at`, as a killed run does.
    async fn publish(&self, files: &[(&str, &str)], dies_at: Option<&str>) {
        let mut next = NextTable {
            schema_version: 1,
            ..NextTable::default()
        };
        for (path, id) in files {
            let staged = self.staged(id);
            if dies_at == Some(id) {
                std::fs::remove_file(&staged.path).unwrap();
            }
            next.files
                .insert((*path).to_owned(), NextFile::Staged(staged));
        }
        let tables = BTreeMap::from([(TABLE.to_owned(), next)]);
        let lock = self.lake.lock().unwrap();
        let result = publish(
            &self.lake,
            &lock,
            "run",
            Utc::now(),
            &self.lake.inventory(InventoryDepth::Listing).await.unwrap(),
            tables,
        )
        .await;
        assert_eq!(result.is_err(), dies_at.is_some());
    }

    fn found(&self) -> Vec<&'static str> {
        let root = self.folder.path().join("lake");
        let all = [MAY, JUNE, DAY, NEXT_DAY];
        all.into_iter()
            .filter(|path| root.join(path).is_file())
            .collect()
    }
}

#[tokio::test]
async fn old_files_go_before_the_new_ones_of_another_cut_come() {
    let bench = Bench::new();
    bench.publish(&[(MAY, "a"), (JUNE, "b")], None).await;
    bench
        .publish(&[(DAY, "a"), (NEXT_DAY, "b")], Some("b"))
        .await;
    assert_eq!(
        bench.found(),
        [DAY],
        "nothing of the old cut beside the new one"
    );
    bench.publish(&[(DAY, "a"), (NEXT_DAY, "b")], None).await;
    assert_eq!(bench.found(), [DAY, NEXT_DAY]);
}

#[tokio::test]
async fn files_of_the_same_cut_go_after_the_others_have_come() {
    let bench = Bench::new();
    bench.publish(&[(JUNE, "b")], None).await;
    bench.publish(&[(MAY, "a")], Some("a")).await;
    assert_eq!(bench.found(), [JUNE]);
}

#[tokio::test]
async fn leftovers_of_a_killed_move_are_removed_before_the_old_layout_is_restored() {
    let bench = Bench::new();
    bench.publish(&[(MAY, "a"), (JUNE, "b")], None).await;
    bench
        .publish(&[(DAY, "a"), (NEXT_DAY, "b")], Some("b"))
        .await;
    // Meanwhile the setting was reverted, and this run dies as well.
    bench.publish(&[(MAY, "a"), (JUNE, "b")], Some("b")).await;
    assert_eq!(bench.found(), [MAY]);
    bench.publish(&[(MAY, "a"), (JUNE, "b")], None).await;
    assert_eq!(bench.found(), [MAY, JUNE]);
}
