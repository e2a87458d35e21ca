//! Writes the rows of a native step to an unsorted Parquet file.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};

use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::{ParquetFile, WrittenFile};
use crate::schema::Contract;

/// The number of rows in a batch.
const ROWS: usize = 8192;

/// One value of a row.
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(i64),
}

enum ColumnBuilder {
    Text(StringBuilder),
    Number(Int64Builder),
}

/// Writes rows whose cells are in the order of the columns of the contract.
pub(super) struct RowWriter {
    contract: Contract,
    file: ParquetFile,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl RowWriter {
    pub(super) fn create(contract: &Contract, path: &Path) -> Result<Self> {
        // Without a key, because the file must not declare an order that its rows do not have.
        let (layer, table) = (&contract.layer, &contract.table);
        let unsorted = Contract::new(layer, table, contract.columns.clone(), Vec::new())?;
        Ok(Self {
            file: ParquetFile::create(path, unsorted.arrow_schema(), &unsorted)?,
            contract: unsorted,
            columns: Vec::new(),
            rows: 0,
        })
    }

    pub(super) fn push<const N: usize>(&mut self, row: [Cell<'_>; N]) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = row
                .iter()
                .map(|cell| match cell {
                    Cell::Text(_) => ColumnBuilder::Text(StringBuilder::new()),
                    Cell::Number(_) => ColumnBuilder::Number(Int64Builder::new()),
                })
                .collect();
        }
        for (column, cell) in self.columns.iter_mut().zip(row) {
            match (column, cell) {
                (ColumnBuilder::Text(texts), Cell::Text(text)) => texts.append_value(text),
                (ColumnBuilder::Number(numbers), Cell::Number(number)) => {
                    numbers.append_value(number)
                }
                _ => {
                    let mixed = Error::new(ErrorKind::Internal, "a column has cells of two types");
                    return Err(mixed.with("table", self.contract.name()));
                }
            }
        }
        self.rows += 1;
        if self.rows == ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.rows = 0;
        let arrays = self.columns.drain(..).map(|column| -> ArrayRef {
            match column {
                ColumnBuilder::Text(mut texts) => Arc::new(texts.finish()),
                ColumnBuilder::Number(mut numbers) => Arc::new(numbers.finish()),
            }
        });
        let batch = RecordBatch::try_new(self.contract.arrow_schema(), arrays.collect())
            .or_error(ErrorKind::Internal, "rows do not match their contract")
            .map_err(|error| error.with("table", self.contract.name()))?;
        self.file.write(&batch)
    }

    pub(super) fn finish(mut self) -> Result<WrittenFile> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.file.finish()
    }
}
