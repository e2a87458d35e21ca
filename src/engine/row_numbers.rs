//! Computes `row_number()` by comparing neighbouring rows.
//!
//! DataFusion 55.2 cuts each partition of a window out of every column, which costs most where rows are wide and partitions
//! are small, as in `QUALIFY row_number() OVER (PARTITION BY id …) = 1`. The rows arrive sorted by partition, so that a row
//! starts a partition if it differs from the row before it.

use std::fmt;
use std::iter::repeat_n;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array, make_comparator};
use datafusion::arrow::compute::{SortOptions, partition};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_window::row_number::RowNumber;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

/// Replaces the windows of a plan that have no other function than `row_number()`.
#[derive(Debug)]
pub(super) struct RowNumbers;

impl PhysicalOptimizerRule for RowNumbers {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| {
            Ok(match RowNumberExec::replacing(&plan) {
                Some(numbers) => Transformed::yes(Arc::new(numbers) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        })?;
        Ok(replaced.data)
    }

    fn name(&self) -> &str {
        Self::NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl RowNumbers {
    /// The name of the rule.
    pub(super) const NAME: &str = "row_numbers";
}

/// Appends the number of each row within its partition. The input is sorted by partition.
#[derive(Debug)]
struct RowNumberExec {
    /// The window that this plan replaces, for its input and its properties.
    window: Arc<dyn ExecutionPlan>,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    /// How many columns have the number.
    columns: usize,
}

impl RowNumberExec {
    /// Return the plan that gives the rows of a window; `None` if the window has another function, other input, or no
    /// partitions.
    fn replacing(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let window = plan.downcast_ref::<BoundedWindowAggExec>()?;
        let functions = window.window_expr();
        let partition_by = functions.first()?.partition_by();
        let is_possible = matches!(window.input_order_mode, InputOrderMode::Sorted)
            && !partition_by.is_empty()
            && functions
                .iter()
                .all(|it| is_row_number(it) && it.partition_by() == partition_by);
        is_possible.then(|| Self {
            window: Arc::clone(plan),
            partition_by: partition_by.to_vec(),
            columns: functions.len(),
        })
    }
}

fn is_row_number(function: &Arc<dyn WindowExpr>) -> bool {
    let function = function.as_any().downcast_ref::<StandardWindowExpr>();
    let function = function.map(|it| it.get_standard_func_expr().as_any());
    let function = function.and_then(|it| it.downcast_ref::<WindowUDFExpr>());
    function.is_some_and(|it| it.fun().inner().is::<RowNumber>())
}

impl DisplayAs for RowNumberExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.partition_by.iter().map(ToString::to_string).collect();
        write!(f, "RowNumberExec: partition_by=[{}]", columns.join(", "))
    }
}

impl ExecutionPlan for RowNumberExec {
    fn name(&self) -> &'static str {
        "RowNumberExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Arc::new(Self {
            window: Arc::clone(&self.window).replace_children(children, options)?,
            partition_by: self.partition_by.clone(),
            columns: self.columns,
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let children = self.children();
        let [input] = children.as_slice() else {
            return internal_err!("a window has one input");
        };
        let mut numbering = Numbering {
            schema: self.schema(),
            partition_by: self.partition_by.clone(),
            columns: self.columns,
            last: Vec::new(),
            next: 1,
        };
        let rows = input.execute(partition, context)?;
        let rows = rows.map(move |batch| numbering.number(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Numbers the rows of successive batches.
struct Numbering {
    schema: SchemaRef,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    columns: usize,
    /// The values of `partition_by` in the last row so far; empty before the first row.
    last: Vec<ArrayRef>,
    /// The number of the next row, if it is in the same partition.
    next: u64,
}

impl Numbering {
    fn number(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let values = self.partition_by.iter().map(|column| {
            let value = column.evaluate(batch)?;
            value.into_array(rows)
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::with_capacity(rows);
        for range in partition(&values)?.ranges() {
            if range.start > 0 || self.starts_partition(&values)? {
                self.next = 1;
            }
            let end = self.next + range.len() as u64;
            numbers.extend(self.next..end);
            self.next = end;
        }
        if rows > 0 {
            let last = values.iter().map(|values| values.slice(rows - 1, 1));
            self.last = last.collect();
        }
        let numbers: ArrayRef = Arc::new(UInt64Array::from(numbers));
        let columns = batch.columns().iter().cloned();
        let columns = columns.chain(repeat_n(numbers, self.columns)).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Return whether the first row of a batch is in another partition than the row before it.
    fn starts_partition(&self, values: &[ArrayRef]) -> Result<bool> {
        for (last, values) in self.last.iter().zip(values) {
            let compare = make_comparator(last, values, SortOptions::default())?;
            if compare(0, 0).is_ne() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::arrow::array::{AsArray, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::displayable;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Engine;

    /// A row: the two columns of its partition, and the one that orders it.
    type Row = (Option<i64>, Option<String>, i64);

    const NUMBERED: &str = "SELECT a, b, n, row_number() OVER (PARTITION BY a, b ORDER BY n) AS number FROM domain.numbers";

    /// Return a session with a table `domain.numbers` of batches of `size` rows.
    fn engine(rows: &[Row], size: usize) -> Engine {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
            Field::new("n", DataType::Int64, false),
        ]));
        let batches = rows.chunks(size).map(|rows| {
            let a: Int64Array = rows.iter().map(|(a, _, _)| *a).collect();
            let b: StringArray = rows.iter().map(|(_, b, _)| b.clone()).collect();
            let n: Int64Array = rows.iter().map(|(_, _, n)| Some(*n)).collect();
            RecordBatch::try_new(
                Arc::clone(&schema),
                vec![Arc::new(a), Arc::new(b), Arc::new(n)],
            )
        });
        let batches = batches.collect::<std::result::Result<_, _>>().unwrap();
        let table = MemTable::try_new(schema, vec![batches]).unwrap();
        let engine = Engine::new(None).unwrap();
        engine.put("domain", "numbers", Arc::new(table)).unwrap();
        engine
    }

    /// Return each row with its number, in any order.
    fn numbered(engine: &Engine, size: usize) -> Vec<(Row, u64)> {
        let rows = async {
            let engine = engine.derive(|config| *config = config.clone().with_batch_size(size));
            engine.plan(NUMBERED, &[]).await.unwrap().collect().await
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut found = Vec::new();
        for batch in runtime.block_on(rows).unwrap() {
            let [a, b, n, number] = [0, 1, 2, 3].map(|at| batch.column(at));
            let (a, n) = (a.as_primitive::<Int64Type>(), n.as_primitive::<Int64Type>());
            let number = number.as_primitive::<UInt64Type>();
            let keys = a.iter().zip(b.as_string::<i32>());
            for ((a, b), (n, number)) in keys.zip(n.iter().zip(number)) {
                found.push(((a, b.map(str::to_owned), n.unwrap()), number.unwrap()));
            }
        }
        found
    }

    #[tokio::test]
    async fn a_window_of_row_numbers_alone_is_replaced() {
        let plan = async |sql: &str| {
            let plan = engine(&[], 1).plan(sql, &[]).await.unwrap();
            let plan = plan.create_physical_plan().await.unwrap();
            displayable(plan.as_ref()).indent(false).to_string()
        };
        let numbered = plan(NUMBERED).await;
        assert!(numbered.contains("RowNumberExec: partition_by=[a@0, b@1]"));
        let others = "SELECT row_number() OVER w, lag(n) OVER w FROM domain.numbers WINDOW w AS (PARTITION BY a ORDER BY n)";
        assert!(!plan(others).await.contains("RowNumberExec"));
    }

    proptest! {
        #[test]
        fn rows_are_numbered_within_their_partition(
            rows in prop::collection::vec((prop::option::of(0..4i64), prop::option::of("[xy]{0,1}"), 0..100i64), 0..60),
            size in 1usize..9,
        ) {
            let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for (a, b, n) in &rows {
                partitions.entry((*a, b.clone())).or_default().push(*n);
            }
            let mut expected = Vec::new();
            for ((a, b), mut values) in partitions {
                values.sort_unstable();
                expected.extend((1u64..).zip(values).map(|(number, n)| ((a, b.clone(), n), number)));
            }
            let mut found = numbered(&engine(&rows, size), size);
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
