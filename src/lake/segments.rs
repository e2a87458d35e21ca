//! Segments: Parquet files of collected records, written before the next page is requested, private until published.
//!
//! A segment has the columns of its table and [`SEQUENCE`], the order in which records arrived. When records move between
//! numbered pages during a listing, a record may arrive twice; the later one is the newer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use object_store::PutMode;
use tempfile::NamedTempFile;

use super::inventory::Damage;
use super::layout;
use super::list_state::{Replaces, SegmentRef};
use super::state::RepositoryState;
use super::store::Lake;
use crate::error::{ErrorKind, OrError, Result};
use crate::schema::Contract;

/// The column that orders a segment's records.
pub const SEQUENCE: &str = "_sequence";
/// The column of JSON texts.
const PAYLOAD: &str = "_payload";
/// The largest segment that is kept in memory.
const MAX_MEMORY: usize = 4 << 20;
/// Limits the memory of the writer, which buffers a whole row group.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Return the columns of a table's segments.
#[must_use]
pub fn segment_schema(contract: &Contract) -> SchemaRef {
    let mut fields: Vec<_> = contract.arrow_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// A writer of one segment. The segment is put into the lake by [`SegmentWriter::finish`].
pub struct SegmentWriter {
    lake: Lake,
    writer: ArrowWriter<SegmentBuffer>,
    rows: u64,
    path: String,
    schema: SchemaRef,
    /// The sequence number of the first record.
    first: u64,
    schema_version: u32,
}

impl SegmentWriter {
    /// Create a segment of a table. `uuid`: that of the repository or workspace; `first`: the sequence number of its first
    /// record.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a contract that Parquet has no types for.
    pub fn create(
        lake: &Lake,
        contract: &Contract,
        connection_id: i64,
        uuid: &str,
        run_id: &str,
        first: u64,
    ) -> Result<Self> {
        let schema = segment_schema(contract);
        let buffer = SegmentBuffer::default();
        let writer = ArrowWriter::try_new(buffer, Arc::clone(&schema), Some(properties()))
            .or_error(ErrorKind::Internal, "cannot start a Parquet file")?;
        Ok(Self {
            lake: lake.clone(),
            writer,
            rows: 0,
            path: layout::segment_file(connection_id, uuid, &contract.table, run_id, first),
            schema,
            first,
            schema_version: contract.version,
        })
    }

    /// Append a batch with the contract's columns.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the temporary file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let start = self.first.saturating_add(self.rows);
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
        self.rows += batch.num_rows() as u64;
        self.writer
            .write(&batch)
            .or_error(ErrorKind::Lake, "cannot write a Parquet file")
            .map_err(|error| error.with("file", &self.path))
    }

    /// The records written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Put the segment into the lake. `replaces`: the older records that it replaces.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be put.
    pub async fn finish(self, replaces: Replaces) -> Result<SegmentRef> {
        let content = self
            .writer
            .into_inner()
            .or_error(ErrorKind::Lake, "cannot finish a Parquet file")
            .map_err(|error| error.with("file", &self.path))?;
        match content.file {
            None => {
                let put = self.lake.put_with_retries(
                    &self.path,
                    content.memory.into(),
                    PutMode::Overwrite,
                );
                put.await?;
            }
            Some(file) => self.lake.put_file(file.path(), &self.path).await?,
        }
        Ok(SegmentRef {
            path: self.path,
            rows: self.rows,
            first: self.first,
            replaces,
            schema_version: self.schema_version,
        })
    }
}

/// The content of a segment: in memory, from a certain size on in a temporary file.
#[derive(Default)]
struct SegmentBuffer {
    memory: Vec<u8>,
    file: Option<NamedTempFile>,
}

impl Write for SegmentBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            return file.write(bytes);
        }
        if self.memory.len() + bytes.len() <= MAX_MEMORY {
            self.memory.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let mut file = tempfile::Builder::new()
            .prefix("bitlake-segment-")
            .tempfile()?;
        file.write_all(&std::mem::take(&mut self.memory))?;
        self.file.insert(file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), NamedTempFile::flush)
    }
}

/// The settings of the writer. A segment is read once or twice and then removed, so that writing is to be cheap: only the
/// payload is compressed, and nothing reads statistics.
fn properties() -> WriterProperties {
    let payload = ColumnPath::from(PAYLOAD);
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_column_dictionary_enabled(payload.clone(), false)
        .set_column_compression(payload, Compression::ZSTD(ZstdLevel::default()))
        .build()
}

impl Lake {
    /// Return the segments that `states` name and that are missing or empty.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be listed.
    pub async fn damaged_segments(
        &self,
        states: &[RepositoryState],
    ) -> Result<BTreeMap<String, Damage>> {
        let lists = states.iter().flat_map(|state| state.entities.values());
        let segments = lists.flat_map(|list| &list.segments);
        let named: BTreeSet<&String> = segments.map(|segment| &segment.path).collect();
        if named.is_empty() {
            return Ok(BTreeMap::new());
        }
        let listed = self.list_objects(layout::SEGMENTS).await?;
        let damage = |path: &String| match listed.get(path) {
            None => Some(Damage::Missing),
            Some(found) => (found.size == 0).then_some(Damage::Empty),
        };
        let damaged = named
            .into_iter()
            .filter_map(|path| Some((path.clone(), damage(path)?)));
        Ok(damaged.collect())
    }
}
