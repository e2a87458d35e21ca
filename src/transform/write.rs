//! A query's result into the staged files of one table.

use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, partition};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column as ColumnName;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::logical_expr::{Expr, SortExpr, lit};
use futures::StreamExt;

use crate::engine::{Engine, Param, is_starved};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{ParquetFile, WrittenFile};
use crate::schema::{Contract, conform};

/// The month that a row's partition is named for; dropped before the row is written.
const MONTH: &str = "__month";

/// Files by partition value (`2026-11`), `None` for rows without that time and for tables that are not partitioned.
pub(super) type Files = Vec<(Option<String>, WrittenFile)>;

/// Runs `sql` and writes its rows, conformed to the contract and in its order, below `folder`.
pub(super) async fn query(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<Files> {
    patiently(engine, contract, async |engine: &Engine| {
        attempt(engine, sql, params, contract, folder).await
    })
    .await
}

/// A step that runs out of memory is tried once more with a plan that needs less at once.
pub(super) async fn patiently<T>(
    engine: &Engine,
    contract: &Contract,
    attempt: impl AsyncFn(&Engine) -> Result<T, Failure>,
) -> Result<T> {
    match attempt(engine).await {
        Ok(done) => return Ok(done),
        Err(Failure::Starved(_)) => {}
        Err(failure) => return Err(failure.for_good(contract)),
    }
    tracing::warn!(
        table = contract.name(),
        "out of memory, trying again with a smaller plan"
    );
    let again = attempt(&engine.frugal()).await;
    again.map_err(|failure| failure.for_good(contract))
}

/// Why an attempt came to nothing.
pub(super) enum Failure {
    Starved(DataFusionError),
    Fails(DataFusionError),
    Other(Error),
}

impl Failure {
    pub(super) fn of(error: DataFusionError) -> Self {
        match is_starved(&error) {
            true => Self::Starved(error),
            false => Self::Fails(error),
        }
    }

    fn for_good(self, contract: &Contract) -> Error {
        let error = match self {
            Self::Other(error) => error,
            Self::Fails(source) => {
                Error::new(ErrorKind::Configuration, "the query fails").source(source)
            }
            Self::Starved(source) => Error::new(ErrorKind::Lake, "a step needs more memory")
                .source(source)
                .hint("raise `lake.memory_limit`"),
        };
        error.with("table", contract.name())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

async fn attempt(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<Files, Failure> {
    let frame = engine.plan(sql, params).await?;
    let mut rows = sorted(frame, contract)
        .map_err(Failure::of)?
        .execute_stream()
        .await
        .map_err(Failure::of)?;
    let mut writer = Partitions {
        contract,
        folder,
        open: None,
        done: Vec::new(),
    };
    while let Some(batch) = rows.next().await {
        writer.write(&batch.map_err(Failure::of)?)?;
    }
    Ok(writer.finish()?)
}

/// Partition by partition, and by key within; without a key by every column, so that the bytes never move.
fn sorted(frame: DataFrame, contract: &Contract) -> Result<DataFrame, DataFusionError> {
    let column = |name: &String| Expr::Column(ColumnName::from_name(name));
    let frame = match &contract.partition {
        None => frame,
        Some(by) => {
            let time = Expr::Cast(datafusion::logical_expr::Cast::new(
                Box::new(column(&by.column)),
                contract
                    .column(&by.column)
                    .map_or(DataType::Null, |c| c.data_type.clone()),
            ));
            frame.with_column(MONTH, date_trunc(lit("month"), time))?
        }
    };
    let ascending = |expression: Expr| SortExpr::new(expression, true, true);
    let mut order: Vec<SortExpr> = Vec::new();
    if contract.partition.is_some() {
        order.push(ascending(column(&MONTH.to_owned())));
    }
    if contract.primary_key.is_empty() {
        order.extend(contract.columns.iter().map(|c| ascending(column(&c.name))));
    } else {
        order.extend(
            contract
                .primary_key
                .iter()
                .map(|name| ascending(column(name))),
        );
    }
    frame.sort(order)
}

/// Cuts sorted rows into one file per partition.
struct Partitions<'a> {
    contract: &'a Contract,
    folder: &'a Path,
    open: Option<(Option<String>, ParquetFile)>,
    done: Files,
}

impl Partitions<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.contract.partition.is_none() {
            return self.write_into(None, &conform(self.contract, batch)?);
        }
        let failed = |error| Error::new(ErrorKind::Internal, "cannot cut partitions").source(error);
        let mut batch = batch.clone();
        let month = batch.schema_ref().index_of(MONTH).map_err(failed)?;
        let month = batch.remove_column(month);
        let ranges = partition(std::slice::from_ref(&month))
            .map_err(failed)?
            .ranges();
        let names = month_names(&month)?;
        let batch = conform(self.contract, &batch)?;
        for range in ranges {
            let name = names.as_string::<i32>();
            let name = names
                .is_valid(range.start)
                .then(|| name.value(range.start)[..7].to_owned());
            self.write_into(name, &batch.slice(range.start, range.len()))?;
        }
        Ok(())
    }

    fn write_into(&mut self, partition: Option<String>, batch: &RecordBatch) -> Result<()> {
        if self
            .open
            .as_ref()
            .is_none_or(|(open, _)| *open != partition)
        {
            self.close()?;
            let name = partition.as_deref().unwrap_or("part-0");
            let path = self.folder.join(name).with_extension("parquet");
            let file = ParquetFile::create(&path, self.contract.arrow_schema(), self.contract)?;
            self.open = Some((partition, file));
        }
        match &mut self.open {
            Some((_, file)) => file.write(batch),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        if let Some((partition, file)) = self.open.take() {
            self.done.push((partition, file.finish()?));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Files> {
        if self.open.is_none() && self.done.is_empty() {
            // An external table can be created over it all the same.
            self.write_into(None, &RecordBatch::new_empty(self.contract.arrow_schema()))?;
        }
        self.close()?;
        Ok(self.done)
    }
}

/// `2026-11-01T00:00:00Z` and so on.
fn month_names(months: &ArrayRef) -> Result<ArrayRef> {
    cast(months, &DataType::Utf8).or_error(ErrorKind::Internal, "cannot name partitions")
}

/// A few keys that stand more than once in a registered table, as text.
pub(super) async fn doubled_keys(engine: &Engine, contract: &Contract) -> Result<Vec<String>> {
    if contract.primary_key.is_empty() {
        return Ok(Vec::new());
    }
    let quoted: Vec<_> = contract
        .primary_key
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    let key = quoted.join(", ");
    let texts: Vec<_> = quoted
        .iter()
        .map(|name| format!("cast({name} AS varchar)"))
        .collect();
    let sql = format!(
        "SELECT concat_ws(' ', {}) AS key FROM {}.\"{}\" GROUP BY {key} HAVING count(*) > 1 ORDER BY key LIMIT 3",
        texts.join(", "),
        contract.layer,
        contract.table,
    );
    engine.texts(&sql).await.map_err(|error| {
        Error::new(ErrorKind::Lake, "cannot check the key")
            .with("table", contract.name())
            .source(error)
    })
}
