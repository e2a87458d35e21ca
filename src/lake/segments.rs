//! Segments: what a walk collected, on disk before the next page is asked for, private until it is published.
//!
//! A segment has its table's columns and [`SEQUENCE`], the order in which records arrived: when numbered pages shift
//! under a walk, a record comes twice, and the later one is the newer.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tempfile::TempPath;

use super::{Lake, ParquetFile, Replaces, SegmentRef, layout};
use crate::error::{ErrorKind, OrError, Result};
use crate::schema::Contract;

/// The column that orders a segment's records.
pub const SEQUENCE: &str = "_sequence";

/// A segment's columns.
pub fn segment_schema(contract: &Contract) -> SchemaRef {
    let mut fields: Vec<_> = contract.arrow_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Writes one segment; nothing is seen of it before [`SegmentWriter::finish`].
pub struct SegmentWriter {
    lake: Lake,
    file: ParquetFile,
    local: TempPath,
    path: String,
    schema: SchemaRef,
    /// The sequence number of its first record.
    first: u64,
    schema_version: u32,
}

impl SegmentWriter {
    /// `uuid`: the repository's, or the workspace's. `first`: how many records the entity's segments hold before it.
    pub fn create(
        lake: &Lake,
        contract: &Contract,
        connection_id: i64,
        uuid: &str,
        run_id: &str,
        first: u64,
    ) -> Result<Self> {
        let schema = segment_schema(contract);
        let local = tempfile::Builder::new()
            .prefix("bitlake-segment-")
            .tempfile()
            .or_error(ErrorKind::Lake, "cannot create a temporary file")?
            .into_temp_path();
        Ok(Self {
            lake: lake.clone(),
            file: ParquetFile::create(&local, Arc::clone(&schema), contract)?,
            local,
            path: layout::segment_file(connection_id, uuid, &contract.table, run_id, first),
            schema,
            first,
            schema_version: contract.version,
        })
    }

    /// Appends a batch of the contract's schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let start = self.first.saturating_add(self.file.rows());
        let end = start.saturating_add(batch.num_rows() as u64);
        let range = i64::try_from(start).and_then(|start| Ok(start..i64::try_from(end)?));
        let range = range
            .or_error(
                ErrorKind::Lake,
                "the state counts more records than there can be",
            )
            .map_err(|error| error.with("file", &self.path))?;
        let sequence: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
        let mut columns = batch.columns().to_vec();
        columns.push(sequence);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).or_error(
            ErrorKind::Internal,
            "a segment's batch does not match its contract",
        )?;
        self.file.write(&batch)
    }

    pub fn rows(&self) -> u64 {
        self.file.rows()
    }

    /// Puts the segment into the lake.
    pub async fn finish(self, replaces: Replaces) -> Result<SegmentRef> {
        let written = self.file.finish()?;
        self.lake.put_file(&self.local, &self.path).await?;
        Ok(SegmentRef {
            path: self.path,
            rows: written.rows,
            first: self.first,
            replaces,
            schema_version: self.schema_version,
        })
    }
}
