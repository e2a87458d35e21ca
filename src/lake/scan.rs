//! Read collected records by columns, so that the collector requests no record that the lake has.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::list_state::Replaces;
use super::state::RepositoryState;
use super::store::Lake;
use crate::error::{Error, ErrorKind, Result};

/// Rows per batch.
const BATCH_ROWS: usize = 8192;
/// The end of a file that is read with one request, in bytes: the footer of most segments is smaller.
const FOOTER_BYTES: usize = 32 << 10;

/// An item of [`Lake::scan`].
#[derive(Debug)]
pub enum ScanItem<'a> {
    /// The following records replace these earlier ones.
    Replaced(&'a Replaces),
    /// Records, with the requested columns.
    Batch(RecordBatch),
}

impl Lake {
    /// Read the records of a repository's source table in the order in which they were collected: the published file, then
    /// the segments. A record may have several versions, the newest last. `visit` receives each item; its error ends the
    /// scan.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when a file cannot be read, and errors of `visit`.
    pub async fn scan(
        &self,
        state: &RepositoryState,
        entity: &str,
        columns: &[&str],
        mut visit: impl FnMut(ScanItem<'_>) -> Result<()>,
    ) -> Result<()> {
        let list = state.entities.get(entity);
        // A file that was lost is being collected again as a whole.
        if list.is_none_or(|list| !list.is_lost) {
            let published = state.source_file(entity);
            self.scan_file(&published, columns, &mut visit).await?;
        }
        for segment in list.iter().flat_map(|list| &list.segments) {
            visit(ScanItem::Replaced(&segment.replaces))?;
            self.scan_file(&segment.path, columns, &mut visit).await?;
        }
        Ok(())
    }

    /// Read one file; a missing file has no records.
    async fn scan_file(
        &self,
        path: &str,
        columns: &[&str],
        visit: &mut impl FnMut(ScanItem<'_>) -> Result<()>,
    ) -> Result<()> {
        let reader = ObjectReader {
            store: Arc::clone(&self.store),
            path: self.location.object(path)?,
        };
        let builder = match ParquetRecordBatchStreamBuilder::new(reader).await {
            Err(error) if is_missing(&error) => return Ok(()),
            builder => builder.map_err(|error| unreadable(error, path))?,
        };
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| unreadable(error, path))?;
        let mut batches = batches.map_err(|error| unreadable(error, path)).boxed();
        while let Some(batch) = batches.try_next().await? {
            visit(ScanItem::Batch(batch))?;
        }
        Ok(())
    }
}

/// Reads the byte ranges of a file that the requested columns need.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let bytes = self.store.get_range(&self.path, range);
        bytes.map_err(external).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let bytes = self.store.get_ranges(&self.path, &ranges).await;
            bytes.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.store.head(&self.path).await.map_err(external)?.size;
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

fn external(error: StoreError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

fn is_missing(error: &ParquetError) -> bool {
    let ParquetError::External(source) = error else {
        return false;
    };
    matches!(source.downcast_ref(), Some(StoreError::NotFound { .. }))
}

fn unreadable(error: ParquetError, path: &str) -> Error {
    Error::new(ErrorKind::Lake, "cannot read a file of the lake")
        .with("file", path)
        .source(error)
}
