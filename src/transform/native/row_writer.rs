//! Passes the rows of a native step on to the query that sorts them, batch by batch. A full channel stops the step until
//! the query has taken a batch, so that only the memory of the query grows, which has a limit.

use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{TryStreamExt, stream};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::Contract;
use crate::transform::write::{self, QueryFailure};

/// The number of rows in a batch.
const ROWS: usize = 8192;

/// One value of a row.
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(i64),
    Numbers(&'a [u32]),
    /// Microseconds since 1970.
    Time(Option<i64>),
    Flag(bool),
}

enum CellBuilder {
    Text(StringBuilder),
    Number(Int64Builder),
    Numbers(ListBuilder<Int64Builder>),
    Time(TimestampMicrosecondBuilder),
    Flag(BooleanBuilder),
}

impl CellBuilder {
    /// Create a builder for a column of this type, if cells can have it.
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Int64 => Self::Number(Int64Builder::new()),
            DataType::List(_) => Self::Numbers(ListBuilder::new(Int64Builder::new())),
            DataType::Timestamp(..) => {
                let times = TimestampMicrosecondBuilder::new();
                Self::Time(times.with_data_type(data_type.clone()))
            }
            DataType::Boolean => Self::Flag(BooleanBuilder::new()),
            _ => return None,
        })
    }

    /// Append a cell. Return false if it is of another type.
    fn append(&mut self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Text(texts), Cell::Text(text)) => texts.append_value(text),
            (Self::Number(numbers), Cell::Number(number)) => numbers.append_value(number),
            (Self::Numbers(lists), Cell::Numbers(numbers)) => {
                lists.append_value(numbers.iter().map(|number| Some(i64::from(*number))));
            }
            (Self::Time(times), Cell::Time(time)) => times.append_option(time),
            (Self::Flag(flags), Cell::Flag(flag)) => flags.append_value(flag),
            _ => return false,
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(texts) => ArrayBuilder::finish(texts),
            Self::Number(numbers) => ArrayBuilder::finish(numbers),
            Self::Numbers(lists) => ArrayBuilder::finish(lists),
            Self::Time(times) => ArrayBuilder::finish(times),
            Self::Flag(flags) => ArrayBuilder::finish(flags),
        }
    }
}

/// Takes rows whose cells are in the order of the columns of the contract.
pub(super) struct RowWriter {
    contract: Contract,
    columns: Vec<CellBuilder>,
    rows: usize,
    batches: mpsc::Sender<RecordBatch>,
}

impl RowWriter {
    /// Create a writer, and the table that a query reads its rows from, once and while they are written. `is_sorted`:
    /// the rows arrive in the order of the key.
    pub(super) fn channel(contract: &Contract, is_sorted: bool) -> Result<(Self, StreamingTable)> {
        let failed = || {
            let error = Error::new(
                ErrorKind::Internal,
                "cannot write the rows of a native step",
            );
            error.with("table", contract.name())
        };
        let columns = contract.columns.iter();
        let columns = columns.map(|column| CellBuilder::of(&column.data_type));
        let columns: Option<Vec<_>> = columns.collect();
        let (sender, receiver) = mpsc::channel(1);
        let stream = RowStream {
            schema: contract.arrow_schema(),
            batches: Mutex::new(Some(receiver)),
        };
        let schema = Arc::clone(&stream.schema);
        let mut table = StreamingTable::try_new(schema, vec![Arc::new(stream)])
            .map_err(|error| failed().source(error))?;
        if is_sorted {
            table = table.with_sort_order(write::key_order(contract));
        }
        let writer = Self {
            contract: contract.clone(),
            columns: columns.ok_or_else(failed)?,
            rows: 0,
            batches: sender,
        };
        Ok((writer, table))
    }

    pub(super) async fn push<const N: usize>(
        &mut self,
        row: [Cell<'_>; N],
    ) -> Result<(), QueryFailure> {
        for (column, cell) in self.columns.iter_mut().zip(row) {
            if !column.append(cell) {
                let mixed =
                    Error::new(ErrorKind::Internal, "a cell has not the type of its column");
                return Err(mixed.with("table", self.contract.name()).into());
            }
        }
        self.rows += 1;
        if self.rows == ROWS {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), QueryFailure> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(CellBuilder::finish).collect();
        let batch = RecordBatch::try_new(self.contract.arrow_schema(), arrays)
            .or_error(ErrorKind::Internal, "rows do not match their contract")
            .map_err(|error| error.with("table", self.contract.name()))?;
        let sent = self.batches.send(batch).await;
        Ok(sent.or_error(ErrorKind::Internal, "the query over the rows has ended")?)
    }

    /// Send the last rows.
    pub(super) async fn finish(mut self) -> Result<(), QueryFailure> {
        match self.rows {
            0 => Ok(()),
            _ => self.send().await,
        }
    }
}

/// The rows of a [`RowWriter`].
#[derive(Debug)]
struct RowStream {
    schema: SchemaRef,
    /// `None` when they are being read.
    batches: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl PartitionStream for RowStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self
            .batches
            .lock()
            .ok()
            .and_then(|mut batches| batches.take());
        let batches = stream::once(async move {
            let twice = || DataFusionError::Internal("the rows are read twice".to_owned());
            let receiver = receiver.ok_or_else(twice)?;
            Ok::<_, DataFusionError>(stream::unfold(receiver, async |mut receiver| {
                let batch = receiver.recv().await?;
                Some((Ok(batch), receiver))
            }))
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
    }
}
