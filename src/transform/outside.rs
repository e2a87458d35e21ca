//! `[[table]]`: outside data in the place of a table, or beside its rows, mapped by SQL if need be.
//!
//! ```text
//! file ─▶ `query` over external ─▶ cast to the contract's types ─▶ given.part_0 ─┐
//!                                       the step's own rows, with `add` ─────────┴▶ union ─▶ the table
//! ```
//!
//! The parts may lack columns and hold nulls; where the contract allows none, the union puts what DevLake would have
//! written: `''`, 0 or false.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use futures::StreamExt;

use crate::config::{Format, OutsideTable};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{ParquetFile, bucket, file_url};
use crate::schema::{Contract, conform};

/// The schema that an outside file is registered in, and its name there; a `query` says `FROM external`.
const SCHEMA: &str = "outside";
const NAME: &str = "external";
/// The schema of what was read, typed.
pub(super) const GIVEN: &str = "given";
/// Columns of every DevLake table that no contract has: an export of DevLake's may bring them.
const BOOKKEEPING: [&str; 6] = [
    "created_at",
    "updated_at",
    "_raw_data_params",
    "_raw_data_table",
    "_raw_data_id",
    "_raw_data_remark",
];
/// What stands for null in a CSV, beside an empty cell, as the exports of MySQL and Postgres write it.
const CSV_NULLS: &str = r"'NULL', '\N'";

/// Reads an outside table (`options`: how buckets are reached) and registers it as `given.<part>`, with the contract's columns, all of them nullable.
///
/// # Errors
/// [`ErrorKind::Configuration`], naming the `[[table]]`, its location and the column: a file that cannot be read, a
/// query that fails, a column that the table does not have, a key that is missing, a value of the wrong type.
pub(super) async fn read(
    engine: &Engine,
    given: &OutsideTable,
    options: &BTreeMap<String, String>,
    contract: &Contract,
    part: &str,
    folder: &Path,
) -> Result<()> {
    let read = async {
        let frame = open(engine, given, options).await?;
        check_columns(&frame, contract)?;
        write(frame, contract, part, engine, folder).await
    };
    read.await.map_err(|error: Error| {
        let domain = contract.layer == super::steps::BASE;
        let layer = if domain { "domain" } else { &contract.layer };
        error
            .with("table", format!("{layer}.{}", contract.table))
            .with("location", &given.location)
            .with("at", &given.place)
    })
}

async fn open(
    engine: &Engine,
    given: &OutsideTable,
    options: &BTreeMap<String, String>,
) -> Result<DataFrame> {
    let csv = CsvFormat::default()
        .with_has_header(true)
        // Types come from the contract: a hash of digits is no number.
        .with_schema_infer_max_rec(0)
        .with_newlines_in_values(true);
    let format: Arc<dyn FileFormat> = match given.format {
        Format::Csv => Arc::new(csv),
        Format::Ndjson => Arc::new(JsonFormat::default()),
        Format::Parquet => Arc::new(ParquetFormat::default()),
    };
    if let Some((url, store)) = bucket(&given.location, options)? {
        engine.add_store(&url, store);
    }
    let is_csv = given.format == Format::Csv;
    engine
        .register_outside(SCHEMA, NAME, format, &given.location, is_csv)
        .await?;
    let columns = engine.columns(SCHEMA, NAME).await;
    let selected: Vec<_> = columns
        .iter()
        .map(|column| {
            let name = format!("\"{}\"", column.replace('"', "\"\""));
            match is_csv {
                true => format!("CASE WHEN {name} NOT IN ({CSV_NULLS}) THEN {name} END AS {name}"),
                false => name,
            }
        })
        .collect();
    let selected = selected.join(", ");
    let from = format!("WITH {NAME} AS (SELECT {selected} FROM {SCHEMA}.{NAME}) ");
    let sql = match &given.query {
        Some(query) => format!("{from}SELECT * FROM ({query}) AS mapped"),
        None => format!("{from}SELECT * FROM {NAME}"),
    };
    engine.plan(&sql, &[]).await.map_err(|error| {
        Error::new(ErrorKind::Configuration, "the [[table]]'s query fails")
            .source(error)
            .with("columns of external", columns.join(", "))
            .hint("correct the [[table]]'s `query`")
    })
}

/// Every column is the table's, and the key is there.
fn check_columns(frame: &DataFrame, contract: &Contract) -> Result<()> {
    let has: Vec<&str> = frame
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    for column in &has {
        if contract.column(column).is_none() && !BOOKKEEPING.contains(column) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the outside table has a column that the table does not",
            )
            .with("column", column)
            .hint("leave it out, or rename it, in the [[table]]'s `query`"));
        }
    }
    for column in &contract.primary_key {
        if !has.contains(&column.as_str()) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the outside table lacks a column of the key",
            )
            .with("column", column)
            .hint("give it in the [[table]]'s `query`"));
        }
    }
    Ok(())
}

async fn write(
    frame: DataFrame,
    contract: &Contract,
    part: &str,
    engine: &Engine,
    folder: &Path,
) -> Result<()> {
    let relaxed = contract.relaxed();
    let path = folder.join(part).with_extension("parquet");
    let mut file = ParquetFile::create(&path, relaxed.arrow_schema(), &relaxed)?;
    let failed = "cannot read an outside table";
    let mut rows = frame
        .execute_stream()
        .await
        .or_error(ErrorKind::Configuration, failed)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.or_error(ErrorKind::Configuration, failed)?;
        let batch = conform(&relaxed, &complete(&relaxed, &batch)?).map_err(|error| {
            let column = error.context("column").unwrap_or_default().to_owned();
            let what = "a value of the outside table is not of the column's type";
            Error::new(ErrorKind::Configuration, what)
                .with("column", column)
                .source(error)
                .hint("correct the file, or cast the column in the [[table]]'s `query`")
        })?;
        file.write(&batch)?;
    }
    file.finish()?;
    engine.register_parquet(GIVEN, part, relaxed.arrow_schema(), &[file_url(&path)?])
}

/// The contract's columns of `batch`, null where it lacks them.
fn complete(contract: &Contract, batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for column in &contract.columns {
        let array = match batch.column_by_name(&column.name) {
            Some(array) => Arc::clone(array),
            None => new_null_array(&column.data_type, batch.num_rows()),
        };
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .or_error(ErrorKind::Internal, "cannot complete an outside table")
}

/// The union of `parts` of `given`, as the contract wants it.
pub(super) fn union(contract: &Contract, parts: &[String]) -> String {
    let columns: Vec<_> = contract
        .columns
        .iter()
        .map(|column| {
            let name = format!("\"{}\"", column.name);
            let empty = match (&column.data_type, column.nullable) {
                (DataType::Utf8, false) => "''",
                (DataType::Int64 | DataType::Float64, false) => "0",
                (DataType::Boolean, false) => "false",
                _ => return name,
            };
            format!("coalesce({name}, {empty}) AS {name}")
        })
        .collect();
    let columns = columns.join(", ");
    let selects: Vec<_> = parts
        .iter()
        .map(|part| format!("SELECT {columns} FROM {GIVEN}.{part}"))
        .collect();
    selects.join(" UNION ALL ")
}

/// What the given tables tell of projects and of time, before any step has run.
#[derive(Default)]
pub(super) struct Outline {
    /// The projects that a given `domain.project_mapping` names, with the clock of one that says nothing.
    pub clocks: BTreeMap<String, (Tz, Weekday)>,
    /// The first and the last time in the given tables of the domain layer.
    pub times: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// The columns that say when something happened.
const HAPPENED: [&str; 4] = [
    "created_date",
    "finished_date",
    "merged_date",
    "resolution_date",
];

pub(super) async fn outline(engine: &Engine, parts: &[(Arc<Contract>, String)]) -> Result<Outline> {
    let mut outline = Outline::default();
    let domain = parts
        .iter()
        .filter(|(contract, _)| ["domain", super::steps::BASE].contains(&contract.layer.as_str()));
    for (contract, part) in domain {
        if contract.table == "project_mapping" {
            let sql = format!("SELECT DISTINCT project_name FROM {GIVEN}.{part}");
            for name in engine.texts(&sql).await? {
                outline.clocks.insert(name, (Tz::UTC, Weekday::Mon));
            }
        }
        for column in HAPPENED
            .iter()
            .filter(|name| contract.column(name).is_some())
        {
            let sql = format!(
                "SELECT cast(min({column}) AS varchar) FROM {GIVEN}.{part} \
                 UNION ALL SELECT cast(max({column}) AS varchar) FROM {GIVEN}.{part}"
            );
            for time in engine.texts(&sql).await? {
                let time = time.parse().or_error(ErrorKind::Internal, "not a time")?;
                let (first, last) = outline.times.unwrap_or((time, time));
                outline.times = Some((first.min(time), last.max(time)));
            }
        }
    }
    Ok(outline)
}
