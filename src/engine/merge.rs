//! Merges streams of rows that have the same order.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;

use super::Engine;

impl Engine {
    /// Merge streams of the columns of `schema`, each of which is in ascending order of `columns`, nulls first.
    ///
    /// # Errors
    /// DataFusion's own error, also for a column that `schema` lacks.
    pub fn merge_sorted(
        &self,
        schema: SchemaRef,
        columns: &[String],
        streams: Vec<SendableRecordBatchStream>,
    ) -> Result<SendableRecordBatchStream> {
        let order = columns.iter().map(|name| {
            let options = SortOptions {
                descending: false,
                nulls_first: true,
            };
            let column = Column::new_with_schema(name, &schema)?;
            Ok(PhysicalSortExpr::new(Arc::new(column), options))
        });
        let Some(order) = LexOrdering::new(order.collect::<Result<Vec<_>>>()?) else {
            return internal_err!("rows without an order cannot be merged");
        };
        let task = self.context.task_ctx();
        let memory = MemoryConsumer::new("merged rows").register(task.memory_pool());
        StreamingMergeBuilder::new()
            .with_streams(streams)
            .with_schema(schema)
            .with_expressions(&order)
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(task.session_config().batch_size())
            .with_reservation(memory)
            .build()
    }
}
