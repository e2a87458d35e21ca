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

/// The program that the facets come from.
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

/// What an event is written from.
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

    fn run_facets(&self, kind: EventKind) -> Value {
        let version = env!("CARGO_PKG_VERSION");
        let engine =
            json!({"name": "bitlake", "version": version, "openlineageAdapterVersion": version});
        let mut facets =
            json!({"processing_engine": facet("1-1-1/ProcessingEngineRunFacet", engine)});
        if let Some(ParentRun {
            namespace,
            job,
            run_id,
        }) = &self.settings.parent
        {
            let parent =
                json!({"run": {"runId": run_id}, "job": {"namespace": namespace, "name": job}});
            facets["parent"] = facet("1-2-0/ParentRunFacet", parent);
        }
        if let Some(error) = self
            .report
            .head
            .error
            .as_ref()
            .filter(|_| kind != EventKind::Start)
        {
            let message = json!({"message": error, "programmingLanguage": "Rust"});
            facets["errorMessage"] = facet("1-0-1/ErrorMessageRunFacet", message);
        }
        facets
    }

    /// Return the repositories that were collected, the outside files, and the tables that steps read and this run did not
    /// make.
    fn inputs(&self, transform: Option<&TransformReport>) -> Vec<Value> {
        let mut inputs = Vec::new();
        if let Some(collect) = &self.report.collect {
            let names = collect.repositories.iter().map(|it| it.repository.as_str());
            inputs.extend(names.map(|name| dataset(BITBUCKET, name)));
        }
        let made = self.output_names(transform);
        if !made.is_empty() {
            for table in &self.config.tables {
                let (namespace, name) = place(&table.location);
                inputs.push(dataset(&namespace, &name));
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
        inputs.extend(reads.iter().map(|read| self.table(read)));
        inputs
    }

    /// Return the tables that steps of this run made, and the source tables, if it collected.
    fn output_names(&self, transform: Option<&TransformReport>) -> BTreeSet<String> {
        let is_source =
            |name: &&String| self.report.collect.is_some() && name.starts_with("bitbucket.");
        let names = transform
            .into_iter()
            .flat_map(|it| it.made.keys().chain(it.rows.keys().filter(is_source)));
        names.cloned().collect()
    }

    /// Return the tables that this run made, with columns and rows.
    fn outputs(&self, transform: &TransformReport) -> Result<Vec<Value>> {
        let contracts = Contracts::bundled()?;
        let names = self.output_names(Some(transform));
        let outputs = names.iter().map(|name| {
            let mut output = self.table(name);
            let (layer, table) = name.split_once('.').unwrap_or_default();
            if let Some(contract) = contracts.get(layer, table) {
                let fields = contract.columns.iter().map(|column| {
                    json!({"name": column.name, "type": column.type_name(), "description": column.description})
                });
                let fields = json!({"fields": fields.collect::<Vec<_>>()});
                output["facets"] = json!({"schema": facet("1-2-0/SchemaDatasetFacet", fields)});
            }
            if let Some(lineage) = self.lineage.get(&TableName::new(layer, table)) {
                let columns = json!({"fields": self.columns(lineage)});
                output["facets"]["columnLineage"] = facet("1-2-0/ColumnLineageDatasetFacet", columns);
            }
            if let Some(rows) = transform.rows.get(name) {
                let rows = json!({"rowCount": rows});
                let rows = facet("1-0-2/OutputStatisticsOutputDatasetFacet", rows);
                output["outputFacets"] = json!({"outputStatistics": rows});
            }
            output
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
                let mut source = self.table(&table.to_string());
                source["field"] = json!(field);
                source
            });
            (
                column.clone(),
                json!({"inputFields": sources.collect::<Vec<_>>()}),
            )
        });
        columns.collect()
    }

    /// Return a table (`layer.table`) of the lake as a dataset: its folder.
    fn table(&self, name: &str) -> Value {
        let (namespace, root) = place(self.lake);
        let folder = name.replacen('.', "/", 1);
        let path = format!("{}/{folder}", root.trim_end_matches('/'));
        dataset(&namespace, path.strip_prefix("//").unwrap_or(&path))
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

fn dataset(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name.trim_start_matches("./")})
}

/// Return a facet with its schema, `version/Name`.
fn facet(schema: &str, mut content: Value) -> Value {
    let name = schema.split_once('/').map_or(schema, |(_, name)| name);
    content["_producer"] = json!(PRODUCER);
    content["_schemaURL"] = json!(format!(
        "https://openlineage.io/spec/facets/{schema}.json#/$defs/{name}"
    ));
    content
}

fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
