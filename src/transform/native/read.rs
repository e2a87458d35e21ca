//! Rows of a query, one by one, without holding more than a batch.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::array::{BooleanArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::transform::write::Failure;

/// A query under way.
pub(super) struct Rows(SendableRecordBatchStream);

impl Rows {
    pub(super) async fn of(engine: &Engine, sql: &str) -> Result<Self, Failure> {
        let frame = engine.plan(sql, &[]).await?;
        Ok(Self(frame.execute_stream().await.map_err(Failure::of)?))
    }

    pub(super) async fn next(&mut self) -> Result<Option<Batch>, Failure> {
        let batch = self
            .0
            .next()
            .await
            .transpose()
            .map_err(Failure::over_data)?;
        Ok(batch.map(Batch))
    }
}

/// Columns by position, as the query selects them.
pub(super) struct Batch(RecordBatch);

impl Batch {
    pub(super) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, at: usize, to: &DataType) -> Result<ArrayRef> {
        cast(self.0.column(at), to).or_error(ErrorKind::Internal, "a column of another type")
    }

    pub(super) fn texts(&self, at: usize) -> Result<Texts> {
        let column = self.column(at, &DataType::Utf8)?;
        Ok(Texts(column.as_string::<i32>().clone()))
    }

    /// Whole numbers; times in microseconds.
    pub(super) fn numbers(&self, at: usize) -> Result<Numbers> {
        let column = self.column(at, &DataType::Int64)?;
        Ok(Numbers(column.as_primitive::<Int64Type>().clone()))
    }

    pub(super) fn flags(&self, at: usize) -> Result<Flags> {
        let column = self.column(at, &DataType::Boolean)?;
        Ok(Flags(column.as_boolean().clone()))
    }
}

pub(super) struct Texts(StringArray);

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }

    /// `''` for null.
    pub(super) fn text(&self, row: usize) -> &str {
        self.get(row).unwrap_or_default()
    }
}

pub(super) struct Numbers(Int64Array);

impl Numbers {
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

pub(super) struct Flags(BooleanArray);

impl Flags {
    /// False for null.
    pub(super) fn is(&self, row: usize) -> bool {
        self.0.is_valid(row) && self.0.value(row)
    }
}
