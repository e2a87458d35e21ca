//! Reads the rows of a query, holding one batch at a time.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::transform::write::QueryFailure;

/// The rows of a running query.
pub(super) struct RowReader(SendableRecordBatchStream);

impl RowReader {
    pub(super) async fn open(engine: &Engine, sql: &str) -> Result<Self, QueryFailure> {
        let frame = engine.plan(sql, &[]).await?;
        Ok(Self(
            frame.execute_stream().await.map_err(QueryFailure::of)?,
        ))
    }

    pub(super) async fn next(&mut self) -> Result<Option<RowBatch>, QueryFailure> {
        let batch = self
            .0
            .next()
            .await
            .transpose()
            .map_err(QueryFailure::over_data)?;
        Ok(batch.map(RowBatch))
    }
}

/// A batch of rows. Its columns are addressed by position.
pub(super) struct RowBatch(RecordBatch);

impl RowBatch {
    pub(super) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    /// Split off the first `rows` rows.
    pub(super) fn split(&self, rows: usize) -> (Self, Self) {
        let rest = self.rows() - rows;
        (Self(self.0.slice(0, rows)), Self(self.0.slice(rows, rest)))
    }

    fn column(&self, at: usize, to: &DataType) -> Result<ArrayRef> {
        cast(self.0.column(at), to).or_error(ErrorKind::Internal, "a column has the wrong type")
    }

    pub(super) fn texts(&self, at: usize) -> Result<TextColumn> {
        let column = self.column(at, &DataType::Utf8)?;
        Ok(TextColumn(column.as_string::<i32>().clone()))
    }

    /// Return a column of integers. Times are in microseconds.
    pub(super) fn numbers(&self, at: usize) -> Result<NumberColumn> {
        let column = self.column(at, &DataType::Int64)?;
        Ok(NumberColumn(column.as_primitive::<Int64Type>().clone()))
    }

    pub(super) fn number_lists(&self, at: usize) -> Result<NumberListColumn> {
        let column = self.column(at, &DataType::new_list(DataType::Int64, true))?;
        let lists = column.as_list::<i32>().clone();
        let numbers = lists.values().as_primitive::<Int64Type>().clone();
        Ok(NumberListColumn { lists, numbers })
    }

    pub(super) fn flags(&self, at: usize) -> Result<BooleanColumn> {
        let column = self.column(at, &DataType::Boolean)?;
        Ok(BooleanColumn(column.as_boolean().clone()))
    }
}

pub(super) struct TextColumn(StringArray);

impl TextColumn {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }

    /// Return the text, or `''` for null.
    pub(super) fn text(&self, row: usize) -> &str {
        self.get(row).unwrap_or_default()
    }
}

pub(super) struct NumberColumn(Int64Array);

impl NumberColumn {
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

pub(super) struct NumberListColumn {
    lists: ListArray,
    numbers: Int64Array,
}

impl NumberListColumn {
    /// Return the numbers of a row, none for null.
    pub(super) fn get(&self, row: usize) -> &[i64] {
        let offsets = self.lists.value_offsets();
        let at = |row: usize| offsets.get(row).map_or(0, |offset| *offset as usize);
        let numbers = self.numbers.values().get(at(row)..at(row + 1));
        numbers.unwrap_or_default()
    }
}

pub(super) struct BooleanColumn(BooleanArray);

impl BooleanColumn {
    /// Return the value, or false for null.
    pub(super) fn is_true(&self, row: usize) -> bool {
        self.0.is_valid(row) && self.0.value(row)
    }
}
