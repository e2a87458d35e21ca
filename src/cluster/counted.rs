//! Counts the tasks and rows of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use datafusion_distributed::{
    BroadcastExec, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerPlanRewriteHandler,
};
use futures::TryStreamExt;

/// The work of a worker since its start.
#[derive(Debug, Default)]
pub(super) struct WorkCounters {
    tasks: AtomicU64,
    rows: AtomicU64,
}

impl WorkCounters {
    /// Return the number of tasks and of the rows that they returned.
    pub(super) fn read(&self) -> (u64, u64) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        (tasks, self.rows.load(Ordering::Relaxed))
    }
}

/// Counts the tasks that a worker receives and their rows.
pub(super) struct CountWork(pub(super) Arc<WorkCounters>);

impl WorkerPlanRewriteHandler for CountWork {
    fn rewrite_worker_plan(
        &self,
        event: WorkerPlanRewriteEvent<'_>,
    ) -> Result<WorkerPlanRewriteEventResponse> {
        self.0.tasks.fetch_add(1, Ordering::Relaxed);
        let plan = event.plan;
        let counted = |input| -> Arc<dyn ExecutionPlan> {
            Arc::new(CountedExec {
                input,
                counters: Arc::clone(&self.0),
            })
        };
        // datafusion-distributed replaces an exchange at the top of a task, and must find it there.
        let is_exchange = plan.is::<RepartitionExec>() || plan.is::<BroadcastExec>();
        let input = plan.children().first().map(|input| Arc::clone(input));
        let plan = match input {
            Some(input) if is_exchange => plan.replace_children(
                vec![counted(input)],
                ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
            )?,
            _ => counted(plan),
        };
        Ok(WorkerPlanRewriteEventResponse::new(plan))
    }
}

/// Forwards the rows of its input and counts them.
#[derive(Debug)]
struct CountedExec {
    input: Arc<dyn ExecutionPlan>,
    counters: Arc<WorkCounters>,
}

impl DisplayAs for CountedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for CountedExec {
    fn name(&self) -> &'static str {
        "CountedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return internal_err!("CountedExec has one input");
        };
        let counters = Arc::clone(&self.counters);
        Ok(Arc::new(Self { input, counters }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let counters = Arc::clone(&self.counters);
        let count = move |batch: &datafusion::arrow::array::RecordBatch| {
            let rows = batch.num_rows() as u64;
            counters.rows.fetch_add(rows, Ordering::Relaxed);
        };
        let schema = rows.schema();
        let counted = rows.inspect_ok(count);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }
}
