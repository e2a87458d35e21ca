//! The files of a `[[table]]`, registered as the table `outside.external`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::files::{self, TextFile};
use super::{csv, field_paths, ndjson};
use crate::config::{OutsideFormat, OutsideTable};
use crate::engine::Engine;
use crate::error::Result;
use crate::lake::{ParquetFile, file_url};
use crate::schema::Contract;
use crate::transform::report::NulledValues;

/// The schema in which outside files are registered.
const SCHEMA: &str = "outside";
/// The name of the files in a `query`.
pub(super) const NAME: &str = "external";

/// The columns and counts of the files of a `[[table]]`.
#[derive(Default)]
pub(super) struct External {
    /// The columns of the files.
    pub(super) columns: Vec<String>,
    /// The columns that contain only nulls, and so have no type.
    untyped: BTreeSet<String>,
    /// Columns that no row has. They are registered because the query reads fields of them.
    pub(super) nested_only: BTreeSet<String>,
    /// The number of rows; `None` for Parquet, whose rows are not counted.
    pub(super) rows: Option<u64>,
    /// The values of NDJSON that did not fit their type.
    misfits: ndjson::Misfits,
}

impl External {
    fn columns_of_csv(&mut self, files: &[TextFile]) -> Result<SchemaRef> {
        let schema = csv::schema(files)?;
        let names = schema.fields().iter().map(|field| field.name().clone());
        self.columns = names.collect();
        Ok(schema)
    }

    fn columns_of_ndjson(&mut self, files: &[TextFile], query: Option<&str>) -> Result<SchemaRef> {
        let shape = ndjson::observe(files)?;
        let wanted = query.map(field_paths::fields_read).unwrap_or_default();
        let schema = Schema::new(shape.fields(&wanted));
        for field in schema.fields() {
            let name = field.name();
            let Some(seen) = shape.field(name) else {
                self.nested_only.insert(name.clone());
                continue;
            };
            self.columns.push(name.clone());
            if seen.is_unknown() && wanted.field(name).is_none() {
                self.untyped.insert(name.clone());
            }
        }
        Ok(Arc::new(schema))
    }

    /// Return the values that became null. `missing_columns` are columns of the query that the files lack.
    pub(super) fn nulled_values(&self, missing_columns: &BTreeSet<String>) -> Vec<NulledValues> {
        let nulled = |column: &str, reason: &str, rows| NulledValues {
            column: column.to_owned(),
            reason: reason.to_owned(),
            rows,
            ..NulledValues::default()
        };
        let misfits = self.misfits.values.iter().map(|(path, rows)| {
            nulled(
                path,
                "the query reads fields of values that have none",
                *rows,
            )
        });
        let rows = self.rows.unwrap_or_default();
        let missing_columns = missing_columns.iter().filter(|_| rows > 0);
        let missing_columns = missing_columns
            .map(|column| nulled(column, "the query names the column and no row has it", rows));
        let repaired = (self.misfits.repaired > 0).then(|| {
            let reason = "values that cannot be read, of rows that are not valid JSON";
            nulled("(repaired)", reason, self.misfits.repaired)
        });
        misfits.chain(missing_columns).chain(repaired).collect()
    }

    /// Return `WITH external AS (…)` with the columns of the files and, as nulls, the `missing_columns`.
    pub(super) fn with_clause(&self, missing_columns: &BTreeSet<String>) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let null = |name: &String| format!("NULL AS {}", quoted(name));
        let has = self
            .columns
            .iter()
            .map(|name| match self.untyped.contains(name) {
                true => null(name),
                false => quoted(name),
            });
        let lacks = missing_columns
            .iter()
            .map(|name| match self.nested_only.contains(name) {
                true => quoted(name),
                false => null(name),
            });
        let mut columns: Vec<_> = has.chain(lacks).collect();
        if columns.is_empty() {
            columns.push("NULL AS nothing".to_owned());
        }
        let columns = columns.join(", ");
        format!("WITH {NAME} AS (SELECT {columns} FROM {SCHEMA}.{NAME}) ")
    }
}

/// Read the files of a `[[table]]` and register them. `folder` is for copies.
pub(super) async fn open(engine: &Engine, given: &OutsideTable, folder: &Path) -> Result<External> {
    if given.format == OutsideFormat::Parquet {
        engine
            .register_outside(SCHEMA, NAME, &given.location)
            .await?;
        return Ok(External {
            columns: engine.columns(SCHEMA, NAME).await,
            ..External::default()
        });
    }
    let files = files::open(engine, &given.location, folder).await?;
    let mut external = External::default();
    let schema = match given.format {
        OutsideFormat::Ndjson => external.columns_of_ndjson(&files, given.query.as_deref())?,
        _ => external.columns_of_csv(&files)?,
    };
    let path = folder.with_extension("parquet");
    let contract = Contract::of_fields(SCHEMA, NAME, schema.fields())?;
    let mut file = ParquetFile::create(&path, Arc::clone(&schema), &contract)?;
    for text in &files {
        let write = |batch: &RecordBatch| file.write(batch);
        match given.format {
            OutsideFormat::Ndjson => ndjson::read(text, &schema, &mut external.misfits, write)?,
            _ => csv::read(text, &schema, write)?,
        }
    }
    external.rows = Some(file.rows());
    file.finish()?;
    let urls = match schema.fields().is_empty() {
        // Parquet cannot store rows without columns.
        true => Vec::new(),
        false => vec![file_url(&path)?.into()],
    };
    engine.register_parquet(SCHEMA, NAME, schema, &urls)?;
    Ok(external)
}
