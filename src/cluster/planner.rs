//! Plans queries for workers, and records whether a plan uses any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, not_impl_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion_distributed::DistributedExec;

/// Whether any plan of a session sent a part to workers. The coordinator runs a plan that exchanges no rows.
#[derive(Debug, Clone, Default)]
pub struct UseOfWorkers(Arc<AtomicBool>);

impl UseOfWorkers {
    /// Return whether any plan sent a part to workers.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Wraps the planner of datafusion-distributed, and records whether its plans use workers.
#[derive(Debug)]
pub(super) struct WatchedPlanner {
    pub(super) planner: Arc<dyn QueryPlanner + Send + Sync>,
    pub(super) used: UseOfWorkers,
}

#[async_trait]
impl QueryPlanner for WatchedPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.planner.create_physical_plan(plan, session).await?;
        self.used
            .0
            .fetch_or(plan.is::<DistributedExec>(), Ordering::Relaxed);
        if has_reversed_aggregate(&plan)? {
            return not_impl_err!("a window function is computed in reverse");
        }
        Ok(plan)
    }
}

/// Return whether a window function computes an aggregate in reverse, which DataFusion 55.2 does not send with the plan.
/// Other window functions are never reversed in a session for workers.
fn has_reversed_aggregate(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        let windows = match node.downcast_ref::<BoundedWindowAggExec>() {
            Some(node) => node.window_expr(),
            None => node
                .downcast_ref::<WindowAggExec>()
                .map_or(&[][..], |node| node.window_expr()),
        };
        found |= windows.iter().any(is_reversed_aggregate);
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

fn is_reversed_aggregate(window: &Arc<dyn WindowExpr>) -> bool {
    let window = window.as_any();
    let sliding = window.downcast_ref::<SlidingAggregateWindowExpr>();
    let plain = window.downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr);
    let aggregate = sliding.or_else(|| plain.map(PlainAggregateWindowExpr::get_aggregate_expr));
    aggregate.is_some_and(|aggregate| aggregate.is_reversed())
}
