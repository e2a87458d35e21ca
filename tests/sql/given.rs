//! The given tables of a case: rows written as Parquet and registered with an engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bitlake::engine::{Engine, TableName};
use bitlake::error::Result;
use bitlake::lake::{ParquetFile, file_url};
use bitlake::redaction::{ReceivedRecord, Redactor};
use bitlake::schema::{Contract, Contracts, Decoder, Parent, RecordEnvelope, SourceRecord};
use bitlake::secret::Masker;
use datafusion::arrow::array::RecordBatch;
use serde_json::Value;

use crate::rows::{Given, defaults, plain_row};

/// Write the given tables below `folder` and register them; return the engine and the tables' names.
pub async fn register(given: &Given, folder: &Path) -> Result<(Engine, BTreeSet<TableName>)> {
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
        engine.register(contract, &[file_url(&path)?.into()])?;
    }
    for contract in contracts.layer("metrics") {
        let contract = Arc::new(contract.in_layer("published"));
        let rows = given.remove(&contract.name()).unwrap_or_default();
        let path = folder.join(format!("{}.parquet", contract.name()));
        write(&contract, &rows, &path);
        engine.register(&contract, &[file_url(&path)?.into()])?;
    }
    // The remaining tables belong to the base layer: the rows from which the domain table of that name is made.
    for (table, rows) in given {
        let name = TableName::new("base", table.strip_prefix("base.").expect(&table));
        let contract = contracts.require("domain", &name.table)?.in_layer("base");
        let path = folder.join(format!("{table}.parquet"));
        write(&Arc::new(contract.clone()), &rows, &path);
        engine.register(&contract, &[file_url(&path)?.into()])?;
        names.insert(name);
    }
    Ok((engine, names))
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

/// Return a record with its envelope: acme/web of connection 1, unless the row states others.
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
    let record = SourceRecord {
        key: key.unwrap_or_else(|| n.to_string()),
        parent,
        payload: ReceivedRecord::read(&payload).redact(&redactor).0,
    };
    let connection_id = row["_connection_id"].as_i64().unwrap_or(1);
    let envelope = RecordEnvelope {
        connection_id,
        workspace,
        repository,
        uuid,
    };
    Decoder::new(Arc::clone(contract), envelope)
        .decode([record])
        .unwrap()
}
