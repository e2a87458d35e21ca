//! A query's result into the staged files of one table.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, partition};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column as ColumnName;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions::expr_fn::{nullif, substring};
use datafusion::logical_expr::{Expr, SortExpr, lit};
use futures::StreamExt;

use crate::engine::{Engine, Param, is_out_of_memory, is_unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{ParquetFile, WrittenFile};
use crate::schema::{Contract, PartitionBy, conform};

/// What a row's partition is named for; dropped before the row is written.
const CUT: &str = "__cut";

/// Files by partition value (`2026-11`), `None` for rows without one and for tables that are not partitioned.
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
    let again = attempt(&engine.with_less_memory()).await;
    again.map_err(|failure| failure.for_good(contract))
}

/// The context of an error that a file of the lake is to blame for.
pub(super) const CAUSE: &str = "cause";
pub(super) const UNREADABLE: &str = "a file that cannot be read";

/// Why an attempt came to nothing.
pub(super) enum Failure {
    Starved(DataFusionError),
    /// A file is damaged or cannot be reached.
    Unreadable(DataFusionError),
    /// Before any row was read: the query is wrong.
    Fails(DataFusionError),
    /// A value that the query cannot take.
    FailsOverData(DataFusionError),
    Other(Error),
}

impl Failure {
    pub(super) fn of(error: DataFusionError) -> Self {
        if is_out_of_memory(&error) {
            Self::Starved(error)
        } else if is_unreadable(&error) {
            Self::Unreadable(error)
        } else {
            Self::Fails(error)
        }
    }

    /// The same, once rows are read.
    pub(super) fn over_data(error: DataFusionError) -> Self {
        match Self::of(error) {
            Self::Fails(error) => Self::FailsOverData(error),
            failure => failure,
        }
    }

    fn for_good(self, contract: &Contract) -> Error {
        let error = match self {
            Self::Other(error) => error,
            Self::Fails(source) => {
                Error::new(ErrorKind::Configuration, "the query fails").source(source)
            }
            Self::FailsOverData(source) if is_of_storage(&source) => {
                Error::new(ErrorKind::Lake, "cannot read or write files of a step").source(source)
            }
            Self::FailsOverData(source) => {
                Error::new(ErrorKind::Contract, "the query fails over the data")
                    .source(source)
                    .hint("nothing was published; the cause names the value, and `bitlake query --sql` finds its row")
            }
            Self::Unreadable(source) => Error::new(ErrorKind::Lake, "the query fails")
                .with(CAUSE, UNREADABLE)
                .source(source)
                .hint("`bitlake check --deep` names damaged files"),
            Self::Starved(source) => Error::new(ErrorKind::Lake, "a step needs more memory")
                .source(source)
                .hint("raise `lake.memory_limit`"),
        };
        error.with("table", contract.name())
    }
}

/// Whether files are what failed, and not the values in them.
fn is_of_storage(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::IoError(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
    )
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
        writer.write(&batch.map_err(Failure::over_data)?)?;
    }
    Ok(writer.finish()?)
}

/// Partition by partition, and by key within; without a key by every column, so that the bytes never move.
fn sorted(frame: DataFrame, contract: &Contract) -> Result<DataFrame, DataFusionError> {
    let column = |name: &str| Expr::Column(ColumnName::from_name(name));
    let ascending = |name: &str| SortExpr::new(column(name), true, true);
    let mut order = Vec::new();
    let frame = match &contract.partition {
        None => frame,
        Some(by) => {
            order.push(ascending(CUT));
            let cast = |expr, data_type| {
                Expr::Cast(datafusion::logical_expr::Cast::new(
                    Box::new(expr),
                    data_type,
                ))
            };
            let to = contract.column(&by.column).map(|c| c.data_type.clone());
            let typed = cast(column(&by.column), to.unwrap_or(DataType::Null));
            let text = cast(typed, DataType::Utf8);
            let cut = match by.by {
                // A repository that is not known is '' in DevLake's tables.
                PartitionBy::Repository => nullif(text, lit("")),
                // `2026-11` of `2026-11-24T10:00:00Z`. date_trunc counts nanoseconds, and fails for the month of
                // 1677 in which they begin.
                unit => substring(text, lit(1i64), lit(length(unit))),
            };
            frame.with_column(CUT, cut)?
        }
    };
    if contract.primary_key.is_empty() {
        order.extend(contract.columns.iter().map(|c| ascending(&c.name)));
    } else {
        order.extend(contract.primary_key.iter().map(|name| ascending(name)));
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
        let cut = batch.schema_ref().index_of(CUT).map_err(failed)?;
        let cut = batch.remove_column(cut);
        let ranges = partition(std::slice::from_ref(&cut))
            .map_err(failed)?
            .ranges();
        let names = cast(&cut, &DataType::Utf8).map_err(failed)?;
        let names = names.as_string::<i32>();
        let batch = conform(self.contract, &batch)?;
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

    fn finish(mut self) -> Result<Files> {
        if self.open.is_none() && self.done.is_empty() {
            // An external table can be created over it all the same.
            self.write_into(None, &RecordBatch::new_empty(self.contract.arrow_schema()))?;
        }
        self.close()?;
        Ok(self.done)
    }
}

/// How much of a time's text names its day, month or year.
fn length(unit: PartitionBy) -> i64 {
    match unit {
        PartitionBy::Year => 4,
        PartitionBy::Month => 7,
        PartitionBy::Day | PartitionBy::Repository => 10,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lake::layout::table_file;
    use crate::schema::Contracts;

    /// Path → rows of a table of four rows, cut as `partition` says.
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
        let files = files.unwrap();
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
    async fn rows_are_cut_by_day_month_and_year_and_those_without_a_time_stand_apart() {
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
    async fn a_repository_stays_in_its_folder_and_an_unknown_one_stands_apart() {
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
