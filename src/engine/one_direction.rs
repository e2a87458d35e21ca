//! Window functions that DataFusion does not compute in reverse.
//!
//! Where two windows have opposite orders, DataFusion sorts once and reverses one of them: `lag` becomes a `lead` that
//! is marked as reversed. DataFusion 55.2 sends it without the mark, so that a worker would take the opposite neighbour.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

/// Return the functions, each so that it is computed in its own order only. A worker knows them by their names.
pub(super) fn in_one_direction<'a>(
    functions: impl Iterator<Item = &'a Arc<WindowUDF>>,
) -> Vec<Arc<WindowUDF>> {
    let functions = functions.map(|function| match function.reverse_expr() {
        ReversedUDWF::Reversed(_) => {
            let function = OneDirection(Arc::clone(function));
            Arc::new(WindowUDF::new_from_impl(function))
        }
        ReversedUDWF::Identical | ReversedUDWF::NotSupported => Arc::clone(function),
    });
    functions.collect()
}

/// A function that is not reversed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneDirection(Arc<WindowUDF>);

#[deny(clippy::missing_trait_methods)]
impl WindowUDFImpl for OneDirection {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.0.expressions(arguments)
    }

    fn partition_evaluator(
        &self,
        arguments: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        self.0.partition_evaluator_factory(arguments)
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        self.0.simplify()
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        self.0.field(arguments)
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.0.sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(types)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::NotSupported
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn limit_effect(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.0.inner().limit_effect(arguments)
    }
}
