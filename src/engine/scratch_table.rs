//! Tables whose rows a query computes once, into a scratch file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::parquet_table::{ParquetTable, TableFile};
use crate::lake::{ScratchFile, WrittenScratch, file_url};

/// A table over a scratch file, which is removed with the table.
#[derive(Debug)]
pub(super) struct ScratchTable {
    pub(super) table: ParquetTable,
    _file: WrittenScratch,
}

impl ScratchTable {
    /// Write rows with the columns of `schema` into a scratch file in `folder`. `key`: the column that is the key alone.
    pub(super) async fn write(
        schema: SchemaRef,
        key: Option<&str>,
        mut rows: SendableRecordBatchStream,
        folder: &Path,
    ) -> Result<Self> {
        let external = |error: crate::error::Error| DataFusionError::External(Box::new(error));
        let mut file = ScratchFile::create(folder, rows.schema()).map_err(external)?;
        while let Some(batch) = rows.next().await {
            file.write(&batch?).map_err(external)?;
        }
        let written = file.finish().map_err(external)?;
        let file = TableFile {
            url: file_url(&written.path).map_err(external)?,
            bytes: Some(written.bytes),
            rows: Some(written.rows),
        };
        Ok(Self {
            table: ParquetTable::new(schema, key, &[file], 0)?,
            _file: written,
        })
    }
}

/// The rows of a table that a condition selects. They are found when a query first reads them, so that the queries after
/// it need not read the whole table.
#[derive(Debug)]
pub(super) struct SelectedRows {
    pub(super) schema: SchemaRef,
    /// The column that is the key alone.
    pub(super) key: Option<String>,
    /// The query for the rows.
    pub(super) rows: DataFrame,
    /// The folder of the scratch file.
    pub(super) folder: PathBuf,
    pub(super) found: OnceCell<ScratchTable>,
}

#[async_trait::async_trait]
impl TableProvider for SelectedRows {
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
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let find = async || {
            let rows = self.rows.clone().execute_stream().await?;
            let schema = Arc::clone(&self.schema);
            ScratchTable::write(schema, self.key.as_deref(), rows, &self.folder).await
        };
        let found = self.found.get_or_try_init(find).await?;
        found.table.scan(state, projection, filters, limit).await
    }
}
