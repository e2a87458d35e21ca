//! `[[table]]`: outside data in the place of a table, mapped by SQL if need be.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;

use super::write::{self, Files};
use crate::config::{Format, OutsideTable};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// The schema that an outside table is registered in, and its name there; a `query` says `FROM external`.
const SCHEMA: &str = "outside";
const NAME: &str = "external";

/// Writes the outside table as its contract wants it; columns that it lacks are null, or empty where null may not be.
pub(super) async fn write(
    engine: &Engine,
    given: &OutsideTable,
    contract: &Contract,
    folder: &Path,
) -> Result<Files> {
    let named = |error: Error| {
        error
            .with("table", contract.name())
            .with("at", &given.place)
    };
    let format: Arc<dyn FileFormat> = match given.format {
        Format::Csv => Arc::new(CsvFormat::default().with_has_header(true)),
        Format::Ndjson => Arc::new(JsonFormat::default()),
        Format::Parquet => Arc::new(ParquetFormat::default()),
    };
    engine
        .register_outside(SCHEMA, NAME, format, &given.location)
        .await
        .map_err(named)?;
    let from = format!("WITH {NAME} AS (SELECT * FROM {SCHEMA}.{NAME}) ");
    let mapped = match &given.query {
        Some(query) => format!("{from}{query}"),
        None => format!("{from}SELECT * FROM {NAME}"),
    };
    let frame = engine.plan(&mapped, &[]).await.map_err(named)?;
    let has: Vec<_> = frame
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    for column in &has {
        if contract.column(column).is_none() {
            return Err(named(
                Error::new(
                    ErrorKind::Configuration,
                    "the outside table has a column that the table does not",
                )
                .with("column", column)
                .hint("leave it out, or rename it, in the [[table]]'s `query`"),
            ));
        }
    }
    let columns: Vec<_> = contract
        .columns
        .iter()
        .map(|column| {
            let name = &column.name;
            if has.contains(name) {
                return Ok(format!("\"{name}\""));
            }
            match (&column.data_type, column.nullable) {
                (_, true) => Ok(format!("NULL AS \"{name}\"")),
                (DataType::Utf8, false) if !contract.primary_key.contains(name) => {
                    Ok(format!("'' AS \"{name}\""))
                }
                (DataType::Int64 | DataType::Float64, false) => Ok(format!("0 AS \"{name}\"")),
                (DataType::Boolean, false) => Ok(format!("false AS \"{name}\"")),
                _ => Err(named(
                    Error::new(
                        ErrorKind::Configuration,
                        "the outside table lacks a column that must be there",
                    )
                    .with("column", name)
                    .hint("give it in the [[table]]'s `query`"),
                )),
            }
        })
        .collect::<Result<_>>()?;
    let sql = format!("SELECT {} FROM ({mapped}) AS mapped", columns.join(", "));
    write::query(engine, &sql, &[], contract, folder)
        .await
        .map_err(named)
}
