//! Writes the rows of a query into the staged files of one table.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, partition as ranges_of};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column as ColumnName;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions::expr_fn::{nullif, substring};
use datafusion::logical_expr::{Expr, SortExpr, lit};
use futures::StreamExt;

use super::unique_key::UniqueKey;
use crate::engine::{Engine, Param, PlannedQuery, is_out_of_memory, is_unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{ParquetFile, WrittenFile};
use crate::schema::{Contract, PartitionBy, conform};

/// The column that holds the partition of a row. It is dropped before the row is written.
const PARTITION: &str = "__cut";

/// The written files by partition value (`2026-11`). `None` for rows without one, and for tables without partitions.
pub(super) type WrittenFiles = Vec<(Option<String>, WrittenFile)>;

/// A written table.
pub(super) struct WrittenTable {
    pub(super) files: WrittenFiles,
    /// Two rows may have the same key.
    pub(super) may_repeat_keys: bool,
}

/// Run `sql` and write its rows below `folder`, conformed to the contract and in its order.
pub(super) async fn query(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable> {
    match attempt(engine, sql, params, contract, folder).await {
        Ok(table) => Ok(table),
        Err(failure) => {
            let smaller = failure.with_less_memory(engine, contract)?;
            let again = attempt(&smaller, sql, params, contract, folder).await;
            again.map_err(|failure| failure.into_error(contract))
        }
    }
}

/// Why a query failed.
pub(super) enum QueryFailure {
    /// The query ran out of memory.
    OutOfMemory(DataFusionError),
    /// A file is damaged or cannot be read.
    Unreadable(DataFusionError),
    /// The query is wrong. It failed before any row was read.
    Invalid(DataFusionError),
    /// The query cannot process a value.
    InvalidData(DataFusionError),
    Other(Error),
}

impl QueryFailure {
    /// Classify an error that occurred before rows were read.
    pub(super) fn of(error: DataFusionError) -> Self {
        if is_out_of_memory(&error) {
            Self::OutOfMemory(error)
        } else if is_unreadable(&error) {
            Self::Unreadable(error)
        } else {
            Self::Invalid(error)
        }
    }

    /// Classify an error that occurred while rows were read.
    pub(super) fn over_data(error: DataFusionError) -> Self {
        match Self::of(error) {
            Self::Invalid(error) => Self::InvalidData(error),
            failure => failure,
        }
    }

    /// Return a session for one more attempt, whose plans need less memory.
    ///
    /// # Errors
    /// The failure itself, if it is not for want of memory.
    pub(super) fn with_less_memory(self, engine: &Engine, contract: &Contract) -> Result<Engine> {
        if !matches!(self, Self::OutOfMemory(_)) {
            return Err(self.into_error(contract));
        }
        tracing::warn!(
            table = contract.name(),
            "a step ran out of memory, retrying with a smaller plan"
        );
        Ok(engine.with_less_memory())
    }

    pub(super) fn into_error(self, contract: &Contract) -> Error {
        let error = match self {
            Self::Other(error) => error,
            Self::Invalid(source) => {
                Error::new(ErrorKind::Configuration, "the query fails").source(source)
            }
            Self::InvalidData(source) if is_of_storage(&source) => {
                Error::new(ErrorKind::Lake, "cannot read or write files of a step").source(source)
            }
            Self::InvalidData(source) => {
                Error::new(ErrorKind::Contract, "the query cannot process a value")
                    .source(source)
                    .hint("nothing was published; the cause names the value, and `bitlake query --sql` finds its row")
            }
            Self::Unreadable(source) => Error::new(ErrorKind::Lake, "the query fails")
                .source(source)
                .hint("`bitlake check --deep` names damaged files"),
            Self::OutOfMemory(source) => Error::new(ErrorKind::Lake, "a step needs more memory")
                .source(source)
                .hint("raise `lake.memory_limit`"),
        };
        error.with("table", contract.name())
    }
}

/// Return whether the storage failed, and not a value.
fn is_of_storage(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::IoError(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
    )
}

impl From<Error> for QueryFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Run `sql` once, as [`query`] does.
pub(super) async fn attempt(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable, QueryFailure> {
    let query = engine.plan_shared(sql, params).await?;
    let query = query
        .map_rows(|rows| sorted(rows, contract))
        .and_then(PlannedQuery::optimize)
        .map_err(QueryFailure::of)?;
    let rows = query.execute(folder).await;
    let rows = rows.map_err(QueryFailure::over_data)?;
    write_rows(engine, rows, contract, folder).await
}

/// Write the rows of a frame below `folder`, conformed to the contract and in its order.
pub(super) async fn frame(
    engine: &Engine,
    frame: DataFrame,
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable, QueryFailure> {
    let rows = sorted(frame, contract)
        .map_err(QueryFailure::of)?
        .execute_stream()
        .await
        .map_err(QueryFailure::of)?;
    write_rows(engine, rows, contract, folder).await
}

/// Write the rows of one partition, which are in the order of [`order_of_rows`], conformed to the contract.
pub(super) async fn partition(
    engine: &Engine,
    mut rows: SendableRecordBatchStream,
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable, QueryFailure> {
    let mut writer = PartitionWriter::new(engine, contract, folder);
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(QueryFailure::over_data)?;
        let batch = conform(contract, &batch)?;
        writer.key.add(&batch, writer.most_hashes)?;
        writer.write_into(None, &batch)?;
    }
    Ok(writer.finish()?)
}

/// Write rows that are in the order of the contract.
async fn write_rows(
    engine: &Engine,
    mut rows: SendableRecordBatchStream,
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable, QueryFailure> {
    let mut writer = PartitionWriter::new(engine, contract, folder);
    while let Some(batch) = rows.next().await {
        writer.write(&batch.map_err(QueryFailure::over_data)?)?;
    }
    Ok(writer.finish()?)
}

/// Sort rows by partition, then by key. Without a key, sort by every column, so that the bytes are deterministic. The rows
/// of an unordered table remain as they are.
fn sorted(frame: DataFrame, contract: &Contract) -> Result<DataFrame, DataFusionError> {
    if contract.is_unordered {
        return Ok(frame);
    }
    let mut order = Vec::new();
    let frame = match &contract.partition {
        None => frame,
        Some(by) => {
            order.push(ascending(PARTITION));
            let cast = |expr, data_type| {
                Expr::Cast(datafusion::logical_expr::Cast::new(
                    Box::new(expr),
                    data_type,
                ))
            };
            let to = contract.column(&by.column).map(|c| c.data_type.clone());
            let typed = cast(column(&by.column), to.unwrap_or(DataType::Null));
            let text = cast(typed, DataType::Utf8);
            let value = match by.by {
                // An unknown repository is `''` in DevLake's tables.
                PartitionBy::Repository => nullif(text, lit("")),
                // Take `2026-11` of `2026-11-24T10:00:00Z`. `date_trunc` counts nanoseconds, and fails for the month of
                // 1677 in which their range starts.
                unit => substring(text, lit(1i64), lit(length(unit))),
            };
            frame.with_column(PARTITION, value)?
        }
    };
    order.extend(sort_of_rows(contract));
    frame.sort(order)
}

/// Return the columns by which the rows of a partition are in order: the key, or else every column.
pub(super) fn order_of_rows(contract: &Contract) -> Vec<String> {
    if contract.primary_key.is_empty() {
        let columns = contract.columns.iter();
        return columns.map(|column| column.name.clone()).collect();
    }
    contract.primary_key.clone()
}

/// Return the order of the rows of a partition, see [`order_of_rows`].
pub(super) fn sort_of_rows(contract: &Contract) -> Vec<SortExpr> {
    let order = order_of_rows(contract);
    order.iter().map(|name| ascending(name)).collect()
}

/// Return the order of the rows of a file, by the key.
pub(super) fn key_order(contract: &Contract) -> Vec<SortExpr> {
    let key = contract.primary_key.iter();
    key.map(|name| ascending(name)).collect()
}

fn ascending(name: &str) -> SortExpr {
    SortExpr::new(column(name), true, true)
}

fn column(name: &str) -> Expr {
    Expr::Column(ColumnName::from_name(name))
}

/// Writes sorted rows into one file per partition.
struct PartitionWriter<'a> {
    contract: &'a Contract,
    folder: &'a Path,
    open: Option<(Option<String>, ParquetFile)>,
    done: WrittenFiles,
    key: UniqueKey,
    most_hashes: usize,
}

impl<'a> PartitionWriter<'a> {
    fn new(engine: &Engine, contract: &'a Contract, folder: &'a Path) -> Self {
        Self {
            contract,
            folder,
            open: None,
            done: Vec::new(),
            key: UniqueKey::of(contract),
            most_hashes: most_hashes(engine),
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.contract.partition.is_none() {
            let batch = conform(self.contract, batch)?;
            self.key.add(&batch, self.most_hashes)?;
            return self.write_into(None, &batch);
        }
        let failed = |error| {
            Error::new(ErrorKind::Internal, "cannot split rows into partitions").source(error)
        };
        let mut batch = batch.clone();
        let cut = batch.schema_ref().index_of(PARTITION).map_err(failed)?;
        let cut = batch.remove_column(cut);
        let ranges = ranges_of(std::slice::from_ref(&cut))
            .map_err(failed)?
            .ranges();
        let names = cast(&cut, &DataType::Utf8).map_err(failed)?;
        let names = names.as_string::<i32>();
        let batch = conform(self.contract, &batch)?;
        self.key.add(&batch, self.most_hashes)?;
        for range in ranges {
            let name = names
                .is_valid(range.start)
                .then(|| names.value(range.start).to_owned());
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
            let path = self
                .folder
                .join(format!("part-{}.parquet", self.done.len()));
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

    fn finish(mut self) -> Result<WrittenTable> {
        if self.open.is_none() && self.done.is_empty() {
            // Publish an empty file, so that an external table can be created over it.
            self.write_into(None, &RecordBatch::new_empty(self.contract.arrow_schema()))?;
        }
        self.close()?;
        Ok(WrittenTable {
            files: self.done,
            may_repeat_keys: self.key.finish(),
        })
    }
}

/// Return for how many rows the hashes of keys may be kept: eight bytes each, in a thirtieth of the memory limit.
fn most_hashes(engine: &Engine) -> usize {
    usize::try_from(engine.memory_limit() / 240).unwrap_or(usize::MAX)
}

/// Return the length of the prefix of a timestamp that names its day, month or year.
fn length(unit: PartitionBy) -> i64 {
    match unit {
        PartitionBy::Year => 4,
        PartitionBy::Month => 7,
        PartitionBy::Day | PartitionBy::Repository => 10,
    }
}

/// Return up to three keys, as text, that occur more than once in a registered table.
pub(super) async fn duplicate_keys(engine: &Engine, contract: &Contract) -> Result<Vec<String>> {
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
    engine.query_texts(&sql).await.map_err(|error| {
        Error::new(ErrorKind::Lake, "cannot check the key")
            .with("table", contract.name())
            .source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lake::layout::table_file;
    use crate::schema::Contracts;

    /// Write a table of four rows with this partition, and return the number of rows by path.
    async fn cut(partition: &str) -> Vec<(String, u64)> {
        let text = format!(
            r#"{{"description": "d", "version": 1, "primary_key": ["id"], "partition": {partition}, "columns": [
                {{"name": "id", "type": "bigint", "nullable": false}},
                {{"name": "at", "type": "timestamp"}},
                {{"name": "repo_id", "type": "string"}}]}}"#
        );
        let contracts = Contracts::parse("{}", [("domain", "t", text.as_str())]).unwrap();
        let contract = Arc::clone(contracts.require("domain", "t").unwrap());
        let folder = tempfile::tempdir().unwrap();
        let rows = "SELECT column1 AS id, cast(column2 AS timestamp) AS at, column3 AS repo_id FROM (VALUES
            (1, '2026-05-31T23:59:59Z', 'one:acme/web'), (2, '2026-06-01T00:00:00Z', 'one:acme/../..'),
            (3, NULL, NULL), (4, '2025-06-01T10:00:00Z', ''))";
        let engine = Engine::new(None).unwrap();
        let files = query(&engine, rows, &[], &contract, folder.path()).await;
        let files = files.unwrap().files;
        let file = |(partition, written): &(Option<String>, WrittenFile)| {
            let path = table_file(&contract, partition.as_deref());
            (
                path.replace("domain/t/", "").replace("/part-0.parquet", ""),
                written.rows,
            )
        };
        files.iter().map(file).collect()
    }

    fn folders(cut: &[(&str, u64)]) -> Vec<(String, u64)> {
        let owned = |(path, rows): &(&str, u64)| ((*path).to_owned(), *rows);
        cut.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn rows_are_partitioned_by_day_month_and_year_and_nulls_have_their_own_partition() {
        let by = async |unit: &str| {
            cut(&format!(
                r#"{{"key": "k", "by": "{unit}", "column": "at"}}"#
            ))
            .await
        };
        let null = ("k=__HIVE_DEFAULT_PARTITION__", 1);
        assert_eq!(
            by("day").await,
            folders(&[
                null,
                ("k=2025-06-01", 1),
                ("k=2026-05-31", 1),
                ("k=2026-06-01", 1)
            ])
        );
        assert_eq!(
            by("month").await,
            folders(&[null, ("k=2025-06", 1), ("k=2026-05", 1), ("k=2026-06", 1)])
        );
        assert_eq!(
            by("year").await,
            folders(&[null, ("k=2025", 1), ("k=2026", 2)])
        );
    }

    #[tokio::test]
    async fn repository_names_are_escaped_and_an_unknown_one_has_the_null_partition() {
        assert_eq!(
            cut(r#"{"key": "repository", "by": "repository", "column": "repo_id"}"#).await,
            folders(&[
                ("repository=__HIVE_DEFAULT_PARTITION__", 2),
                ("repository=one%3Aacme%2F..%2F..", 1),
                ("repository=one%3Aacme%2Fweb", 1),
            ])
        );
    }
}
