//! Plans queries for workers, and notices whether a plan needs any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::DistributedExec;

/// Whether a part of any plan of a session went to workers. A plan that exchanges no rows remains with the coordinator.
#[derive(Debug, Clone, Default)]
pub struct UseOfWorkers(Arc<AtomicBool>);

impl UseOfWorkers {
    /// Return whether a part of a plan went to workers.
    pub fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The library's planner, which is asked for the plan.
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
        Ok(plan)
    }
}
