//! A Parquet file that one process writes and reads back: cheap to write, and removed with its handle.

use std::fs::File;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use tempfile::TempPath;

use super::parquet::scratch_properties;
use crate::error::{ErrorKind, OrError, Result};

/// A scratch file being written.
pub struct ScratchFile {
    writer: ArrowWriter<File>,
    path: TempPath,
    rows: u64,
}

/// A complete scratch file. It is removed when this is dropped.
#[derive(Debug)]
pub struct WrittenScratch {
    /// The local path.
    pub path: TempPath,
    /// The number of rows.
    pub rows: u64,
    /// The size in bytes.
    pub bytes: u64,
}

impl ScratchFile {
    /// Create a file in `folder` with the columns of `schema`.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be created.
    pub fn create(folder: &Path, schema: SchemaRef) -> Result<Self> {
        let create = || -> std::io::Result<_> {
            std::fs::create_dir_all(folder)?;
            let named = tempfile::Builder::new()
                .prefix("scratch-")
                .tempfile_in(folder)?;
            Ok(named.into_parts())
        };
        let (file, path) = create().or_error(ErrorKind::Lake, "cannot create a temporary file")?;
        let writer = ArrowWriter::try_new(file, schema, Some(scratch_properties()));
        Ok(Self {
            writer: writer.or_error(ErrorKind::Internal, "cannot start a temporary file")?,
            path,
            rows: 0,
        })
    }

    /// Append a batch.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let written = self.writer.write(batch);
        written.or_error(ErrorKind::Lake, "cannot write a temporary file")
    }

    /// Write the footer.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the local file cannot be written.
    pub fn finish(self) -> Result<WrittenScratch> {
        let failed = "cannot finish a temporary file";
        self.writer.close().or_error(ErrorKind::Lake, failed)?;
        let metadata = std::fs::metadata(&self.path);
        Ok(WrittenScratch {
            bytes: metadata.or_error(ErrorKind::Lake, failed)?.len(),
            path: self.path,
            rows: self.rows,
        })
    }
}
