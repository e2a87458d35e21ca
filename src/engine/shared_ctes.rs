//! Computes a CTE once that a query reads more than once.
//!
//! DataFusion plans a CTE anew wherever it is read, so that a CTE which reads another one twice, and is itself read three
//! times, is planned and computed six times. Here the rows of such a CTE go into a scratch file, with the columns that
//! are needed, and the query reads the file. A CTE that only selects columns or rows of a table remains in the query, where
//! the reader can skip what is not needed.
//!
//! ```text
//! SQL ─▶ plan ─▶ extract: CTEs that are read twice become tables ─▶ needed columns ─▶ scratch files, in order ─▶ rows
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{ParamValues, Result, TableReference, internal_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableProviderFilterPushDown,
};
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use futures::StreamExt;

use super::parquet_table::{FileSize, ParquetTable, TableFile};
use crate::lake::{ScratchFile, WrittenScratch, file_url};

/// The schema of the tables that stand for CTEs. A query cannot name it.
const SCHEMA: &str = "shared cte";

/// A planned query, and the CTEs to compute before it, each after those that it reads.
pub struct PlannedQuery {
    state: SessionState,
    ctes: Vec<SharedCte>,
    main: LogicalPlan,
}

/// A query that can be executed.
pub struct OptimizedQuery(PlannedQuery);

struct SharedCte {
    plan: LogicalPlan,
    table: Arc<CteTable>,
}

/// The table that stands for a CTE. It has rows once the CTE is computed.
#[derive(Debug)]
struct CteTable {
    schema: SchemaRef,
    computed: OnceLock<(ParquetTable, WrittenScratch)>,
}

impl PlannedQuery {
    /// Find the CTEs that `plan` reads more than once. `plan` is not optimized, and has no values for its parameters:
    /// afterwards, the places that read a CTE no longer point to the same plan.
    pub(super) fn extract(
        state: SessionState,
        plan: LogicalPlan,
        values: &ParamValues,
    ) -> Result<Self> {
        let mut places = HashMap::new();
        count_places(&plan, &mut places)?;
        let mut extraction = Extraction {
            state: &state,
            values,
            places,
            tables: HashMap::new(),
            ctes: Vec::new(),
        };
        // `plan` must outlive this, because addresses distinguish the CTEs.
        let main = extraction.replace(plan.clone())?;
        let main = main.with_param_values(values.clone())?;
        Ok(Self {
            ctes: extraction.ctes,
            main,
            state,
        })
    }

    async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = self.state.query_planner();
        let physical = planner.create_physical_plan(plan, &self.state).await?;
        tracing::trace!(plan = %displayable(physical.as_ref()).indent(false), "planned a query");
        Ok(physical)
    }

    /// Change the plan of the query's rows.
    pub fn map_rows(mut self, change: impl FnOnce(DataFrame) -> Result<DataFrame>) -> Result<Self> {
        let rows = change(DataFrame::new(self.state.clone(), self.main))?;
        self.main = rows.into_unoptimized_plan();
        Ok(self)
    }

    /// Optimize the query, and limit each CTE to the columns that are read.
    pub fn optimize(mut self) -> Result<OptimizedQuery> {
        let main = optimized(&self.state, &self.main)?;
        let mut needed = vec![BTreeSet::new(); self.ctes.len()];
        add_needed(&main, &mut needed)?;
        for n in (0..self.ctes.len()).rev() {
            if let (Some(cte), Some(columns)) = (self.ctes.get_mut(n), needed.get(n)) {
                cte.plan = optimized(&self.state, &select(&cte.plan, columns)?)?;
                add_needed(&cte.plan, &mut needed)?;
            }
        }
        Ok(OptimizedQuery(Self { main, ..self }))
    }
}

impl OptimizedQuery {
    /// Compute the CTEs into files below `scratch`, and start the query.
    pub async fn execute(&self, scratch: &Path) -> Result<SendableRecordBatchStream> {
        let Self(query) = self;
        for cte in &query.ctes {
            let physical = query.physical(&cte.plan).await?;
            cte.table.compute(&query.state, physical, scratch).await?;
        }
        let physical = query.physical(&query.main).await?;
        execute_stream(physical, query.state.task_ctx())
    }
}

/// Optimize a plan so that a reader decodes only those fields of a struct that the query reads.
///
/// DataFusion 55.2 loses the qualifier of a field that it moves below a join. Where a query then has two columns of the
/// name, or none, it cannot be optimized so, and structs are decoded whole.
fn optimized(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let mut moving = state.clone();
    let options = moving.config_mut().options_mut();
    options.optimizer.enable_leaf_expression_pushdown = true;
    match moving.optimize(plan) {
        Ok(plan) => Ok(plan),
        Err(error) => {
            tracing::debug!("structs are decoded whole: {error}");
            state.optimize(plan)
        }
    }
}

/// Count the places that read each CTE or derived table, by the address of its plan. What a CTE itself reads is counted
/// once, unless it remains in the query.
fn count_places(plan: &LogicalPlan, places: &mut HashMap<usize, usize>) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::SubqueryAlias(alias) = node else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let count = places.entry(address(alias)).or_default();
        *count += 1;
        match *count > 1 && is_worth_sharing(&alias.input)? {
            true => Ok(TreeNodeRecursion::Jump),
            false => Ok(TreeNodeRecursion::Continue),
        }
    })?;
    Ok(())
}

fn address(alias: &SubqueryAlias) -> usize {
    Arc::as_ptr(&alias.input) as usize
}

/// Return whether a plan does more than to select columns and rows of a table, and has columns that a file can store.
fn is_worth_sharing(plan: &LogicalPlan) -> Result<bool> {
    let mut does_more = false;
    plan.apply_with_subqueries(|node| {
        does_more |= !matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
        );
        Ok(match does_more {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    let fields = plan.schema().fields();
    let names: BTreeSet<_> = fields.iter().map(|field| field.name()).collect();
    let is_storable =
        |data_type: &DataType| !matches!(data_type, DataType::Interval(_) | DataType::Duration(_));
    Ok(does_more
        && names.len() == fields.len()
        && fields.iter().all(|field| is_storable(field.data_type())))
}

struct Extraction<'a> {
    state: &'a SessionState,
    values: &'a ParamValues,
    places: HashMap<usize, usize>,
    /// The table of each CTE, by the address of its plan.
    tables: HashMap<usize, LogicalPlan>,
    ctes: Vec<SharedCte>,
}

impl Extraction<'_> {
    /// Replace every CTE that is worth sharing by a scan of its table.
    fn replace(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let replaced = plan.transform_down_with_subqueries(|node| {
            let LogicalPlan::SubqueryAlias(alias) = &node else {
                return Ok(Transformed::no(node));
            };
            let places = self
                .places
                .get(&address(alias))
                .copied()
                .unwrap_or_default();
            if places < 2 || !is_worth_sharing(&alias.input)? {
                return Ok(Transformed::no(node));
            }
            let scan = self.table(alias)?;
            let scan = SubqueryAlias::try_new(Arc::new(scan), alias.alias.clone())?;
            let scan = LogicalPlan::SubqueryAlias(scan);
            Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
        })?;
        Ok(replaced.data)
    }

    /// Return a scan of the table that stands for a CTE.
    fn table(&mut self, cte: &SubqueryAlias) -> Result<LogicalPlan> {
        if let Some(scan) = self.tables.get(&address(cte)) {
            return Ok(scan.clone());
        }
        let plan = self.replace(cte.input.as_ref().clone())?;
        let plan = plan.with_param_values(self.values.clone())?;
        // Types are final after the analysis only.
        let plan = self.state.analyzer().execute_and_check(
            plan,
            self.state.config_options(),
            |_, _| {},
        )?;
        let table = Arc::new(CteTable {
            schema: Arc::new(plan.schema().as_arrow().clone()),
            computed: OnceLock::new(),
        });
        let name = TableReference::partial(SCHEMA, self.ctes.len().to_string());
        let source = provider_as_source(Arc::clone(&table) as Arc<dyn TableProvider>);
        let scan = LogicalPlanBuilder::scan(name, source, None)?.build()?;
        self.ctes.push(SharedCte { plan, table });
        self.tables.insert(address(cte), scan.clone());
        Ok(scan)
    }
}

/// Add the columns of CTEs that an optimized plan reads.
fn add_needed(plan: &LogicalPlan, needed: &mut [BTreeSet<usize>]) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.schema() == Some(SCHEMA)
            && let Ok(n) = scan.table_name.table().parse::<usize>()
            && let Some(needed) = needed.get_mut(n)
        {
            match &scan.projection {
                Some(columns) => needed.extend(columns),
                None => needed.extend(0..scan.source.schema().fields().len()),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Select the columns at these positions, and at least one.
fn select(plan: &LogicalPlan, columns: &BTreeSet<usize>) -> Result<LogicalPlan> {
    let first = BTreeSet::from([0]);
    let columns = match columns.is_empty() {
        true => &first,
        false => columns,
    };
    let columns = columns.iter().map(|position| {
        let (qualifier, field) = plan.schema().qualified_field(*position);
        Expr::from((qualifier, field))
    });
    LogicalPlanBuilder::from(plan.clone())
        .project(columns.collect::<Vec<_>>())?
        .build()
}

impl CteTable {
    /// Write the rows of `plan` into a scratch file.
    async fn compute(
        &self,
        state: &SessionState,
        plan: Arc<dyn ExecutionPlan>,
        folder: &Path,
    ) -> Result<()> {
        let external = |error: crate::error::Error| DataFusionError::External(Box::new(error));
        let mut file = ScratchFile::create(folder, plan.schema()).map_err(external)?;
        let mut rows = execute_stream(plan, state.task_ctx())?;
        while let Some(batch) = rows.next().await {
            file.write(&batch?).map_err(external)?;
        }
        let written = file.finish().map_err(external)?;
        let file = TableFile {
            url: file_url(&written.path).map_err(external)?,
            size: Some(FileSize {
                bytes: written.bytes,
                rows: written.rows,
            }),
        };
        let table = ParquetTable::new(Arc::clone(&self.schema), &[file], 0)?;
        match self.computed.set((table, written)) {
            Ok(()) => Ok(()),
            Err(_) => internal_err!("a common table expression was computed twice"),
        }
    }
}

#[async_trait::async_trait]
impl TableProvider for CteTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
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
        match self.computed.get() {
            Some((table, _)) => table.scan(state, projection, filters, limit).await,
            None => internal_err!("a common table expression is read before it is computed"),
        }
    }
}
