//! What is known of a repository already, read by columns: so that nothing is asked for that is here.

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

use super::{Lake, Replaces, RepositoryState};
use crate::error::{Error, ErrorKind, Result};

const ROWS: usize = 8192;

/// One step of going through what is known of a table.
pub enum ScanItem<'a> {
    /// What came before is replaced, as far as this says.
    Replaced(&'a Replaces),
    /// Records, with the columns that were asked for.
    Batch(RecordBatch),
}

impl Lake {
    /// Goes through the records of one source table of a repository in the order in which they were collected: what is
    /// published, then the segments. A record may come in several versions, the newest last.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`], with the file.
    pub async fn scan(
        &self,
        state: &RepositoryState,
        entity: &str,
        columns: &[&str],
        mut see: impl FnMut(ScanItem<'_>) -> Result<()>,
    ) -> Result<()> {
        let known = state.entities.get(entity);
        // Nothing counts of a file that is collected again.
        if known.is_none_or(|known| !known.is_lost) {
            let published = state.source_file(entity);
            self.columns(&published, columns, &mut see).await?;
        }
        for segment in known.iter().flat_map(|known| &known.segments) {
            see(ScanItem::Replaced(&segment.replaces))?;
            self.columns(&segment.path, columns, &mut see).await?;
        }
        Ok(())
    }

    /// A file that is not there has no records.
    async fn columns(
        &self,
        path: &str,
        columns: &[&str],
        see: &mut impl FnMut(ScanItem<'_>) -> Result<()>,
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
            .with_batch_size(ROWS)
            .build()
            .map_err(|error| unreadable(error, path))?;
        let mut batches = batches.map_err(|error| unreadable(error, path)).boxed();
        while let Some(batch) = batches.try_next().await? {
            see(ScanItem::Batch(batch))?;
        }
        Ok(())
    }
}

/// Fetches of a file what its columns need.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let bytes = self.store.get_range(&self.path, range);
        bytes.map_err(external).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.store.head(&self.path).await.map_err(external)?.size;
            let reader = ParquetMetaDataReader::new();
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
