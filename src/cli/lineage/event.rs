//! The JSON of an event, version 2-0-2 of OpenLineage's specification.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::super::run_report::RunReport;
use super::settings::{LineageSettings, ParentRun, uuid};
use crate::config::Config;
use crate::digest::sha256_hex;
use crate::engine::TableName;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contracts;
use crate::transform::{TableLineage, TransformReport};

/// The program that produces the facets.
const PRODUCER: &str = concat!(
    "https://crates.io/crates/bitlake/",
    env!("CARGO_PKG_VERSION")
);
const SPECIFICATION: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// The namespace of Bitbucket's repositories, which are inputs.
const BITBUCKET: &str = "https://bitbucket.org";

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Start,
    Complete,
    Fail,
    /// A signal stopped the run.
    Abort,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Fail => "FAIL",
            Self::Abort => "ABORT",
        }
    }
}

/// The data of an event.
pub(super) struct EventContext<'a> {
    pub(super) settings: &'a LineageSettings,
    pub(super) config: &'a Config,
    /// The URL of the lake.
    pub(super) lake: &'a str,
    pub(super) report: &'a RunReport,
    pub(super) lineage: &'a BTreeMap<TableName, TableLineage>,
}

impl EventContext<'_> {
    /// Write the event.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if a bundled contract cannot be read.
    pub(super) fn event(&self, kind: EventKind) -> Result<Value> {
        let head = &self.report.head;
        let time = match kind {
            EventKind::Start => head.started_at,
            _ => head.finished_at,
        };
        let transform = self.report.transform.as_ref();
        let outputs = transform
            .map(|transform| self.outputs(transform))
            .transpose()?;
        Ok(json!({
            "eventType": kind.as_str(),
            "eventTime": instant(time),
            "run": {"runId": self.run_id()?, "facets": self.run_facets(kind)},
            "job": {
                "namespace": self.settings.namespace,
                "name": format!("bitlake.{}", head.command),
                "facets": {"jobType": facet("2-0-4/JobTypeJobFacet", json!({
                    "processingType": "BATCH", "integration": "BITLAKE", "jobType": head.command.to_uppercase(),
                }))},
            },
            "inputs": self.inputs(transform),
            "outputs": outputs.unwrap_or_default(),
            "producer": PRODUCER,
            "schemaURL": SPECIFICATION,
        }))
    }

    /// Return the id of the run as a UUID of version 7, which is the same in each event of the run.
    fn run_id(&self) -> Result<String> {
        let head = &self.report.head;
        let time = format!("{:012x}", head.started_at.timestamp_millis());
        let rest = sha256_hex(format!("{}\n{}", self.lake, head.run_id));
        uuid(&format!("{time}{rest}"), '7')
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a run has no id"))
    }

    fn run_facets(&self, kind: EventKind) -> Map<String, Value> {
        let version = env!("CARGO_PKG_VERSION");
        let engine =
            json!({"name": "bitlake", "version": version, "openlineageAdapterVersion": version});
        let mut facets = Map::new();
        let engine = facet("1-1-1/ProcessingEngineRunFacet", engine);
        facets.insert("processing_engine".to_owned(), engine);
        if let Some(ParentRun {
            namespace,
            job,
            run_id,
        }) = &self.settings.parent
        {
            let parent =
                json!({"run": {"runId": run_id}, "job": {"namespace": namespace, "name": job}});
            let parent = facet("1-2-0/ParentRunFacet", parent);
            facets.insert("parent".to_owned(), parent);
        }
        let error = self.report.head.error.as_ref();
        if let Some(error) = error.filter(|_| kind != EventKind::Start) {
            let message = json!({"message": error, "programmingLanguage": "Rust"});
            let message = facet("1-0-1/ErrorMessageRunFacet", message);
            facets.insert("errorMessage".to_owned(), message);
        }
        facets
    }

    /// Return the inputs: the collected repositories, the outside files, and the tables that steps read and this run did not
    /// compute.
    fn inputs(&self, transform: Option<&TransformReport>) -> Vec<Value> {
        let mut inputs = Vec::new();
        if let Some(collect) = &self.report.collect {
            let names = collect.repositories.iter().map(|it| it.repository.as_str());
            inputs.extend(names.map(|name| dataset((BITBUCKET.to_owned(), name.to_owned()))));
        }
        let made = self.output_names(transform);
        if !made.is_empty() {
            for table in &self.config.tables {
                inputs.push(dataset(place(&table.location)));
            }
        }
        let steps = self
            .lineage
            .iter()
            .filter(|(name, _)| made.contains(&name.to_string()));
        let reads = steps
            .flat_map(|(_, lineage)| &lineage.reads)
            .map(ToString::to_string);
        let reads: BTreeSet<_> = reads.filter(|read| !made.contains(read)).collect();
        inputs.extend(reads.iter().map(|read| dataset(self.table(read))));
        inputs
    }

    /// Return the tables that steps of this run computed, and the source tables if the run collected.
    fn output_names(&self, transform: Option<&TransformReport>) -> BTreeSet<String> {
        let is_source =
            |name: &&String| self.report.collect.is_some() && name.starts_with("bitbucket.");
        let names = transform
            .into_iter()
            .flat_map(|it| it.made.keys().chain(it.rows.keys().filter(is_source)));
        names.cloned().collect()
    }

    /// Return the outputs: the tables that this run computed, with columns and rows.
    fn outputs(&self, transform: &TransformReport) -> Result<Vec<Value>> {
        let contracts = Contracts::bundled()?;
        let names = self.output_names(Some(transform));
        let outputs = names.iter().map(|name| {
            let (layer, table) = name.split_once('.').unwrap_or_default();
            let mut facets = Map::new();
            if let Some(contract) = contracts.get(layer, table) {
                let fields = contract.columns.iter().map(|column| {
                    json!({"name": column.name, "type": column.type_name(), "description": column.description})
                });
                let schema = json!({"fields": fields.collect::<Vec<_>>()});
                let schema = facet("1-2-0/SchemaDatasetFacet", schema);
                facets.insert("schema".to_owned(), schema);
            }
            if let Some(lineage) = self.lineage.get(&TableName::new(layer, table)) {
                let columns = json!({"fields": self.columns(lineage)});
                let columns = facet("1-2-0/ColumnLineageDatasetFacet", columns);
                facets.insert("columnLineage".to_owned(), columns);
            }
            let rows = transform.rows.get(name).map(|rows| {
                let rows = facet("1-0-2/OutputStatisticsOutputDatasetFacet", json!({"rowCount": rows}));
                json!({"outputStatistics": rows})
            });
            let (namespace, name) = self.table(name);
            json!({
                "namespace": namespace,
                "name": name,
                "facets": facets,
                "outputFacets": rows.unwrap_or_else(|| json!({})),
            })
        });
        Ok(outputs.collect())
    }

    fn columns(&self, lineage: &TableLineage) -> Map<String, Value> {
        let columns = lineage
            .columns
            .iter()
            .filter(|(_, sources)| !sources.is_empty());
        let columns = columns.map(|(column, sources)| {
            let sources = sources.iter().map(|(table, field)| {
                let (namespace, name) = self.table(&table.to_string());
                json!({"namespace": namespace, "name": name, "field": field})
            });
            let sources: Vec<_> = sources.collect();
            (column.clone(), json!({"inputFields": sources}))
        });
        columns.collect()
    }

    /// Return namespace and name of a table (`layer.table`) of the lake: its folder.
    fn table(&self, name: &str) -> (String, String) {
        let (namespace, root) = place(self.lake);
        let folder = name.replacen('.', "/", 1);
        match root.trim_end_matches('/') {
            "" => (namespace, folder),
            root => (namespace, format!("{root}/{folder}")),
        }
    }
}

/// Return namespace and name of a folder or file by OpenLineage's conventions: `s3://bucket` and the key, or `file` and the
/// path.
fn place(location: &str) -> (String, String) {
    match location.split_once("://") {
        Some(("file", path)) => ("file".to_owned(), path.to_owned()),
        Some((scheme, rest)) => {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{bucket}"), key.to_owned())
        }
        None => {
            let path = std::path::absolute(location);
            let path = path.map_or_else(|_| location.to_owned(), |path| path.display().to_string());
            ("file".to_owned(), path)
        }
    }
}

fn dataset((namespace, name): (String, String)) -> Value {
    json!({"namespace": namespace, "name": name})
}

/// Return a facet with its schema, `version/Name`.
fn facet(schema: &str, content: Value) -> Value {
    let name = schema.split_once('/').map_or(schema, |(_, name)| name);
    let schema = format!("https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}");
    let mut facet = Map::from_iter([
        ("_producer".to_owned(), json!(PRODUCER)),
        ("_schemaURL".to_owned(), json!(schema)),
    ]);
    if let Value::Object(content) = content {
        facet.extend(content);
    }
    Value::Object(facet)
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
