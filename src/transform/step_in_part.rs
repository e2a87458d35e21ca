//! Runs a step for some repositories or projects, and replaces their rows in the published files.
//!
//! ```text
//! new rows     the step over the inputs of the part
//! old rows     the published rows of the part, in files of the same partitions
//! same bytes   the published file is kept
//! else         few rows: the published rows, in which those that differ are replaced
//!              many rows: the published rows of the others, merged with the new ones
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::incremental::Incremental;
use super::parts::SCHEMA;
use super::run::file_path;
use super::run_step::{register_with_unique_key, run_step};
use super::selection::Conditions;
use super::steps::{BASE, Step};
use super::write::{self, QueryFailure, WrittenFiles, WrittenTable};
use crate::engine::{Engine, RowEdits, TableFile};
use crate::error::{Error, Result};
use crate::lake::layout::table_file;
use crate::lake::{NextFile, NextTable, WrittenFile};
use crate::schema::Contract;

/// The largest old and new rows of a file, in bytes, that are read into memory to edit the file. Others are merged.
const MOST_EDITED_BYTES: u64 = 8 << 20;

/// A step whose rows are made for a selection.
pub(super) struct StepInPart {
    /// The session of the part.
    pub(super) part: Arc<Engine>,
    /// A session that reads files in order.
    pub(super) selections: Engine,
    /// The step, whose files are temporary.
    pub(super) step: Step,
    /// The contract of the table.
    pub(super) contract: Arc<Contract>,
    pub(super) conditions: Conditions,
    /// The published files by path.
    pub(super) published: BTreeMap<String, TableFile>,
    /// The staging folder.
    pub(super) folder: PathBuf,
}

/// The files of a table that is made, each with its rows, by path.
type Files = BTreeMap<String, (u64, NextFile)>;

impl StepInPart {
    /// Run the step, and return the table in which the new rows of the selection have replaced the old ones.
    pub(super) async fn make(self) -> Result<(Arc<Contract>, NextTable)> {
        let (temporary, new) = run_step(&self.part, &self.step, &self.folder.join("new")).await?;
        let started = Instant::now();
        let mut new = self.by_path(new);
        let mut old = self.by_path(self.old_rows(&temporary).await?);
        let mut files = Files::new();
        let mut merged = Vec::new();
        for (path, file) in &self.published {
            let rows = self.path_of_rows(path);
            let (old, new) = (old.remove(&rows), new.remove(&rows));
            let sha256 = |file: &Option<WrittenFile>| file.as_ref().map(|it| it.sha256.clone());
            if sha256(&old) == sha256(&new) {
                files.insert(
                    path.clone(),
                    (file.rows.unwrap_or_default(), NextFile::Kept),
                );
            } else {
                merged.push((path.clone(), self.replace(file, path, old, new).await?));
            }
        }
        for (path, written) in new {
            let rows = self.rows_of(&written).await?;
            merged.push((path.clone(), self.write(rows, &path).await?));
        }
        self.reject_duplicate_keys(&merged).await?;
        for (path, table) in merged {
            for (_, written) in table.files {
                files.insert(self.path_of_file(&path, &written), staged(written));
            }
        }
        let (name, took) = (self.contract.name(), started.elapsed());
        tracing::debug!(table = name, ?took, "replaced the rows of a part");
        let table = NextTable {
            schema_version: self.contract.version,
            files: self.without_empty_files(files),
            ..NextTable::default()
        };
        Ok((self.contract, table))
    }

    /// Return the path by which new rows are known. A base table has one file, which is named for its content.
    fn path_of_rows(&self, published: &str) -> String {
        match self.contract.layer == BASE {
            true => table_file(&self.contract, None),
            false => published.to_owned(),
        }
    }

    fn path_of_file(&self, path: &str, written: &WrittenFile) -> String {
        match self.contract.layer == BASE {
            true => file_path(&self.contract, None, written),
            false => path.to_owned(),
        }
    }

    /// Return the files with rows by the path of their partition.
    fn by_path(&self, files: WrittenFiles) -> BTreeMap<String, WrittenFile> {
        let files = files.into_iter().filter(|(_, written)| written.rows > 0);
        files
            .map(|(partition, written)| (table_file(&self.contract, partition.as_deref()), written))
            .collect()
    }

    /// Write the rows of the selection that the published files have.
    async fn old_rows(&self, contract: &Contract) -> Result<WrittenFiles> {
        let files: Vec<_> = self.published.values().cloned().collect();
        let rows = self.rows_where(&files, &self.conditions.selected).await?;
        let folder = self.folder.join("old");
        let table = write::frame(&self.selections, rows, contract, &folder).await;
        let table = table.map_err(|failure| failure.into_error(contract))?;
        Ok(table.files)
    }

    /// Write the file at `path` again, with the `new` rows in the place of the `old` ones.
    async fn replace(
        &self,
        file: &TableFile,
        path: &str,
        old: Option<WrittenFile>,
        new: Option<WrittenFile>,
    ) -> Result<WrittenTable> {
        let replaced = || old.iter().chain(&new);
        let bytes: u64 = replaced().map(|written| written.bytes).sum();
        let rows: u64 = replaced().map(|written| written.rows).sum();
        let are_few = bytes <= MOST_EDITED_BYTES && file.rows.is_some_and(|all| rows < all);
        let rows = match are_few {
            true => self.edited(file, old, new).await?,
            false => self.merged(file, new).await?,
        };
        self.write(rows, path).await
    }

    /// Read all rows of a file, but the `new` ones in the place of the `old` ones.
    async fn edited(
        &self,
        file: &TableFile,
        old: Option<WrittenFile>,
        new: Option<WrittenFile>,
    ) -> Result<SendableRecordBatchStream> {
        let (old, new) = (self.batch_of(old).await?, self.batch_of(new).await?);
        let order = write::order_of_rows(&self.contract);
        let edits = RowEdits::between(&old, &new, &order).map_err(|error| self.failed(error))?;
        Ok(edits.apply(self.read(file).await?))
    }

    /// Read the rows of the others in a file, and the `new` ones.
    async fn merged(
        &self,
        file: &TableFile,
        new: Option<WrittenFile>,
    ) -> Result<SendableRecordBatchStream> {
        let files = std::slice::from_ref(file);
        let mut others = self.rows_where(files, &self.conditions.others).await?;
        let looks_up = |it: &Incremental| !it.known_from.is_empty();
        if self.step.incremental.as_ref().is_some_and(looks_up) {
            // A join with the tables that know the values may change the order.
            let order = write::sort_of_rows(&self.contract);
            others = others.sort(order).map_err(|error| self.failed(error))?;
        }
        let others = others.execute_stream().await;
        let mut streams = vec![others.map_err(|error| self.failed(error))?];
        if let Some(file) = new {
            streams.push(self.rows_of(&file).await?);
        }
        let order = write::order_of_rows(&self.contract);
        let schema = self.contract.arrow_schema();
        let merged = self.selections.merge_sorted(schema, &order, streams);
        merged.map_err(|error| self.failed(error))
    }

    async fn write(&self, rows: SendableRecordBatchStream, path: &str) -> Result<WrittenTable> {
        let folder = self.folder.join("merged").join(path);
        let table = write::partition(&self.selections, rows, &self.contract, &folder).await;
        table.map_err(|failure| failure.into_error(&self.contract))
    }

    /// Plan to read the rows of files that satisfy a condition.
    async fn rows_where(&self, files: &[TableFile], condition: &str) -> Result<DataFrame> {
        let table = format!("rows of {}", self.contract.name());
        let schema = self.contract.arrow_schema();
        self.selections
            .register_parquet(SCHEMA, &table, schema, files)?;
        let sql = format!("SELECT * FROM {SCHEMA}.\"{table}\" WHERE {condition}");
        self.selections.plan(&sql, &[]).await
    }

    /// Read the rows of a file, in their order.
    async fn read(&self, file: &TableFile) -> Result<SendableRecordBatchStream> {
        let rows = self.rows_where(std::slice::from_ref(file), "TRUE").await?;
        let rows = rows.execute_stream().await;
        rows.map_err(|error| self.failed(error))
    }

    /// As [`Self::read`], for a file of this run.
    async fn rows_of(&self, written: &WrittenFile) -> Result<SendableRecordBatchStream> {
        self.read(&TableFile::written(written)?).await
    }

    /// Return the rows of a file of this run, in one batch; none without a file.
    async fn batch_of(&self, written: Option<WrittenFile>) -> Result<RecordBatch> {
        let schema = self.contract.arrow_schema();
        let Some(written) = written else {
            return Ok(RecordBatch::new_empty(schema));
        };
        let rows = self.rows_of(&written).await?.try_collect::<Vec<_>>().await;
        let rows = rows.map_err(|error| self.failed(error))?;
        concat_batches(&schema, &rows).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, error: DataFusionError) -> Error {
        QueryFailure::of(error).into_error(&self.contract)
    }

    async fn reject_duplicate_keys(&self, merged: &[(String, WrittenTable)]) -> Result<()> {
        let files = merged.iter().flat_map(|(_, table)| &table.files);
        let table = WrittenTable {
            files: files.cloned().collect(),
            may_repeat_keys: merged.iter().any(|(_, table)| table.may_repeat_keys),
        };
        register_with_unique_key(&self.selections, &self.contract, &table).await
    }

    /// Return the files with rows. A table without rows has one file, that of null.
    fn without_empty_files(&self, files: Files) -> BTreeMap<String, NextFile> {
        let has_rows = files.values().any(|(rows, _)| *rows > 0);
        let is_base = self.contract.layer == BASE;
        let mut kept = BTreeMap::new();
        for (path, (rows, file)) in files {
            if rows > 0 || is_base {
                kept.insert(path, file);
            } else if !has_rows {
                kept.insert(table_file(&self.contract, None), file);
            }
        }
        kept
    }
}

fn staged(written: WrittenFile) -> (u64, NextFile) {
    (written.rows, NextFile::Staged(written))
}
