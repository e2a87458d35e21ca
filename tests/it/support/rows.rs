//! Rows that tests give: JSON completed by the values that a case need not state.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitlake::schema::Contract;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use serde_json::{Value, json};

/// The given rows by table name.
pub type Given = BTreeMap<String, Vec<Value>>;

/// Return the values of a rule set or project that a row need not state.
fn implied(table: &str) -> Value {
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

/// Add the columns of `config.repositories` that follow from the name, as the configuration layer does.
fn add_repository_id(cells: &mut serde_json::Map<String, Value>) {
    let connection = cells["connection_id"].as_i64().unwrap();
    let name = cells["full_name"].as_str().unwrap().to_owned();
    let params = format!(r#"{{"ConnectionId":{connection},"FullName":"{name}"}}"#);
    let id = format!("bitbucket:BitbucketRepo:{connection}:{name}");
    cells.insert("repo_id".to_owned(), json!(id));
    cells.insert("raw_data_params".to_owned(), json!(params));
}

/// Return the row of a table below the source layer.
pub fn plain_row(contract: &Arc<Contract>, row: &Value) -> RecordBatch {
    let mut complete = implied(&contract.name());
    let stated = row.as_object().unwrap().clone();
    let cells = complete.as_object_mut().unwrap();
    cells.extend(stated);
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

/// Return the configuration and the repository that every case has unless it gives its own.
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
