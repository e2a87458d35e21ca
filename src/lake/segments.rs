//! Segments: Parquet files of collected records, written before the next page is requested, private until published.
//!
//! A segment has the columns of its table and [`SEQUENCE`], the order in which records arrived. When records move between
//! numbered pages during a listing, a record may arrive twice; the later one is the newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tempfile::TempPath;

use super::inventory::Damage;
use super::layout;
use super::list_state::{Replaces, SegmentRef};
use super::parquet::ParquetFile;
use super::state::RepositoryState;
use super::store::Lake;
use crate::error::{ErrorKind, OrError, Result};
use crate::schema::Contract;

/// The column that orders a segment's records.
pub const SEQUENCE: &str = "_sequence";

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
    file: ParquetFile,
    local: TempPath,
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
    /// [`ErrorKind::Lake`] when a temporary file cannot be created.
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

    /// Append a batch with the contract's columns.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the temporary file cannot be written.
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

    /// The records written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.file.rows()
    }

    /// Put the segment into the lake. `replaces`: the older records that it replaces.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be put.
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
