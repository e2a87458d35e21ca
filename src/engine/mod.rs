//! The query engine: DataFusion with the lake's layers as SQL schemas, used by every step and by `bitlake query`.
//!
//! Two things are settled here so that they are settled everywhere: results do not depend on the machine (a fixed
//! number of partitions, plain strings instead of views), and memory has a bound with the disk behind it.

mod dialect;
mod functions;
mod params;
mod references;
mod select;
mod times;

pub use dialect::{Dialect, inline_params, translate};
pub use params::{Param, bind_params, declared_params, unknown_value_error};
pub use references::{TableName, references};

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::{Column, SchemaError, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::{Contract, LAYERS};

/// Not the number of cores: ties between plans must not follow the machine.
const PARTITIONS: usize = 2;
/// The part of the process's memory that DataFusion accounts for; windows and buffers come on top.
const POOL_SHARE: f64 = 0.6;
const DEFAULT_MEMORY: u64 = 2 << 30;
/// Rows in a batch of wide rows: a sort must be able to hold a few batches.
const WIDE_ROWS: usize = 256;
const CATALOG: &str = "datafusion";

/// A session over tables of the lake.
pub struct Engine {
    context: SessionContext,
    /// Bytes.
    memory_limit: u64,
}

impl Engine {
    /// `memory_limit`: bytes that the process may use; 2 GiB if not given.
    pub fn new(memory_limit: Option<u64>) -> Result<Self> {
        let mut config = SessionConfig::new().with_target_partitions(PARTITIONS);
        let options = config.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        // DataFusion 55.2 loses the qualifier of a field taken out of a struct below a join, and the query fails with
        // "No field named …" or "would be ambiguous".
        options.optimizer.enable_leaf_expression_pushdown = false;
        let memory_limit = memory_limit.unwrap_or(DEFAULT_MEMORY);
        let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(limit, POOL_SHARE)
            .build_arc()
            .or_error(ErrorKind::Internal, "cannot start the query engine")?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_udf(functions::regexp_extract_all());
        context.register_udf(functions::content_key());
        context.register_udf(times::to_timestamp(&context)?);
        let engine = Self {
            context,
            memory_limit,
        };
        for layer in LAYERS {
            engine.add_layer(layer)?;
        }
        Ok(engine)
    }

    /// Bytes that the process may use.
    pub fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// Makes `layer` a SQL schema.
    pub fn add_layer(&self, layer: &str) -> Result<()> {
        let failed = || Error::new(ErrorKind::Internal, "cannot add a layer").with("layer", layer);
        let catalog = self.context.catalog(CATALOG).ok_or_else(failed)?;
        if catalog.schema(layer).is_none() {
            catalog
                .register_schema(layer, Arc::new(MemorySchemaProvider::new()))
                .map_err(|error| failed().source(error))?;
        }
        Ok(())
    }

    /// Registers Parquet files as the table of a contract; no file makes an empty table.
    pub fn register(&self, contract: &Contract, files: &[Url]) -> Result<()> {
        self.register_parquet(
            &contract.layer,
            &contract.table,
            contract.arrow_schema(),
            files,
        )
    }

    /// Registers Parquet files of a known schema as `layer.table`.
    pub fn register_parquet(
        &self,
        layer: &str,
        table: &str,
        schema: SchemaRef,
        files: &[Url],
    ) -> Result<()> {
        if files.is_empty() {
            return self.put(layer, table, Arc::new(EmptyTable::new(schema)));
        }
        let failed = |error: DataFusionError| {
            Error::new(ErrorKind::Lake, "cannot register a table")
                .with("table", format!("{layer}.{table}"))
                .source(error)
        };
        let urls = files
            .iter()
            .map(|file| ListingTableUrl::try_new(file.clone(), None))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let format = Arc::new(ParquetFormat::default());
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(ListingOptions::new(format).with_file_extension(""))
            .with_schema(schema);
        self.put(
            layer,
            table,
            Arc::new(ListingTable::try_new(config).map_err(failed)?),
        )
    }

    /// The columns of a registered table; none for a table that is not there.
    pub async fn columns(&self, layer: &str, table: &str) -> Vec<String> {
        let name = TableReference::partial(layer, table);
        let table = self.context.table_provider(name).await;
        let schema = table.map(|table| table.schema());
        let fields = schema.iter().flat_map(|schema| schema.fields());
        fields.map(|field| field.name().clone()).collect()
    }

    /// Makes the objects below `url` readable.
    pub fn add_store(&self, url: &Url, store: Arc<dyn ObjectStore>) {
        self.context.register_object_store(url, store);
    }

    /// The files at a path or address, which may hold globs, by name, with the store that they lie in.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is none, or the store cannot be read.
    pub async fn outside_files(
        &self,
        location: &str,
    ) -> Result<(Arc<dyn ObjectStore>, Vec<ObjectMeta>)> {
        let failed = |error: DataFusionError| unreadable(location).source(error);
        let url = listing(location).map_err(failed)?;
        let state = self.context.state();
        let store = state.runtime_env().object_store(&url).map_err(failed)?;
        let listed = url.list_all_files(&state, store.as_ref(), "").await;
        let files = listed.map_err(failed)?.try_collect::<Vec<_>>().await;
        let mut files = files.map_err(failed)?;
        if files.is_empty() {
            return Err(unreadable(location).source("there is no such file"));
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok((store, files))
    }

    /// Registers outside Parquet files, whose schema is read from them, as `layer.table`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there are none, or they are not of the format.
    pub async fn register_outside(&self, layer: &str, table: &str, location: &str) -> Result<()> {
        let failed = |error: DataFusionError| unreadable(location).source(error);
        let url = listing(location).map_err(failed)?;
        let format = Arc::new(ParquetFormat::default());
        let options = ListingOptions::new(format).with_file_extension("");
        let state = self.context.state();
        let schema = options.infer_schema(&state, &url).await.map_err(failed)?;
        let config = ListingTableConfig::new(url)
            .with_listing_options(options)
            .with_schema(schema);
        self.put(
            layer,
            table,
            Arc::new(ListingTable::try_new(config).map_err(failed)?),
        )
    }

    /// Puts a table in the place of the one that had the name.
    fn put(&self, layer: &str, table: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        let failed = |error: DataFusionError| {
            Error::new(ErrorKind::Internal, "cannot register a table")
                .with("table", format!("{layer}.{table}"))
                .source(error)
        };
        self.add_layer(layer)?;
        let name = TableReference::partial(layer, table);
        self.context
            .deregister_table(name.clone())
            .map_err(failed)?;
        self.context
            .register_table(name, provider)
            .map_err(failed)?;
        Ok(())
    }

    /// The tables that `sql` reads. See [`references`].
    pub fn references(&self, sql: &str) -> Result<Vec<TableName>> {
        references(&self.context.state(), sql)
    }

    /// Plans `sql` with typed parameters.
    ///
    /// # Errors
    /// As [`references`] for a text that is not one SELECT that reads; [`ErrorKind::Usage`] with DataFusion's own
    /// words: the text is wrong.
    pub async fn plan(&self, sql: &str, params: &[Param]) -> Result<DataFrame> {
        let failed = |error: DataFusionError| {
            Error::new(ErrorKind::Usage, "cannot plan the query").source(error)
        };
        let statement = self.parse(sql)?;
        let plan = self.plan_statement(statement).await.map_err(failed)?;
        if params.is_empty() {
            return Ok(plan);
        }
        let values: Vec<_> = params
            .iter()
            .map(|param| (param.name.as_str(), param.value.clone()))
            .collect();
        plan.with_param_values(values).map_err(failed)
    }

    /// Parses `sql`, whose times count microseconds.
    ///
    /// # Errors
    /// As [`references`].
    pub fn parse(&self, sql: &str) -> Result<Statement> {
        let mut statement = select::parse(&self.context.state(), sql)?;
        times::in_microseconds(&mut statement);
        Ok(statement)
    }

    /// Plans a statement that [`Engine::parse`] gave, and leaves the error as DataFusion has it.
    pub async fn plan_statement(&self, statement: Statement) -> Result<DataFrame, DataFusionError> {
        let state = self.context.state();
        let plan = state.statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        Ok(DataFrame::new(state, plan))
    }

    /// The one text column of a query, nulls left out.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let batches = self.plan(sql, &[]).await?.collect().await;
        let batches = batches.or_error(ErrorKind::Lake, "cannot read a column")?;
        let cells = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>());
        Ok(cells.flatten().map(str::to_owned).collect())
    }

    /// The same tables with a plan that needs less memory at once: for a step that ran out of it.
    pub fn with_less_memory(&self) -> Self {
        self.with(|config| {
            config.options_mut().optimizer.prefer_hash_join = false;
        })
    }

    /// The same tables for rows that hold payloads: a file is read from its first row to its last, a few rows at once.
    pub fn for_payloads(&self) -> Self {
        self.with(|_| {})
    }

    fn with(&self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        let mut config = self
            .context
            .copied_config()
            .with_target_partitions(1)
            .with_batch_size(WIDE_ROWS);
        change(&mut config);
        // Otherwise a new catalog without tables takes the place of the shared one, for both.
        let config = config.with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new_from_existing(self.context.state())
            .with_config(config)
            .build();
        Self {
            context: SessionContext::new_with_state(state),
            memory_limit: self.memory_limit,
        }
    }
}

fn unreadable(location: &str) -> Error {
    Error::new(ErrorKind::Configuration, "cannot read an outside table")
        .with("location", location)
        .hint("correct `location` and `format` of the [[table]]")
}

/// The column that a query names and no table has, where that is why it cannot be planned.
pub fn missing_column(error: &DataFusionError) -> Option<&Column> {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, .. } => Some(field),
            _ => None,
        },
        _ => None,
    }
}

/// A path or address, which may hold globs: DataFusion reads them in paths only.
fn listing(location: &str) -> Result<ListingTableUrl, DataFusionError> {
    let wild = location.find(['*', '?', '[']);
    let (Some(wild), true) = (wild, location.contains("://")) else {
        return ListingTableUrl::parse(location);
    };
    let external = |error: String| DataFusionError::External(error.into());
    let folder = location[..wild].rfind('/').map_or(wild, |slash| slash + 1);
    let glob = glob::Pattern::new(&location[folder..]).map_err(|e| external(e.to_string()))?;
    let url = Url::parse(&location[..folder]).map_err(|e| external(e.to_string()))?;
    ListingTableUrl::try_new(url, Some(glob))
}

/// Whether the query failed for want of memory.
pub fn is_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// Whether the query failed over a file that is damaged or cannot be reached.
pub fn is_unreadable(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(error, _) => {
            matches!(
                **error,
                ArrowError::ParquetError(_) | ArrowError::IoError(..)
            )
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    /// The plan for a step that ran out of memory once replaced the tables by none, for itself and for every later step.
    #[tokio::test]
    async fn other_plans_see_the_same_tables() {
        let engine = Engine::new(None).unwrap();
        let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true)]);
        let registered = engine.register_parquet("domain", "things", Arc::new(schema), &[]);
        registered.unwrap();
        for other in [engine.with_less_memory(), engine.for_payloads()] {
            assert_eq!(other.columns("domain", "things").await, ["id"]);
        }
        assert_eq!(engine.columns("domain", "things").await, ["id"]);
    }
}
