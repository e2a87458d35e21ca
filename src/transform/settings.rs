//! Writes the configuration as tables. The SQL reads its settings from them, and they document the rules behind the
//! metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use serde_json::{Value, json};

use crate::config::{
    AssignedRepository, Config, EntityGroup, OrgFiles, OutsideTable, RepositoryIdentity,
    capture_groups,
};
use crate::encoding;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{ListStatus, ParquetFile, RepositoryState, WrittenFile};
use crate::schema::{Contract, conform};

type JsonRows = Vec<Value>;

/// Return the rows of the `config` tables that depend on configuration and state only, by table.
pub(super) fn tables(
    config: &Config,
    states: &[RepositoryState],
    assigned: &[AssignedRepository],
) -> Result<Vec<(&'static str, JsonRows)>> {
    let mut tables = vec![
        ("connections", connections(config)),
        ("rules", rules(config)),
        (
            "issue_statuses",
            mapped(config, "status", |rules| &rules.issue_status),
        ),
        (
            "issue_types",
            mapped(config, "type", |rules| &rules.issue_type),
        ),
        ("repositories", repositories(config, states, assigned)),
        ("completeness", completeness(states, assigned)),
        ("tag_pairs", tag_pairs(config)),
        ("components", components(config)),
        ("projects", projects(config)),
        ("project_repositories", project_repositories(assigned)),
    ];
    for (table, path, columns) in org_files(&config.org) {
        tables.push((table, csv(path, columns)?));
    }
    Ok(tables)
}

/// Return the table, the file and the columns of each key of `[org]`.
fn org_files(org: &OrgFiles) -> [(&'static str, Option<&Path>, &'static [&'static str]); 3] {
    [
        (
            "users",
            org.users.as_deref(),
            &["id", "name", "email", "team_ids"],
        ),
        (
            "teams",
            org.teams.as_deref(),
            &["id", "name", "alias", "parent_id", "sorting_index"],
        ),
        (
            "user_account_mapping",
            org.user_account_mapping.as_deref(),
            &[
                "id",
                "email",
                "full_name",
                "user_name",
                "avatar_url",
                "organization",
                "created_date",
                "status",
                "user_id",
            ],
        ),
    ]
}

/// Read each file of `[org]`, and return its key, its path, and its rows or the error of a run.
pub(super) fn check_org(org: &OrgFiles) -> Vec<(&'static str, &Path, Result<usize>)> {
    let files = org_files(org).into_iter();
    let files = files.filter_map(|(key, path, columns)| Some((key, path?, columns)));
    files
        .map(|(key, path, columns)| (key, path, csv(Some(path), columns).map(|rows| rows.len())))
        .collect()
}

fn connections(config: &Config) -> JsonRows {
    let rows = config.connections.iter().map(|connection| {
        json!({"id": connection.id, "name": connection.name, "endpoint": connection.endpoint.as_str()})
    });
    rows.collect()
}

fn rules(config: &Config) -> JsonRows {
    let rows = config.rules.values().map(|rules| {
        json!({
            "rules": rules.name,
            "deployments": rules.deployments.as_str(),
            "deployment_pattern": rules.deployment_pattern,
            "production_pattern": rules.production_pattern,
            "tags_pattern": rules.tags.pattern,
            "tags_limit": rules.tags.limit,
            "tags_order": rules.tags.order,
            "issue_key_pattern": rules.issue_key_pattern,
            "issue_key_group": rules.issue_key_pattern.as_deref().map_or(0, |pattern| capture_groups(pattern).min(1)),
            "cherry_pick_pattern": rules.cherry_pick_pattern,
            "hotfix_pattern": rules.hotfix_pattern,
            "change_branches": rules.change_branches,
            "commits_diffs": rules.commits_diffs.as_str(),
            "steps": rules.steps.as_str(),
        })
    });
    rows.collect()
}

fn tag_pairs(config: &Config) -> JsonRows {
    let mut rows = JsonRows::new();
    for rules in config.rules.values() {
        let pairs: BTreeSet<_> = rules.tags.pairs.iter().collect();
        for (new, old) in pairs {
            rows.push(json!({"rules": rules.name, "new_ref": new, "old_ref": old}));
        }
    }
    rows
}

/// Return the row of `outside_tables` for the `[[table]]` at `index`, which gave `rows` rows.
pub(super) fn outside_table(index: usize, given: &OutsideTable, rows: u64) -> Value {
    json!({
        "position": index + 1,
        "name": format!("{}.{}", given.layer, given.table),
        "is_added": given.add,
        "row_count": rows,
    })
}

fn components(config: &Config) -> JsonRows {
    let mut rows = JsonRows::new();
    for rules in config.rules.values() {
        for (component, pattern) in &rules.components {
            rows.push(
                json!({"rules": rules.name, "component": component, "path_pattern": pattern}),
            );
        }
    }
    rows
}

/// Return the rows of `issue_statuses` or `issue_types`: the mapped value of each original value and rule set.
fn mapped(
    config: &Config,
    column: &str,
    map: impl Fn(&crate::config::RuleSet) -> &BTreeMap<String, String>,
) -> JsonRows {
    let mut rows = JsonRows::new();
    for rules in config.rules.values() {
        for (original, to) in map(rules) {
            rows.push(json!({
                "rules": rules.name,
                (format!("original_{column}")): original,
                (column): to,
            }));
        }
    }
    rows
}

/// Return the id of a repository in the tables.
pub(super) fn repo_id(found: &RepositoryIdentity) -> String {
    let (connection, name) = (found.connection_id, &found.full_name);
    format!("bitbucket:BitbucketRepo:{connection}:{name}")
}

/// Return the parameters that DevLake records with rows of a repository, as JSON text.
pub(super) fn raw_data_params(found: &RepositoryIdentity) -> String {
    let (connection, name) = (found.connection_id, &found.full_name);
    format!(r#"{{"ConnectionId":{connection},"FullName":"{name}"}}"#)
}

fn repositories(
    config: &Config,
    states: &[RepositoryState],
    assigned: &[AssignedRepository],
) -> JsonRows {
    let deleted = |found: &RepositoryIdentity| {
        let mut states = states.iter();
        states.any(|one| {
            one.deleted && one.connection_id == found.connection_id && one.uuid == found.uuid
        })
    };
    let rows = assigned
        .iter()
        .map(|AssignedRepository { found, rules, .. }| {
            let entities = config.rules.get(rules).map(|rules| &rules.entities);
            let has =
                |group: EntityGroup| entities.is_some_and(|entities| entities.contains(&group));
            json!({
                "connection_id": found.connection_id,
                "repository_uuid": found.uuid,
                "full_name": found.full_name,
                "workspace": found.full_name.split('/').next(),
                "rules": rules,
                "issues": has(EntityGroup::Issues),
                "code": has(EntityGroup::Code),
                "review": has(EntityGroup::Review),
                "cicd": has(EntityGroup::Cicd),
                "accounts": has(EntityGroup::Accounts),
                "deleted": deleted(found),
                "repo_id": repo_id(found),
                "raw_data_params": raw_data_params(found),
            })
        });
    rows.collect()
}

/// The last run did not read an entity whose completeness is older than the newest one of its repository by this much.
const LAG: TimeDelta = TimeDelta::hours(12);

/// Return how complete each entity is. `complete_through` is null unless it stands still, because otherwise it would
/// change with every run.
fn completeness(states: &[RepositoryState], assigned: &[AssignedRepository]) -> JsonRows {
    let selected = |state: &RepositoryState| {
        assigned.iter().any(|one| {
            one.found.connection_id == state.connection_id && one.found.uuid == state.uuid
        })
    };
    let mut rows = JsonRows::new();
    for state in states.iter().filter(|state| selected(state)) {
        let entities = state.entities.values();
        let newest = entities.filter_map(|entity| entity.complete_through).max();
        for (entity, known) in &state.entities {
            let lags = known
                .complete_through
                .and_then(|time| time.checked_add_signed(LAG))
                .is_some_and(|by_then| newest > Some(by_then));
            let stands_still =
                lags || matches!(known.status, ListStatus::Stale | ListStatus::Failed);
            rows.push(json!({
                "connection_id": state.connection_id,
                "repository_uuid": state.uuid,
                "full_name": state.full_name,
                "entity": entity,
                "status": known.status.as_str(),
                "reason": known.reason,
                "complete_from": known.complete_from,
                "complete_through": stands_still.then_some(known.complete_through),
            }));
        }
    }
    rows
}

/// Return the collected time of a project: from the earliest start of a repository, because each metric reports its own
/// gaps, to the earliest end. `None` if no repository of it is collected.
pub(super) fn collected(
    project: &str,
    states: &[RepositoryState],
    assigned: &[AssignedRepository],
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let of_project = states.iter().filter(|state| {
        assigned.iter().any(|one| {
            one.found.connection_id == state.connection_id
                && one.found.uuid == state.uuid
                && one.projects.iter().any(|name| name == project)
        })
    });
    let spans = of_project.filter_map(|state| {
        let ends = state
            .entities
            .values()
            .filter_map(|entity| entity.complete_through);
        Some((state.since, ends.max()?))
    });
    spans.reduce(|(from, until), (since, end)| (from.min(since), until.min(end)))
}

fn projects(config: &Config) -> JsonRows {
    let rows = config.projects.iter().map(|project| {
        json!({
            "name": project.name,
            "timezone": project.timezone.name(),
            "week_start": project.week_start.to_string(),
            "incident_window_hours": project.incident_window_hours,
            "baseline_days": project.baseline_days,
            "rework_days": project.rework_days,
        })
    });
    rows.collect()
}

fn project_repositories(assigned: &[AssignedRepository]) -> JsonRows {
    let mut rows = JsonRows::new();
    for AssignedRepository {
        found, projects, ..
    } in assigned
    {
        for project in projects {
            rows.push(json!({
                "project_name": project,
                "connection_id": found.connection_id,
                "full_name": found.full_name,
            }));
        }
    }
    rows
}

/// Read a CSV with DevLake's headers (`ParentId`) as rows of `columns` (`parent_id`). A missing column is empty, and an
/// empty file has no rows.
///
/// # Errors
/// [`ErrorKind::Configuration`] when the file cannot be read or lacks its `Id`.
fn csv(path: Option<&Path>, columns: &[&str]) -> Result<JsonRows> {
    use arrow::array::AsArray;
    use arrow::csv::ReaderBuilder;
    use arrow::csv::reader::Format;
    use arrow::datatypes::{DataType, Field, Schema};

    let Some(path) = path else {
        return Ok(JsonRows::new());
    };
    let wrong = |what: &str| {
        Error::new(ErrorKind::Configuration, what.to_owned()).with("file", path.display())
    };
    let bytes =
        std::fs::read(path).map_err(|error| wrong("cannot read the CSV of [org]").source(error))?;
    let content = encoding::text(bytes, path, ErrorKind::Configuration)?;
    let (header, _) = Format::default()
        .with_header(true)
        .infer_schema(content.as_bytes(), Some(0))
        .map_err(|error| wrong("cannot read the CSV's header").source(error))?;
    let names: Vec<String> = header
        .fields()
        .iter()
        .map(|field| plain(field.name()))
        .collect();
    if names.is_empty() {
        return Ok(JsonRows::new());
    }
    if !names.contains(&plain("id")) {
        return Err(
            wrong("the CSV has no column `Id`").hint("its first line must be DevLake's header")
        );
    }
    let text: Vec<_> = names
        .iter()
        .map(|name| Field::new(name, DataType::Utf8, true))
        .collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(text)))
        .with_header(true)
        .build(content.as_bytes())
        .map_err(|error| wrong("cannot read the CSV").source(error))?;
    let mut rows = JsonRows::new();
    for batch in reader {
        let batch = batch.map_err(|error| wrong("cannot read the CSV").source(error))?;
        for row in 0..batch.num_rows() {
            let value = |column: &&str| {
                let cell = batch
                    .column_by_name(&plain(column))
                    .map(|array| array.as_string::<i32>().value(row));
                let cell = cell.unwrap_or_default().trim();
                let value = match *column {
                    "sorting_index" => json!(cell.parse::<i64>().unwrap_or_default()),
                    _ => json!(cell),
                };
                ((*column).to_owned(), value)
            };
            rows.push(Value::Object(columns.iter().map(value).collect()));
        }
    }
    Ok(rows)
}

/// Normalise a header: `ParentId` and `parent_id` are the same.
fn plain(header: &str) -> String {
    header.replace('_', "").trim().to_lowercase()
}

/// Write rows with the types of their contract, sorted by key.
pub(super) fn write(contract: &Contract, rows: &[Value], path: &Path) -> Result<WrittenFile> {
    let failed = |error: datafusion::arrow::error::ArrowError| {
        Error::new(ErrorKind::Internal, "cannot write a settings table")
            .with("table", contract.name())
            .source(error)
    };
    let schema = contract.arrow_schema();
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&schema))
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .map_err(failed)?;
    decoder.serialize(rows).map_err(failed)?;
    let batch = decoder
        .flush()
        .map_err(failed)?
        .unwrap_or_else(|| RecordBatch::new_empty(schema));
    let key = contract.primary_key.iter().map(|name| {
        let values: &ArrayRef = batch
            .column_by_name(name)
            .ok_or(name.as_str())
            .or_error(ErrorKind::Internal, "a settings table lacks its key")?;
        Ok(SortColumn {
            values: Arc::clone(values),
            options: None,
        })
    });
    let order = lexsort_to_indices(&key.collect::<Result<Vec<_>>>()?, None).map_err(failed)?;
    let sorted = take_record_batch(&batch, &order).map_err(failed)?;
    let mut file = ParquetFile::create(path, contract.arrow_schema(), contract)?;
    file.write(&conform(contract, &sorted)?)?;
    file.finish()
}
