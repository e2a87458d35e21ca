//! The SQL rules as text cases: input rows as Bitbucket sends them, the query, the rows expected.
//!
//! `tests/sql/*.txt` holds the cases; `UPDATE_CASES=1` writes what came out in the place of what was expected.
//!
//! ```text
//! --- case superseded_pull_request_is_closed
//! --- given bitbucket.pull_requests
//! {"id": 1, "state": "SUPERSEDED"}
//! --- expect SELECT id, status FROM domain.pull_requests
//! bitbucket:BitbucketPullRequest:1:acme/web:1 | CLOSED
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitlake::engine::{Engine, TableName};
use bitlake::lake::{ParquetFile, file_url};
use bitlake::redaction::{Received, Redactor};
use bitlake::schema::{Contract, Contracts, Decoder, Envelope, Parent, Record};
use bitlake::secret::Masker;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::support::Tables;

pub type Given = BTreeMap<String, Vec<Value>>;

struct Case {
    name: String,
    given: Given,
    /// Query, expected lines, and where they stand in the file.
    expect: Vec<(String, Vec<String>, std::ops::Range<usize>)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sql_case_gives_the_expected_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let only = std::env::var("CASES").unwrap_or_default();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut wrong = String::new();
    let mut ran = 0;
    for file in files
        .iter()
        .filter(|file| file.to_string_lossy().contains(&only))
    {
        ran += run_file(file, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(ran > 0, "no case ran");
}

async fn run_file(file: &Path, wrong: &mut String) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cases = parse(&lines);
    let mut replacements = Vec::new();
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        let tables = tables(&case.given, folder.path()).await;
        for (query, expected, range) in &case.expect {
            let got = match &tables {
                Ok(tables) => tables.query(query).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let got = got.unwrap_or_else(|error| vec![format!("error: {error}")]);
            if got != *expected {
                let name = file.file_name().unwrap().to_string_lossy();
                writeln!(
                    wrong,
                    "{name}: {}\n  {query}\n  expected:\n    {}\n  got:\n    {}",
                    case.name,
                    expected.join("\n    "),
                    got.join("\n    ")
                )
                .unwrap();
                replacements.push((range.clone(), got));
            }
        }
    }
    if std::env::var("UPDATE_CASES").is_ok() && !replacements.is_empty() {
        for (range, got) in replacements.into_iter().rev() {
            lines.splice(range, got);
        }
        std::fs::write(file, lines.join("\n") + "\n").unwrap();
    }
    cases.len()
}

fn parse(lines: &[String]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut table = None;
    let mut n = 0;
    while n < lines.len() {
        let line = lines[n].trim_end();
        n += 1;
        if let Some(name) = line.strip_prefix("--- case ") {
            cases.push(Case {
                name: name.to_owned(),
                given: Given::new(),
                expect: Vec::new(),
            });
            table = None;
        } else if let Some(name) = line.strip_prefix("--- given ") {
            let case = cases.last_mut().expect("given before case");
            case.given.entry(name.to_owned()).or_default();
            table = Some(name.to_owned());
        } else if let Some(query) = line.strip_prefix("--- expect ") {
            let start = n;
            while n < lines.len()
                && !lines[n].is_empty()
                && !lines[n].starts_with("--- ")
                && !lines[n].starts_with('#')
            {
                n += 1;
            }
            let case = cases.last_mut().expect("expect before case");
            case.expect
                .push((query.to_owned(), lines[start..n].to_vec(), start..n));
            table = None;
        } else if let (Some(table), false) = (&table, line.is_empty() || line.starts_with('#')) {
            let value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("line {n}: {error}"));
            let case = cases.last_mut().expect("rows before case");
            case.given.get_mut(table).unwrap().push(value);
        }
    }
    cases
}

/// The given tables, registered, below `folder`.
async fn tables(given: &Given, folder: &Path) -> bitlake::error::Result<Tables> {
    let engine = Engine::new(None)?;
    let contracts = Contracts::bundled()?;
    let mut given = given.clone();
    for (table, rows) in defaults() {
        given.entry(table).or_insert(rows);
    }
    let mut names = BTreeSet::new();
    for contract in contracts.iter() {
        // A table that the case does not give is empty, and needs no file for that.
        let Some(rows) = given.remove(&contract.name()) else {
            engine.register(contract, &[])?;
            continue;
        };
        names.insert(TableName::new(&contract.layer, &contract.table));
        let path = folder.join(format!("{}.parquet", contract.name()));
        write(contract, &rows, &path);
        engine.register(contract, &[file_url(&path)?])?;
    }
    for contract in contracts.layer("metrics") {
        let contract = Arc::new(contract.in_layer("published"));
        let rows = given.remove(&contract.name()).unwrap_or_default();
        let path = folder.join(format!("{}.parquet", contract.name()));
        write(&contract, &rows, &path);
        engine.register(&contract, &[file_url(&path)?])?;
    }
    // What is left are tables of the base layer: the rows that the domain table of that name is made from.
    for (table, rows) in given {
        let name = TableName::new("base", table.strip_prefix("base.").expect(&table));
        let contract = contracts.require("domain", &name.table)?.in_layer("base");
        let path = folder.join(format!("{table}.parquet"));
        write(&Arc::new(contract.clone()), &rows, &path);
        engine.register(&contract, &[file_url(&path)?])?;
        names.insert(name);
    }
    Tables::over(engine, names)
}

fn write(contract: &Arc<Contract>, rows: &[Value], path: &Path) {
    let mut file = ParquetFile::create(path, contract.arrow_schema(), contract).unwrap();
    for (n, row) in rows.iter().enumerate() {
        let batch = match contract.layer.as_str() {
            "bitbucket" => source_row(contract, row, n),
            _ => plain_row(contract, row),
        };
        file.write(&batch).unwrap();
    }
    file.finish().unwrap();
}

/// What a rule or project has that says nothing of it, so that cases need not.
fn unsaid(table: &str) -> Value {
    match table {
        "config.rules" => json!({
            "deployments": "bitbucket", "tags_limit": 10, "tags_order": "reverse semver",
            "issue_key_group": 0, "commits_diffs": "successive",
        }),
        "config.projects" => json!({
            "timezone": "UTC", "week_start": "Mon",
            "incident_window_hours": 72, "baseline_days": 30, "rework_days": 14,
        }),
        _ => json!({}),
    }
}

/// Adds the columns of `config.repositories` that follow from the name, as the configuration layer has them.
fn add_repository_id(cells: &mut serde_json::Map<String, Value>) {
    let connection = cells["connection_id"].as_i64().unwrap();
    let name = cells["full_name"].as_str().unwrap().to_owned();
    let params = format!(r#"{{"ConnectionId":{connection},"FullName":"{name}"}}"#);
    cells.insert(
        "repo_id".to_owned(),
        json!(format!("bitbucket:BitbucketRepo:{connection}:{name}")),
    );
    cells.insert("raw_data_params".to_owned(), json!(params));
}

pub fn plain_row(contract: &Arc<Contract>, row: &Value) -> RecordBatch {
    let mut complete = unsaid(&contract.name());
    let said = row.as_object().unwrap().clone();
    let cells = complete.as_object_mut().unwrap();
    cells.extend(said);
    if contract.name() == "config.repositories" {
        add_repository_id(cells);
    }
    // As in a `[[table]]`: empty where null may not be.
    for column in contract.columns.iter().filter(|column| !column.nullable) {
        let empty = match column.data_type {
            DataType::Utf8 => json!(""),
            DataType::Boolean => json!(false),
            DataType::Int64 | DataType::Float64 => json!(0),
            _ => continue,
        };
        cells.entry(column.name.clone()).or_insert(empty);
    }
    let row = &complete;
    let mut decoder = arrow_json::ReaderBuilder::new(contract.arrow_schema())
        .build_decoder()
        .unwrap();
    decoder.serialize(&[row]).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// A record with its envelope: acme/web of connection 1, unless the row says otherwise.
fn source_row(contract: &Arc<Contract>, row: &Value, n: usize) -> RecordBatch {
    let text = |key: &str, default: &str| row[key].as_str().unwrap_or(default).to_owned();
    let repository = text("_repository", "acme/web");
    let workspace = repository.split('/').next().unwrap().to_owned();
    let uuid = text("_workspace_uuid", &text("_repository_uuid", "{web}"));
    let parent = ["_pull_request_id", "_issue_id"]
        .iter()
        .find_map(|key| row[*key].as_i64());
    let parent = match (parent, row["_pipeline_uuid"].as_str()) {
        (Some(id), _) => Parent::Id(id),
        (None, Some(uuid)) => Parent::Uuid(uuid.to_owned()),
        (None, None) if contract.column("_pipeline_uuid").is_some() => {
            Parent::Uuid(text("", "{p}"))
        }
        (None, None) => Parent::Id(1),
    };
    let key = ["_key", "id", "uuid", "hash", "name"]
        .iter()
        .find_map(|key| match &row[*key] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
    let mut payload = row.clone();
    payload
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !key.starts_with('_'));
    let redactor = Redactor::new(Masker::default()).unwrap();
    let payload = payload.to_string();
    let record = Record {
        key: key.unwrap_or_else(|| n.to_string()),
        parent,
        payload: Received::read(&payload).redact(&redactor).0,
    };
    let connection_id = row["_connection_id"].as_i64().unwrap_or(1);
    let envelope = Envelope {
        connection_id,
        workspace,
        repository,
        uuid,
    };
    Decoder::new(Arc::clone(contract), envelope)
        .decode(vec![record])
        .unwrap()
}

pub fn defaults() -> Given {
    let statuses = [
        ("new", "TODO"),
        ("open", "TODO"),
        ("resolved", "DONE"),
        ("closed", "DONE"),
        ("on hold", "OTHER"),
        ("wontfix", "OTHER"),
        ("duplicate", "OTHER"),
        ("invalid", "OTHER"),
    ];
    let types = [
        ("bug", "BUG"),
        ("enhancement", "REQUIREMENT"),
        ("proposal", "REQUIREMENT"),
        ("task", "REQUIREMENT"),
    ];
    let statuses = statuses
        .map(|(from, to)| json!({"rules": "default", "original_status": from, "status": to}));
    let types =
        types.map(|(from, to)| json!({"rules": "default", "original_type": from, "type": to}));
    let repository = json!({
        "connection_id": 1, "repository_uuid": "{web}", "full_name": "acme/web", "workspace": "acme",
        "rules": "default", "issues": true, "code": true, "review": true, "cicd": true, "accounts": true,
    });
    let record = json!({
        "uuid": "{web}", "full_name": "acme/web", "name": "web", "slug": "web",
        "links": {"html": {"href": "https://bitbucket.org/acme/web"}},
    });
    let rules = json!({"rules": "default"});
    let connection = json!({"id": 1, "name": "acme", "endpoint": "https://api.bitbucket.org/2.0/"});
    Given::from([
        ("config.connections".to_owned(), vec![connection]),
        ("config.rules".to_owned(), vec![rules]),
        ("config.issue_statuses".to_owned(), statuses.to_vec()),
        ("config.issue_types".to_owned(), types.to_vec()),
        ("config.repositories".to_owned(), vec![repository]),
        ("bitbucket.repositories".to_owned(), vec![record]),
    ])
}
