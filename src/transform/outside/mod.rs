//! Reads outside tables (`[[table]]`), which replace a table or add rows to it, mapped by SQL if needed.
//!
//! ```text
//! files ─▶ external.rs ─▶ plan.rs: `query` ─▶ contract's types ─▶ invalid_values.rs ─▶ given.part_0 ─┐
//!          (csv.rs, ndjson.rs)                            the rows of the table's step, with `add` ──┴▶ union ─▶ the table
//! ```
//!
//! The parts may lack columns and contain nulls. Where the contract allows none, the union writes what DevLake would
//! have written: `''`, 0 or false.

mod csv;
mod external;
mod field_paths;
mod files;
mod invalid_values;
mod ndjson;
mod outline;
mod plan;
mod shape;

pub(super) use outline::outline;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use futures::StreamExt;

use super::report::NulledValues;
use crate::config::OutsideTable;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{ParquetFile, WrittenFile, bucket, file_url};
use crate::schema::{Contract, conform};

/// The schema in which the parts are registered, with the types of their contract.
pub(super) const GIVEN: &str = "given";

/// The result of reading a `[[table]]`.
pub(super) struct GivenTable {
    pub(super) rows: u64,
    /// The SHA-256 of the rows as they were staged.
    pub(super) sha256: String,
    /// The values that became null.
    pub(super) nulled: Vec<NulledValues>,
}

/// Read an outside table and register it as `given.<part>`, with the columns of the contract, all of them nullable.
/// `options` are those of the object store.
///
/// # Errors
/// [`ErrorKind::Configuration`], naming the `[[table]]`, its location and the column: a file that cannot be read, a
/// query that fails, a column that the table does not have, a missing key, or a value of the wrong type.
pub(super) async fn read(
    engine: &Engine,
    given: &OutsideTable,
    options: &BTreeMap<String, String>,
    contract: &Contract,
    part: &str,
    folder: &Path,
) -> Result<GivenTable> {
    let domain = contract.layer == super::steps::BASE;
    let layer = if domain { "domain" } else { &contract.layer };
    let table = format!("{layer}.{}", contract.table);
    let read = async {
        if let Some((url, store)) = bucket(&given.location, options)? {
            engine.add_store(&url, store);
        }
        let copies = folder.join(format!("{part}-external"));
        let external = external::open(engine, given, &copies).await?;
        let (frame, missing_columns) = plan::plan(engine, given, &external, contract).await?;
        plan::check_columns(&frame, contract, &external)?;
        let mut written = write(frame, contract, part, engine, folder).await?;
        written
            .nulled
            .splice(..0, external.nulled_values(&missing_columns));
        for nulled in &mut written.nulled {
            nulled.table.clone_from(&table);
            nulled.location.clone_from(&given.location);
        }
        Ok(written)
    };
    read.await.map_err(|error: Error| {
        error
            .with("table", &table)
            .with("location", &given.location)
            .with("at", &given.place)
    })
}

async fn write(
    frame: DataFrame,
    contract: &Contract,
    part: &str,
    engine: &Engine,
    folder: &Path,
) -> Result<GivenTable> {
    let relaxed = contract.relaxed();
    let path = folder.join(part).with_extension("parquet");
    let mut file = ParquetFile::create(&path, relaxed.arrow_schema(), &relaxed)?;
    let mut filter = invalid_values::ValueFilter::default();
    let failed = |error: DataFusionError| {
        Error::new(ErrorKind::Configuration, "cannot read an outside table")
            .source(error)
            .hint(
                "correct the file, or let the [[table]]'s `query` return null for invalid values, \
                 as in `nullif(resolved, '0000-00-00')` or `try_cast(resolved AS timestamp)`",
            )
    };
    let mut rows = frame.execute_stream().await.map_err(failed)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(failed)?;
        let batch = filter.remove_uncastable_times(contract, &complete(&relaxed, &batch)?)?;
        let batch = conform(&relaxed, &batch).map_err(|error| {
            let column = error.context("column").unwrap_or_default().to_owned();
            let message = "a value of the outside table has the wrong type for its column";
            Error::new(ErrorKind::Configuration, message)
                .with("column", column)
                .source(error)
                .hint("correct the file, or cast the column in the [[table]]'s `query`")
        })?;
        file.write(&filter.check(contract, &batch)?)?;
    }
    let rows = file.rows();
    let WrittenFile { sha256, .. } = file.finish()?;
    engine.register_parquet(
        GIVEN,
        part,
        relaxed.arrow_schema(),
        &[file_url(&path)?.into()],
    )?;
    let removed = filter
        .removed
        .into_iter()
        .map(|((column, why), removed)| NulledValues {
            column,
            reason: why.reason(),
            rows: removed.rows,
            values: removed.examples,
            ..NulledValues::default()
        });
    Ok(GivenTable {
        rows,
        sha256,
        nulled: removed.collect(),
    })
}

/// Return the columns of the contract from `batch`, null if it lacks them.
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

/// Return the query for the union of the parts, without nulls where the contract allows none.
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
