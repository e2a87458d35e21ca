//! Write batches into one Parquet file whose bytes depend on the rows alone.
//!
//! The same rows give the same bytes, whatever the query plan was: batches are re-cut to a fixed size before the writer,
//! every setting of the writer is fixed here, and no run id, time or version goes into the file. Rows must arrive in
//! their final order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::Contract;

/// Rows per batch at the writer. The writer checks page limits per batch, so this size determines the bytes.
const BATCH_ROWS: usize = 8192;
/// Rows per batch of a table with payloads, to bound memory.
const WIDE_BATCH_ROWS: usize = 512;
const ROW_GROUP_ROWS: usize = 131_072;
/// Limits the memory of the writer, which buffers a whole row group.
const ROW_GROUP_BYTES: usize = 64 << 20;
const ZSTD_LEVEL: i32 = 3;
const CREATED_BY: &str = "bitlake";
/// The column of JSON texts. They are long and rarely repeat, so the writer would build a dictionary and discard it.
const PAYLOAD: &str = "_payload";

/// A Parquet file being written.
pub struct ParquetFile {
    writer: ArrowWriter<File>,
    coalescer: BatchCoalescer,
    path: PathBuf,
    rows: u64,
    /// The columns whose bounds are recorded.
    bounded: Vec<String>,
}

/// A complete Parquet file on local disk.
#[derive(Debug, Clone)]
pub struct WrittenFile {
    /// The local path.
    pub path: PathBuf,
    /// The rows of the file.
    pub rows: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The SHA-256 of the file's content, in hexadecimal.
    pub sha256: String,
    /// The smallest and largest value of the key columns and the partition's column, as text.
    pub bounds: BTreeMap<String, (String, String)>,
}

impl ParquetFile {
    /// Create a file with the columns of `schema`. The contract gives sort order, bloom filters and bounds.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be created.
    pub fn create(path: &Path, schema: SchemaRef, contract: &Contract) -> Result<Self> {
        let failed = |error: Error| error.with("file", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .or_error(ErrorKind::Lake, "cannot create a folder")
                .map_err(failed)?;
        }
        let file = File::create(path)
            .or_error(ErrorKind::Lake, "cannot create a file")
            .map_err(failed)?;
        let properties = match contract.is_temporary {
            true => scratch_properties(),
            false => properties(&schema, contract)?,
        };
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .or_error(ErrorKind::Internal, "cannot start a Parquet file")
            .map_err(failed)?;
        let batch_rows = match contract.column(PAYLOAD) {
            Some(_) => WIDE_BATCH_ROWS,
            None => BATCH_ROWS,
        };
        let time = contract.partition.iter().map(|partition| &partition.column);
        Ok(Self {
            writer,
            coalescer: BatchCoalescer::new(schema, batch_rows),
            path: path.to_owned(),
            rows: 0,
            bounded: contract.primary_key.iter().chain(time).cloned().collect(),
        })
    }

    /// Append a batch.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.coalescer
            .push_batch(batch.clone())
            .or_error(ErrorKind::Internal, "cannot cut batches")?;
        self.write_completed_batches()
    }

    /// The rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn write_completed_batches(&mut self) -> Result<()> {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.writer
                .write(&batch)
                .or_error(ErrorKind::Lake, "cannot write a Parquet file")
                .map_err(|error| error.with("file", self.path.display()))?;
        }
        Ok(())
    }

    /// Write the footer and describe the file.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be written or read back.
    pub fn finish(mut self) -> Result<WrittenFile> {
        self.coalescer
            .finish_buffered_batch()
            .or_error(ErrorKind::Internal, "cannot cut batches")?;
        self.write_completed_batches()?;
        let failed = |error: Error| error.with("file", self.path.display());
        let metadata = self
            .writer
            .close()
            .or_error(ErrorKind::Lake, "cannot finish a Parquet file")
            .map_err(failed)?;
        let (bytes, sha256) = digest(&self.path)
            .or_error(ErrorKind::Lake, "cannot read back a Parquet file")
            .map_err(failed)?;
        Ok(WrittenFile {
            bounds: bounds(&metadata, &self.bounded),
            path: self.path,
            rows: self.rows,
            bytes,
            sha256,
        })
    }
}

impl WrittenFile {
    /// Describe an existing file. `bounded`: the columns whose bounds are recorded.
    pub(super) fn describe(path: &Path, bounded: &[String]) -> Result<Self> {
        let read = || -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(path)?)?;
            let (bytes, sha256) = digest(path)?;
            Ok(Self {
                path: path.to_owned(),
                rows: u64::try_from(metadata.file_metadata().num_rows())?,
                bytes,
                sha256,
                bounds: bounds(&metadata, bounded),
            })
        };
        read().or_error(ErrorKind::Lake, "cannot read a Parquet file")
    }
}

/// Return the settings for a file that this run reads back and then removes: cheap to write and to read.
pub(super) fn scratch_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build()
}

fn properties(schema: &Schema, contract: &Contract) -> Result<WriterProperties> {
    let compression = match contract.compression {
        Some(configured) => configured,
        None => Compression::ZSTD(
            ZstdLevel::try_new(ZSTD_LEVEL).or_error(ErrorKind::Internal, "zstd level")?,
        ),
    };
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_sorting_columns(sorting_columns(schema, contract))
        .set_column_dictionary_enabled(ColumnPath::from(PAYLOAD), false);
    for (column, distinct) in &contract.bloom {
        let path = ColumnPath::from(column.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_max_ndv(path, *distinct);
    }
    Ok(properties.build())
}

/// Return the sort order of the contract's key. Parquet numbers the leaves of columns, not the columns.
fn sorting_columns(schema: &Schema, contract: &Contract) -> Option<Vec<SortingColumn>> {
    let mut leaf = 0;
    let mut leaves = BTreeMap::new();
    for field in schema.fields() {
        leaves.insert(field.name().as_str(), leaf);
        leaf += count_leaves(field.data_type());
    }
    let columns = contract.primary_key.iter().map(|column| {
        let column_idx = *leaves.get(column.as_str())?;
        Some(SortingColumn {
            column_idx,
            descending: false,
            nulls_first: false,
        })
    });
    columns.collect()
}

fn count_leaves(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|f| count_leaves(f.data_type())).sum(),
        DataType::List(item) => count_leaves(item.data_type()),
        _ => 1,
    }
}

fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(buffer.get(..read).unwrap_or_default());
    }
    Ok((bytes, hex(&hash.finalize())))
}

fn bounds(metadata: &ParquetMetaData, columns: &[String]) -> BTreeMap<String, (String, String)> {
    let mut bounds: BTreeMap<String, (String, String)> = BTreeMap::new();
    for group in metadata.row_groups() {
        for chunk in group.columns() {
            let name = chunk.column_path().string();
            if !columns.contains(&name) {
                continue;
            }
            let Some((low, high)) = chunk.statistics().and_then(min_and_max) else {
                continue;
            };
            bounds
                .entry(name)
                .and_modify(|(min, max)| {
                    if low < *min {
                        min.clone_from(&low);
                    }
                    if high > *max {
                        max.clone_from(&high);
                    }
                })
                .or_insert((low, high));
        }
    }
    bounds
}

/// Return the smallest and largest value of a column chunk. 64-bit integers are taken as times in microseconds; both texts
/// and times then compare as text.
fn min_and_max(statistics: &Statistics) -> Option<(String, String)> {
    match statistics {
        Statistics::ByteArray(bytes) => Some((
            bytes.min_opt()?.as_utf8().ok()?.to_owned(),
            bytes.max_opt()?.as_utf8().ok()?.to_owned(),
        )),
        Statistics::Int64(micros) => {
            let time = |micros: i64| {
                chrono::DateTime::from_timestamp_micros(micros)
                    .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            };
            Some((time(*micros.min_opt()?)?, time(*micros.max_opt()?)?))
        }
        _ => None,
    }
}
