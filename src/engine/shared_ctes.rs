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
use datafusion::common::{Result, TableReference, internal_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableProviderFilterPushDown,
};
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};

use super::local_only::{self, LocalOnly};
use super::scratch_table::ScratchTable;

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
    computed: OnceLock<ScratchTable>,
}

impl PlannedQuery {
    /// Find the CTEs that `plan`, which is not optimized, reads more than once.
    pub(super) fn extract(state: SessionState, plan: LogicalPlan) -> Result<Self> {
        let mut extraction = Extraction {
            state: &state,
            places: count_places(&plan)?,
            tables: HashMap::new(),
            ctes: Vec::new(),
        };
        let main = extraction.replace(plan)?;
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

    /// Return why the query cannot run on workers, if it cannot.
    pub fn local_only(&self) -> Result<Option<LocalOnly>> {
        let ctes = self.ctes.iter().map(|cte| &cte.plan);
        for plan in ctes.chain([&self.main]) {
            if let Some(found) = local_only::find(plan)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Change the plan of the query's rows.
    pub fn map_rows(mut self, change: impl FnOnce(DataFrame) -> Result<DataFrame>) -> Result<Self> {
        let rows = change(DataFrame::new(self.state.clone(), self.main))?;
        self.main = rows.into_unoptimized_plan();
        Ok(self)
    }

    /// Optimize the query, limit each CTE to the columns that are read, and drop a CTE that is not read any more.
    pub fn optimize(mut self) -> Result<OptimizedQuery> {
        let main = optimized(&self.state, &self.main)?;
        let mut needed = vec![None; self.ctes.len()];
        add_needed(&main, &mut needed)?;
        let mut ctes = Vec::new();
        while let Some(cte) = self.ctes.pop() {
            if let Some(columns) = needed.pop().flatten() {
                let plan = optimized(&self.state, &select(&cte.plan, &columns)?)?;
                add_needed(&plan, &mut needed)?;
                ctes.push(SharedCte { plan, ..cte });
            }
        }
        ctes.reverse();
        Ok(OptimizedQuery(Self { ctes, main, ..self }))
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

/// Count the places that read each CTE or derived table. What a CTE itself reads is counted once, unless the CTE remains
/// in the query.
fn count_places(plan: &LogicalPlan) -> Result<HashMap<SubqueryAlias, usize>> {
    let mut names: HashMap<TableReference, usize> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::SubqueryAlias(alias) = node {
            *names.entry(alias.alias.clone()).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut places = HashMap::new();
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::SubqueryAlias(alias) = node else {
            return Ok(TreeNodeRecursion::Continue);
        };
        if names.get(&alias.alias) == Some(&1) || !is_worth_sharing(&alias.input)? {
            return Ok(TreeNodeRecursion::Continue);
        }
        let count = places.entry(alias.clone()).or_insert(0);
        *count += 1;
        Ok(match *count {
            1 => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Jump,
        })
    })?;
    places.retain(|_, count| *count > 1);
    Ok(places)
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
    /// The CTEs to share.
    places: HashMap<SubqueryAlias, usize>,
    /// The scan of the table that stands for a CTE.
    tables: HashMap<SubqueryAlias, LogicalPlan>,
    ctes: Vec<SharedCte>,
}

impl Extraction<'_> {
    /// Replace every CTE that is worth sharing by a scan of its table.
    fn replace(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let replaced = plan.transform_down_with_subqueries(|node| {
            let LogicalPlan::SubqueryAlias(alias) = &node else {
                return Ok(Transformed::no(node));
            };
            if !self.places.contains_key(alias) {
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
        if let Some(scan) = self.tables.get(cte) {
            return Ok(scan.clone());
        }
        let plan = self.replace(cte.input.as_ref().clone())?;
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
        self.tables.insert(cte.clone(), scan.clone());
        Ok(scan)
    }
}

/// Add the columns of CTEs that an optimized plan reads; none of a CTE of which it needs only the number of rows.
fn add_needed(plan: &LogicalPlan, needed: &mut [Option<BTreeSet<usize>>]) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.schema() == Some(SCHEMA)
            && let Ok(n) = scan.table_name.table().parse::<usize>()
            && let Some(needed) = needed.get_mut(n)
        {
            let needed = needed.get_or_insert_default();
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
        let rows = execute_stream(plan, state.task_ctx())?;
        let schema = Arc::clone(&self.schema);
        let table = ScratchTable::write(schema, None, rows, folder).await?;
        match self.computed.set(table) {
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
            Some(computed) => {
                let table = &computed.table;
                table.scan(state, projection, filters, limit).await
            }
            None => internal_err!("a common table expression is read before it is computed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use futures::TryStreamExt;

    use super::*;
    use crate::engine::{Engine, Param, declared_params};

    const SUMS: &str =
        "sums AS (SELECT column1 % 3 AS n, sum(column2) AS total, max(column1) AS most
        FROM (VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)) GROUP BY column1 % 3)";

    async fn planned(sql: &str, params: &[Param]) -> PlannedQuery {
        Engine::new(None)
            .unwrap()
            .plan_shared(sql, params)
            .await
            .unwrap()
    }

    /// Return the rows of a query that computes its CTEs once, and the number of these.
    async fn shared(sql: &str, params: &[Param]) -> (String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let query = planned(sql, params).await.optimize().unwrap();
        let rows = query.execute(folder.path()).await.unwrap();
        (
            text(&rows.try_collect::<Vec<_>>().await.unwrap()),
            query.0.ctes.len(),
        )
    }

    async fn unshared(sql: &str, params: &[Param]) -> String {
        let frame = Engine::new(None).unwrap().plan(sql, params).await.unwrap();
        text(&frame.collect().await.unwrap())
    }

    fn text(rows: &[RecordBatch]) -> String {
        pretty_format_batches(rows).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_cte_that_is_read_twice_is_computed_once_and_gives_the_same_rows() {
        let queries = [
            (
                "SELECT a.n, b.total FROM sums AS a INNER JOIN sums AS b ON a.n = b.n ORDER BY 1",
                1,
            ),
            (
                "SELECT n FROM sums WHERE EXISTS (SELECT 1 FROM sums AS s WHERE s.most > sums.n) ORDER BY 1",
                1,
            ),
            (
                "SELECT n FROM sums UNION ALL SELECT most FROM sums ORDER BY 1",
                1,
            ),
            ("SELECT count(*) FROM sums CROSS JOIN sums AS s", 1),
            ("SELECT n, total FROM sums ORDER BY 1", 0),
        ];
        for (select, ctes) in queries {
            let sql = format!("WITH {SUMS} {select}");
            assert_eq!(
                shared(&sql, &[]).await,
                (unshared(&sql, &[]).await, ctes),
                "{select}"
            );
        }
    }

    #[tokio::test]
    async fn ctes_over_ctes_are_computed_once_each() {
        let sql = format!(
            "WITH {SUMS},
            pairs AS (SELECT a.n, b.total FROM sums AS a INNER JOIN sums AS b ON a.n = b.n),
            narrow AS (SELECT n FROM pairs WHERE total > 0)
            SELECT p.n, q.n AS m FROM narrow AS p CROSS JOIN narrow AS q ORDER BY 1, 2"
        );
        // `narrow` only selects, so that `pairs` is what two places read.
        assert_eq!(shared(&sql, &[]).await, (unshared(&sql, &[]).await, 2));
    }

    #[tokio::test]
    async fn ctes_of_one_name_in_two_queries_are_not_confused() {
        let both = |n: u8| {
            format!(
                "SELECT x FROM (WITH a AS (SELECT max(column1) AS x FROM (VALUES ({n}))) \
                 SELECT p.x FROM a AS p INNER JOIN a AS q ON p.x = q.x)"
            )
        };
        let sql = format!("{} UNION ALL {} ORDER BY 1", both(1), both(2));
        assert_eq!(shared(&sql, &[]).await, (unshared(&sql, &[]).await, 2));
    }

    #[tokio::test]
    async fn parameters_reach_the_ctes() {
        let header = "-- param: least bigint = 2\n";
        let params = declared_params(header).unwrap();
        let sql = "WITH a AS (SELECT column1 AS n, count(*) AS c FROM (VALUES (1), (2), (3)) WHERE column1 >= $least
            GROUP BY column1) SELECT x.n FROM a AS x INNER JOIN a AS y ON x.n = y.n ORDER BY 1";
        assert_eq!(
            shared(sql, &params).await,
            (unshared(sql, &params).await, 1)
        );
    }

    #[tokio::test]
    async fn only_columns_that_are_read_are_computed() {
        let sql =
            format!("WITH {SUMS} SELECT a.n FROM sums AS a INNER JOIN sums AS b ON a.n = b.most");
        let query = planned(&sql, &[]).await.optimize().unwrap();
        let fields = query.0.ctes[0].plan.schema().fields();
        let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["n", "most"]);
    }
}
