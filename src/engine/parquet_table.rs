//! A table over Parquet files of known size.
//!
//! DataFusion's own `ListingTable` asks the store for the size of every file whenever a query is planned, and reads the
//! statistics of every column from the footers. A lake knows the size and the rows of its files, and the key of its tables,
//! which is enough to order joins. A file whose size is not known is looked up once.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::try_join_all;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::sync::OnceCell;
use url::Url;

use crate::lake::{SharedFiles, WrittenFile, file_url};

/// A Parquet file of a table.
#[derive(Debug, Clone)]
pub struct TableFile {
    /// The location of the file.
    pub url: Url,
    /// The size in bytes; `None` if it is not known.
    pub bytes: Option<u64>,
    /// The number of rows; `None` if it is not known.
    pub rows: Option<u64>,
}

impl TableFile {
    /// Return a file that this process has written to the local disk.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) for a relative path.
    pub fn written(file: &WrittenFile) -> crate::error::Result<Self> {
        Ok(Self {
            url: file_url(&file.path)?,
            bytes: Some(file.bytes),
            rows: Some(file.rows),
        })
    }
}

impl From<Url> for TableFile {
    fn from(url: Url) -> Self {
        Self {
            url,
            bytes: None,
            rows: None,
        }
    }
}

/// A table over Parquet files of one store.
#[derive(Debug)]
pub(super) struct ParquetTable {
    schema: SchemaRef,
    files: Vec<(ListingTableUrl, TableFile)>,
    /// The column that is the key alone.
    key: Option<String>,
    /// Distinguishes the files from files that were registered at the same location before, for the cache of footers.
    generation: i64,
    /// The files as DataFusion reads them.
    described: OnceCell<Vec<ObjectMeta>>,
    /// The files as workers read them.
    shared: OnceCell<Box<ParquetTable>>,
}

impl ParquetTable {
    /// Create a table over `files`. `key`: the column that is the key alone; `generation` differs for every table of a
    /// session.
    pub(super) fn new(
        schema: SchemaRef,
        key: Option<&str>,
        files: &[TableFile],
        generation: i64,
    ) -> Result<Self> {
        let parsed = files.iter().map(|file| {
            let url = ListingTableUrl::try_new(file.url.clone(), None)?;
            Ok((url, file.clone()))
        });
        Ok(Self {
            schema,
            files: parsed.collect::<Result<_>>()?,
            key: key.map(str::to_owned),
            generation,
            described: OnceCell::new(),
            shared: OnceCell::new(),
        })
    }

    /// Return this table as workers can read it: local files are shared with them, once.
    async fn shared(&self, with: &SharedFiles) -> Result<&Self> {
        let share = async || {
            let files = self.files.iter().map(async |(_, file)| {
                let Ok(path) = file.url.to_file_path() else {
                    return Ok(file.clone());
                };
                let url = with.share(&path).await;
                let url = url.map_err(|error| DataFusionError::External(Box::new(error)))?;
                Ok::<_, DataFusionError>(TableFile {
                    url,
                    ..file.clone()
                })
            });
            let files = try_join_all(files).await?;
            let schema = Arc::clone(&self.schema);
            let table = Self::new(schema, self.key.as_deref(), &files, self.generation)?;
            Ok(Box::new(table))
        };
        self.shared.get_or_try_init(share).await.map(Box::as_ref)
    }

    /// Describe the files, and ask the store for the sizes that are not known.
    async fn described(&self, state: &dyn Session) -> Result<&[ObjectMeta]> {
        let look_up = async || {
            let files = self.files.iter().map(async |(url, file)| {
                let size = match file.bytes {
                    Some(bytes) => bytes,
                    None => {
                        let store = state.runtime_env().object_store(url)?;
                        store.head(url.prefix()).await?.size
                    }
                };
                Ok(ObjectMeta {
                    location: url.prefix().clone(),
                    last_modified: DateTime::from_timestamp_nanos(self.generation),
                    size,
                    e_tag: None,
                    version: None,
                })
            });
            try_join_all(files).await
        };
        self.described
            .get_or_try_init(look_up)
            .await
            .map(Vec::as_slice)
    }

    /// Estimate what is not known: without a number of distinct values the planner takes every value for distinct. It
    /// would expect a join of many rows with a few repositories to have a few rows, and hold the many in memory.
    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = self.files.iter().try_fold(0_usize, |sum, (_, file)| {
            Some(sum.saturating_add(usize::try_from(file.rows?).ok()?))
        });
        let Some(rows) = rows else {
            return statistics;
        };
        let columns = statistics.column_statistics.iter_mut();
        for (column, field) in columns.zip(self.schema.fields()) {
            let is_key = self.key.as_ref() == Some(field.name());
            let distinct = if is_key { rows } else { rows.isqrt() };
            column.distinct_count = Precision::Inexact(distinct);
        }
        statistics.with_num_rows(Precision::Exact(rows))
    }
}

/// Return whether it is known that a table has no rows.
pub(super) fn has_no_rows(table: &dyn TableProvider) -> bool {
    if table.is::<EmptyTable>() {
        return true;
    }
    let files = table.downcast_ref::<ParquetTable>().map(|it| &it.files);
    files.is_some_and(|files| files.iter().all(|(_, file)| file.rows == Some(0)))
}

#[async_trait::async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match state.config().get_extension::<SharedFiles>() {
            Some(files) => {
                let table = self.shared(&files).await?;
                table.scan_files(state, projection, limit).await
            }
            None => self.scan_files(state, projection, limit).await,
        }
    }
}

impl ParquetTable {
    async fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.described(state).await?;
        let groups = FileGroup::new(files.iter().cloned().map(PartitionedFile::from).collect())
            .split_files(state.config().target_partitions());
        let store = self.files.first().map(|(url, _)| url.object_store());
        let store = store
            .unwrap_or_else(datafusion::datasource::object_store::ObjectStoreUrl::local_filesystem);
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        let config = FileScanConfigBuilder::new(store, source)
            .with_file_groups(groups)
            .with_statistics(self.statistics())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        ParquetFormat::default()
            .create_physical_plan(state, config)
            .await
    }
}
