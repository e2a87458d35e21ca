//! `[[table]]`: outside data in the place of a table, or beside its rows, mapped by SQL if need be.
//!
//! ```text
//! file ─▶ columns of all its rows ─▶ `query` over external ─▶ cast to the contract's types ─▶ invalid_values.rs ─▶ given.part_0 ─┐
//!         (csv.rs, ndjson.rs)                                                  the step's own rows, with `add` ─────────┴▶ union ─▶ the table
//! ```
//!
//! The parts may lack columns and hold nulls; where the contract allows none, the union puts what DevLake would have
//! written: `''`, 0 or false.

mod csv;
mod field_paths;
mod files;
mod invalid_values;
mod ndjson;
mod outline;
mod shape;

pub(super) use outline::outline;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use futures::StreamExt;

use self::files::TextFile;
use super::report::NulledValues;
use crate::config::{OutsideFormat, OutsideTable};
use crate::engine::{Engine, missing_column};
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

/// What was read of a `[[table]]`.
pub(super) struct GivenTable {
    pub rows: u64,
    /// What is null now although it was something.
    pub nulled: Vec<NulledValues>,
}

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
) -> Result<GivenTable> {
    let domain = contract.layer == super::steps::BASE;
    let layer = if domain { "domain" } else { &contract.layer };
    let table = format!("{layer}.{}", contract.table);
    let read = async {
        if let Some((url, store)) = bucket(&given.location, options)? {
            engine.add_store(&url, store);
        }
        let external = open(engine, given, &folder.join(format!("{part}-external"))).await?;
        let (frame, missing_columns) = plan(engine, given, &external, contract).await?;
        check_columns(&frame, contract, &external)?;
        let mut written = write(frame, contract, part, engine, folder).await?;
        written
            .nulled
            .splice(..0, external.nulled(&missing_columns));
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

/// What the files of a `[[table]]` hold, registered as `outside.external`.
#[derive(Default)]
struct External {
    /// The columns that the files have.
    columns: Vec<String>,
    /// Those of them that hold nothing but nulls, and so have no type.
    untyped: BTreeSet<String>,
    /// Columns that are registered because the query looks into them, although no row has them.
    looked_into: BTreeSet<String>,
    /// `None` where nobody counted.
    rows: Option<u64>,
    /// What of NDJSON did not fit.
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
        let wanted = query.map(field_paths::field_paths).unwrap_or_default();
        let schema = Schema::new(shape.fields(&wanted));
        for field in schema.fields() {
            let name = field.name();
            let Some(seen) = shape.field(name) else {
                self.looked_into.insert(name.clone());
                continue;
            };
            self.columns.push(name.clone());
            if seen.is_unknown() && wanted.field(name).is_none() {
                self.untyped.insert(name.clone());
            }
        }
        Ok(Arc::new(schema))
    }

    /// What is reported. `missing_columns`: columns of the query that the files do not have.
    fn nulled(&self, missing_columns: &BTreeSet<String>) -> Vec<NulledValues> {
        let nulled = |column: &str, reason: &str, rows| NulledValues {
            column: column.to_owned(),
            reason: reason.to_owned(),
            rows,
            ..NulledValues::default()
        };
        let misfits = self.misfits.values.iter().map(|(path, rows)| {
            nulled(
                path,
                "values that the query looks into have no fields",
                *rows,
            )
        });
        let rows = self.rows.unwrap_or_default();
        let missing_columns = missing_columns.iter().filter(|_| rows > 0);
        let missing_columns = missing_columns
            .map(|column| nulled(column, "the query names it and no row has it", rows));
        let repaired = (self.misfits.repaired > 0).then(|| {
            let reason = "rows that are not quite JSON: what cannot be read of them";
            nulled("(repaired)", reason, self.misfits.repaired)
        });
        misfits.chain(missing_columns).chain(repaired).collect()
    }

    /// `WITH external AS (…)`. `missing_columns`: further columns, which are null.
    fn with(&self, missing_columns: &BTreeSet<String>) -> String {
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
            .map(|name| match self.looked_into.contains(name) {
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

async fn open(engine: &Engine, given: &OutsideTable, folder: &Path) -> Result<External> {
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
        // Parquet has no rows without columns.
        true => Vec::new(),
        false => vec![file_url(&path)?],
    };
    engine.register_parquet(SCHEMA, NAME, schema, &urls)?;
    Ok(external)
}

/// Plans the query, and returns the columns that it names and the files do not have. They are null: columns of the
/// table; all of NDJSON, which leaves out what it has nothing for; and all of an input without rows.
async fn plan(
    engine: &Engine,
    given: &OutsideTable,
    external: &External,
    contract: &Contract,
) -> Result<(DataFrame, BTreeSet<String>)> {
    let query = match &given.query {
        Some(query) => format!("SELECT * FROM ({query}) AS mapped"),
        None => format!("SELECT * FROM {NAME}"),
    };
    let may_lack = |column: &str| {
        external.rows == Some(0)
            || given.format == OutsideFormat::Ndjson
            || contract.column(column).is_some()
    };
    let mut missing_columns = BTreeSet::new();
    loop {
        let sql = external.with(&missing_columns) + &query;
        let error = match engine.plan_statement(engine.parse(&sql)?).await {
            Ok(frame) => return Ok((frame, missing_columns)),
            Err(error) => error,
        };
        let missing = missing_column(&error).map(|missing| match &missing.relation {
            // `service.summary` is a column of a table, or a field of a column.
            Some(column) if external.looked_into.contains(column.table()) => column.table(),
            _ => missing.name.as_str(),
        });
        let missing = missing.filter(|column| may_lack(column));
        if missing.is_none_or(|column| !missing_columns.insert(column.to_owned())) {
            return Err(
                Error::new(ErrorKind::Configuration, "the [[table]]'s query fails")
                    .source(error)
                    .with("columns of external", external.columns.join(", "))
                    .hint("correct the [[table]]'s `query`"),
            );
        }
    }
}

/// Every column is the table's, and the key is there. Of an input without columns nothing is asked.
fn check_columns(frame: &DataFrame, contract: &Contract, external: &External) -> Result<()> {
    if external.columns.is_empty() {
        return Ok(());
    }
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
) -> Result<GivenTable> {
    let relaxed = contract.relaxed();
    let path = folder.join(part).with_extension("parquet");
    let mut file = ParquetFile::create(&path, relaxed.arrow_schema(), &relaxed)?;
    let mut filter = invalid_values::ValueFilter::default();
    let failed = |error: DataFusionError| {
        Error::new(ErrorKind::Configuration, "cannot read an outside table")
            .source(error)
            .hint(
                "correct the file; or in the [[table]]'s `query`, turn into null what is no value, \
                 as in `nullif(resolved, '0000-00-00')` or `try_cast(resolved AS timestamp)`",
            )
    };
    let mut rows = frame.execute_stream().await.map_err(failed)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(failed)?;
        let batch = filter.impossible(contract, &complete(&relaxed, &batch)?)?;
        let batch = conform(&relaxed, &batch).map_err(|error| {
            let column = error.context("column").unwrap_or_default().to_owned();
            let what = "a value of the outside table is not of the column's type";
            Error::new(ErrorKind::Configuration, what)
                .with("column", column)
                .source(error)
                .hint("correct the file, or cast the column in the [[table]]'s `query`")
        })?;
        file.write(&filter.check(contract, &batch)?)?;
    }
    let rows = file.rows();
    file.finish()?;
    engine.register_parquet(GIVEN, part, relaxed.arrow_schema(), &[file_url(&path)?])?;
    let taken = filter
        .taken
        .into_iter()
        .map(|((column, why), taken)| NulledValues {
            column,
            reason: why.reason(),
            rows: taken.rows,
            values: taken.examples,
            ..NulledValues::default()
        });
    Ok(GivenTable {
        rows,
        nulled: taken.collect(),
    })
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
