//! The query engine: DataFusion with the layers of the lake as SQL schemas. The steps of a transform and `bitlake
//! query` use it.
//!
//! It fixes two properties of every query. Results do not depend on the machine: the number of partitions is fixed, and
//! strings are plain arrays instead of views. Memory has a limit, and sorts spill to disk.

mod browse;
mod dialect;
mod empty_tables;
mod functions;
mod local_only;
mod merge;
mod moment;
mod one_direction;
mod params;
mod parquet_table;
mod references;
mod row_edits;
mod row_numbers;
mod scratch_table;
mod select;
mod shared_ctes;
mod times;
mod unknown_names;
mod variants;

pub use browse::Browse;
pub use dialect::{ColumnsOf, Dialect, StepTranslation, inline_params, translate, translate_step};
pub(crate) use dialect::{DUCKDB, model_type};
pub use local_only::LocalOnly;
pub use moment::{MOMENT_FORMS, Moment};
pub use params::{
    Param, add_placeholders, bind_params, declared_params, resolve_moments, text_literal,
    unknown_value_error,
};
pub use parquet_table::TableFile;
pub use references::{TableName, references};
pub use row_edits::RowEdits;
pub use shared_ctes::{OptimizedQuery, PlannedQuery};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{MemoryCatalogProviderList, MemorySchemaProvider, TableProvider};
use datafusion::common::{Column, ParamValues, SchemaError, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use tokio::sync::OnceCell;
use url::Url;

use crate::clock;
use crate::cluster::{Cluster, UseOfWorkers};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::engine_location;
use crate::schema::{Contract, LAYERS};
use empty_tables::without_empty_tables;
use parquet_table::ParquetTable;
use row_numbers::RowNumbers;
use scratch_table::SelectedRows;
use unknown_names::{plan_error, unknown_table};

/// Fixed, because the order of equal rows depends on it and must not follow the number of cores.
const PARTITIONS: usize = 2;
/// The share of the memory limit that DataFusion accounts for. Windows and buffers are not accounted for.
const POOL_SHARE: f64 = 0.6;
const DEFAULT_MEMORY: u64 = 2 << 30;
/// Rows in a batch of wide rows. A sort must be able to hold a few batches.
const WIDE_ROWS: usize = 256;
/// The catalog of the layers, which queries never name. Messages of DataFusion may show it.
const CATALOG: &str = "lake";

/// A DataFusion session over tables of the lake.
pub struct Engine {
    context: SessionContext,
    /// Bytes.
    memory_limit: u64,
    /// Numbers the tables that are registered, shared by the sessions over the same tables.
    generations: Arc<AtomicI64>,
    /// The workers that steps can run on.
    cluster: Option<Arc<Cluster>>,
}

impl Engine {
    /// Create a session without tables. `memory_limit` is in bytes, 2 GiB by default.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when DataFusion cannot be set up.
    pub fn new(memory_limit: Option<u64>) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_target_partitions(PARTITIONS)
            .with_default_catalog_and_schema(CATALOG, "public");
        let options = config.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        // DataFusion 55.2 loses the qualifier of a struct field that it pushes below a join. The query then fails with
        // "No field named …" or "would be ambiguous".
        options.optimizer.enable_leaf_expression_pushdown = false;
        let memory_limit = memory_limit.unwrap_or(DEFAULT_MEMORY);
        let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(limit, POOL_SHARE)
            .build_arc()
            .or_error(ErrorKind::Internal, "cannot start the query engine")?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(RowNumbers))
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_udf(functions::regexp_extract_all());
        context.register_udf(functions::content_key());
        context.register_udf(times::to_timestamp(&context)?);
        let engine = Self {
            context,
            memory_limit,
            // Starts at the time, because a worker reads files of several runs.
            generations: Arc::new(AtomicI64::new(clock::now().timestamp_micros() * 1000)),
            cluster: None,
        };
        for layer in LAYERS {
            engine.add_layer(layer)?;
        }
        Ok(engine)
    }

    /// Return the memory limit of the process, in bytes.
    pub fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// Create `layer` as a SQL schema, if it does not exist.
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

    /// Register Parquet files as the table of a contract. Without files the table is empty.
    pub fn register(&self, contract: &Contract, files: &[TableFile]) -> Result<()> {
        let Contract { layer, table, .. } = contract;
        let key = only_key(contract);
        self.register_files(layer, table, contract.arrow_schema(), key, files)
    }

    /// Register those rows of a contract's table that a condition selects. They are written into a scratch file below
    /// `folder` when they are first read.
    ///
    /// # Errors
    /// As [`Engine::plan`] for the condition, which is SQL.
    pub async fn register_where(
        &self,
        contract: &Contract,
        files: &[TableFile],
        condition: &str,
        folder: &Path,
    ) -> Result<()> {
        let Contract { layer, table, .. } = contract;
        self.register(contract, files)?;
        if files.iter().all(|file| file.rows == Some(0)) {
            return Ok(());
        }
        let sql = format!("SELECT * FROM \"{layer}\".\"{table}\" WHERE {condition}");
        let rows = self.for_selections().plan(&sql, &[]).await?;
        let selected = SelectedRows {
            schema: contract.arrow_schema(),
            key: only_key(contract).map(str::to_owned),
            rows,
            folder: folder.to_owned(),
            found: OnceCell::new(),
        };
        self.put(layer, table, Arc::new(selected))
    }

    /// Register Parquet files of a known schema as `layer.table`. Without files the table is empty.
    pub fn register_parquet(
        &self,
        layer: &str,
        table: &str,
        schema: SchemaRef,
        files: &[TableFile],
    ) -> Result<()> {
        self.register_files(layer, table, schema, None, files)
    }

    /// `key`: the column that is the key alone.
    fn register_files(
        &self,
        layer: &str,
        table: &str,
        schema: SchemaRef,
        key: Option<&str>,
        files: &[TableFile],
    ) -> Result<()> {
        if files.is_empty() {
            return self.put(layer, table, Arc::new(EmptyTable::new(schema)));
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let provider = ParquetTable::new(schema, key, files, generation);
        let provider = provider.map_err(|error: DataFusionError| {
            Error::new(ErrorKind::Lake, "cannot register a table")
                .with("table", format!("{layer}.{table}"))
                .source(error)
        })?;
        self.put(layer, table, Arc::new(provider))
    }

    /// Return the columns of a registered table; none if the table is not registered.
    pub async fn columns(&self, layer: &str, table: &str) -> Vec<String> {
        let name = TableReference::partial(layer, table);
        let table = self.context.table_provider(name).await;
        let schema = table.map(|table| table.schema());
        let fields = schema.iter().flat_map(|schema| schema.fields());
        fields.map(|field| field.name().clone()).collect()
    }

    /// Let queries read the objects below `url` from `store`.
    pub fn add_store(&self, url: &Url, store: Arc<dyn ObjectStore>) {
        self.context.register_object_store(url, store);
    }

    /// List the files at a path or URL, which may contain globs, ordered by name. Also return the store that holds
    /// them.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is no file, or the store cannot be read.
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
            return Err(unreadable(location).source("no file matches it"));
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok((store, files))
    }

    /// Register outside Parquet files as `layer.table`, with the schema that DataFusion infers from them.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there are no files, or they are not Parquet.
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

    /// Register a table, replacing a table of the same name.
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

    /// Return the tables that `sql` reads, see [`references`].
    ///
    /// # Errors
    /// As [`references`].
    pub fn references(&self, sql: &str) -> Result<Vec<TableName>> {
        references(&self.context.state(), sql)
    }

    /// Plan `sql` with typed parameters.
    ///
    /// # Errors
    /// As [`references`] if the text is not one SELECT; [`ErrorKind::Usage`] if a table or column does not exist, with the
    /// most similar names, and with DataFusion's message if it cannot be planned for another reason.
    pub async fn plan(&self, sql: &str, params: &[Param]) -> Result<DataFrame> {
        let statement = self.parse(sql)?;
        if let Some(error) = unknown_table(&self.context.state(), &self.references(sql)?) {
            return Err(error);
        }
        let plan = self.plan_statement(statement).await.map_err(plan_error)?;
        if params.is_empty() {
            return Ok(plan);
        }
        plan.with_param_values(param_values(params))
            .map_err(plan_error)
    }

    /// Plan `sql` with several sets of parameters. The rows are those of all sets, in the order of the query; a parameter
    /// `n` limits them.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn plan_variants(&self, sql: &str, variants: &[Vec<Param>]) -> Result<DataFrame> {
        if let [params] = variants {
            return self.plan(sql, params).await;
        }
        let mut plans = Vec::new();
        for params in variants {
            plans.push(self.plan(sql, params).await?.into_parts().1);
        }
        let plan = variants::union(plans).map_err(plan_error)?;
        let plan =
            plan.ok_or_else(|| Error::new(ErrorKind::Internal, "a query has no parameters"))?;
        let frame = DataFrame::new(self.context.state(), plan);
        let limit = variants.iter().flatten().find(|param| param.name == "n");
        match limit.map(|param| &param.value) {
            Some(ScalarValue::Int64(Some(n))) => {
                let n = usize::try_from(*n).unwrap_or(0);
                frame.limit(0, Some(n)).map_err(plan_error)
            }
            _ => Ok(frame),
        }
    }

    /// Return the placeholders of `sql` with their types, where the query decides them.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn placeholders(&self, sql: &str) -> Result<BTreeMap<String, Option<DataType>>> {
        let plan = self.plan(sql, &[]).await?;
        let types = plan.logical_plan().get_parameter_types();
        let types = types.map_err(plan_error)?.into_iter();
        Ok(types
            .map(|(name, data_type)| (name.trim_start_matches('$').to_owned(), data_type))
            .collect())
    }

    /// Plan `sql` as [`Engine::plan`] does, so that a CTE which it reads more than once is computed once.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn plan_shared(&self, sql: &str, params: &[Param]) -> Result<PlannedQuery> {
        let frame = self.plan(sql, &[]).await?;
        let (state, plan) = frame.into_parts();
        let plan = plan.with_param_values(param_values(params));
        let plan = plan.and_then(|plan| match self.cluster {
            // The remaining plan may have a window whose partition is constant, which DataFusion 55.2 cannot run on workers.
            Some(_) => Ok(plan),
            None => without_empty_tables(plan),
        });
        let planned = plan.and_then(|plan| PlannedQuery::extract(state, plan));
        planned.map_err(plan_error)
    }

    /// Parse `sql`, with timestamps in microseconds.
    ///
    /// # Errors
    /// As [`references`].
    pub fn parse(&self, sql: &str) -> Result<Statement> {
        let mut statement = select::parse(&self.context.state(), sql)?;
        times::in_microseconds(&mut statement);
        Ok(statement)
    }

    /// Plan to read a table that is not registered.
    ///
    /// # Errors
    /// DataFusion's own error.
    pub fn read(&self, table: Arc<dyn TableProvider>) -> Result<DataFrame, DataFusionError> {
        self.context.read_table(table)
    }

    /// Plan a parsed statement.
    ///
    /// # Errors
    /// DataFusion's own error, see [`missing_column`].
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

    /// Run a query of one text column and return its values without nulls.
    ///
    /// # Errors
    /// As [`Engine::plan`]; [`ErrorKind::Lake`] when the tables cannot be read.
    pub async fn query_texts(&self, sql: &str) -> Result<Vec<String>> {
        let batches = self.plan(sql, &[]).await?.collect().await;
        let batches = batches.or_error(ErrorKind::Lake, "cannot read a column")?;
        let cells = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>());
        Ok(cells.flatten().map(str::to_owned).collect())
    }

    /// Return a session over the same tables whose plans need less memory, for a step that ran out of memory.
    pub fn with_less_memory(&self) -> Self {
        self.derive(|config| {
            config.options_mut().optimizer.prefer_hash_join = false;
        })
    }

    /// Return a session over the same tables that reads each file in order, a few rows at a time, for rows with
    /// payloads.
    pub fn for_payloads(&self) -> Self {
        self.derive(|_| {})
    }

    /// Return a session over the same tables that reads each file in order, and of rows that a condition does not select
    /// only the columns of the condition.
    pub fn for_selections(&self) -> Self {
        let batch_size = self.context.copied_config().options().execution.batch_size;
        self.derive(|config| {
            let options = config.options_mut();
            options.execution.parquet.pushdown_filters = true;
            options.execution.batch_size = batch_size;
        })
    }

    /// As [`Engine::for_selections`], for queries whose rows have no order: several files are read at the same time.
    pub fn for_lookups(&self) -> Self {
        let execution = self.context.copied_config().options().execution.clone();
        self.derive(|config| {
            let options = config.options_mut();
            options.execution = execution;
            options.execution.parquet.pushdown_filters = true;
        })
    }

    /// Return a session with the same settings and memory, and no tables.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when DataFusion cannot be set up.
    pub fn without_tables(&self) -> Result<Self> {
        let state = SessionStateBuilder::new_from_existing(self.context.state())
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_config(self.context.copied_config())
            .build();
        let engine = Self {
            context: SessionContext::new_with_state(state),
            memory_limit: self.memory_limit,
            generations: Arc::clone(&self.generations),
            cluster: self.cluster.clone(),
        };
        for layer in LAYERS {
            engine.add_layer(layer)?;
        }
        Ok(engine)
    }

    /// Let steps run on workers.
    #[must_use]
    pub fn with_cluster(self, cluster: Arc<Cluster>) -> Self {
        Self {
            cluster: Some(cluster),
            ..self
        }
    }

    /// Return the workers that steps can run on.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Return a session over the same tables whose queries run on the workers of `cluster`. `joins_in_memory`: whether a
    /// join may hold one side in memory; `used`: notes whether a query needs workers.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when DataFusion cannot be set up.
    pub fn on_workers(
        &self,
        cluster: &Cluster,
        joins_in_memory: bool,
        used: &UseOfWorkers,
    ) -> Result<Self> {
        let mut config = self.context.copied_config();
        config.options_mut().optimizer.prefer_hash_join = joins_in_memory;
        let config = config
            .with_extension(Arc::clone(cluster.files()))
            .with_create_default_catalog_and_schema(false);
        let state = self.context.state();
        let functions = one_direction::in_one_direction(state.window_functions().values());
        // A plan that this rule has changed cannot be encoded for a worker.
        let rules = state.physical_optimizers().iter();
        let rules = rules.filter(|rule| rule.name() != RowNumbers::NAME);
        let rules = rules.cloned().collect();
        let builder = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_window_functions(functions)
            .with_physical_optimizer_rules(rules);
        let state = cluster.session(builder, used);
        let state = state.or_error(ErrorKind::Internal, "cannot plan for workers")?;
        Ok(self.with_state(state))
    }

    /// Return the state whose functions, settings, stores and memory a worker uses.
    pub fn worker_session(&self) -> SessionState {
        self.context.state()
    }

    fn derive(&self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        let mut config = self
            .context
            .copied_config()
            .with_target_partitions(1)
            .with_batch_size(WIDE_ROWS);
        change(&mut config);
        // Otherwise the builder replaces the shared catalog by an empty one, for both sessions.
        let config = config.with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new_from_existing(self.context.state())
            .with_config(config)
            .build();
        self.with_state(state)
    }

    /// Return a session with this state over the same tables.
    fn with_state(&self, state: SessionState) -> Self {
        Self {
            context: SessionContext::new_with_state(state),
            memory_limit: self.memory_limit,
            generations: Arc::clone(&self.generations),
            cluster: self.cluster.clone(),
        }
    }
}

/// Return the column that is the key alone.
fn only_key(contract: &Contract) -> Option<&str> {
    match contract.primary_key.as_slice() {
        [column] => Some(column),
        _ => None,
    }
}

/// Return the values of the placeholders.
fn param_values(params: &[Param]) -> ParamValues {
    let values = params.iter();
    let values = values.map(|param| (param.name.as_str(), param.value.clone()));
    values.collect::<Vec<_>>().into()
}

fn unreadable(location: &str) -> Error {
    Error::new(ErrorKind::Configuration, "cannot read an outside table")
        .with("location", location)
        .hint("correct `location` and `format` of the [[table]]")
}

/// Return the column that a query names and no table has, if this is why it cannot be planned.
pub fn missing_column(error: &DataFusionError) -> Option<&Column> {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, .. } => Some(field),
            _ => None,
        },
        _ => None,
    }
}

/// Parse a path or URL, which may contain globs. DataFusion itself accepts globs in paths only.
fn listing(location: &str) -> Result<ListingTableUrl, DataFusionError> {
    let location = &*engine_location(location);
    let wild = location.find(['*', '?', '[']);
    let (Some(wild), true) = (wild, location.contains("://")) else {
        return ListingTableUrl::parse(location);
    };
    let external = |error: String| DataFusionError::External(error.into());
    let fixed = &location[..wild];
    let folder = fixed.rfind('/').map_or(wild, |slash| slash + 1);
    let (folder, pattern) = location.split_at(folder);
    let glob = glob::Pattern::new(pattern).map_err(|e| external(e.to_string()))?;
    let url = Url::parse(folder).map_err(|e| external(e.to_string()))?;
    ListingTableUrl::try_new(url, Some(glob))
}

/// Return whether a query ran out of memory.
pub fn is_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// Return whether a query failed because a file is damaged or cannot be read.
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
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    async fn refusal(sql: &str) -> String {
        let engine = Engine::new(None).unwrap();
        let fields = ["id", "full_name", "created_date", "updated_date"];
        let fields: Vec<_> = fields
            .map(|name| Field::new(name, DataType::Utf8, true))
            .into();
        let schema = Arc::new(Schema::new(fields));
        engine
            .register_parquet("domain", "repos", schema, &[])
            .unwrap();
        let planned = engine.plan(sql, &[]).await.map(|_| ());
        planned.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn unknown_names_get_suggestions_and_no_message_names_the_catalog() {
        for (sql, expected) in [
            (
                "SELECT id FROM domain.repo",
                "there is no such table (table=domain.repo): did you mean `domain.repos`?",
            ),
            (
                "SELECT id FROM public.nothing_like_it",
                "there is no such table (table=public.nothing_like_it): SHOW TABLES lists them, as does `bitlake tables`",
            ),
            (
                "SELECT id FROM repos",
                "not a table of the form `layer.table` (name=repos): did you mean `domain.repos`?",
            ),
            (
                "SELECT id, full_name AS id FROM domain.repos",
                "two columns of the result have the same name (column=id): name one of them with `AS`",
            ),
            (
                "SELECT id FROM domain.repos AS a CROSS JOIN domain.repos AS b",
                "several tables have this column (column=id): write the table or its alias before it, as in `r.id`",
            ),
            (
                "SELECT r.name FROM domain.repos AS r",
                "there is no such column (column=r.name): did you mean `full_name`?",
            ),
            (
                "SELECT created FROM domain.repos",
                "there is no such column (column=created): did you mean `created_date`?",
            ),
            (
                "SELECT zzz FROM domain.repos",
                "there is no such column (column=zzz): the columns here are created_date, full_name, id, updated_date",
            ),
        ] {
            assert_eq!(refusal(sql).await, expected, "{sql}");
        }
        for sql in [
            "SELECT id FROM lake.domain.nothing",
            "SELECT id FROM domain.repos AS a INNER JOIN domain.repos AS b ON a.id = b.id",
            "SELECT nothing(id) FROM domain.repos",
            "SELECT * FROM nothing(1)",
            "SELECT id + FROM domain.repos",
            "SELECT id FROM domain.repos WHERE id IN (SELECT x FROM domain.repos)",
        ] {
            let refusal = refusal(sql).await;
            let shown = refusal.contains("datafusion") || refusal.contains("public");
            assert!(!shown && refusal.len() < 300, "{refusal}");
        }
    }

    /// A derived session once replaced the shared tables by an empty catalog.
    #[tokio::test]
    async fn derived_sessions_share_the_tables() {
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
