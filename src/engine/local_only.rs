//! Queries that cannot run on workers, because a plan that is sent to another process is no longer the same plan.

use std::fmt;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Why a query cannot run on workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalOnly {
    /// Each round of a recursive query needs all rows of the round before.
    Recursion,
    /// DataFusion 55.2 sends a window function without its IGNORE NULLS.
    IgnoreNulls,
    /// DataFusion 55.2 sends a window function without its FILTER.
    WindowFilter,
    /// ROLLUP, CUBE and GROUPING SETS may have other rows on workers.
    GroupingSets,
    /// A join without a condition may have other rows on workers.
    CrossJoin,
}

impl fmt::Display for LocalOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recursion => "the query is recursive",
            Self::IgnoreNulls => "a window function ignores nulls",
            Self::WindowFilter => "a window function has a filter",
            Self::GroupingSets => "the query has grouping sets",
            Self::CrossJoin => "the query has a join without a condition",
        })
    }
}

/// Return why a plan cannot run on workers, if it cannot.
pub(super) fn find(plan: &LogicalPlan) -> Result<Option<LocalOnly>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::RecursiveQuery(_) => found = Some(LocalOnly::Recursion),
            LogicalPlan::Join(join) if join.on.is_empty() && join.filter.is_none() => {
                found = Some(LocalOnly::CrossJoin);
            }
            _ => {}
        }
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                found = found.or(in_expression(expression));
                Ok(go_on(found))
            })
        })?;
        Ok(go_on(found))
    })?;
    Ok(found)
}

fn in_expression(expression: &Expr) -> Option<LocalOnly> {
    if matches!(expression, Expr::GroupingSet(_)) {
        return Some(LocalOnly::GroupingSets);
    }
    let Expr::WindowFunction(window) = expression else {
        return None;
    };
    if window.params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Some(LocalOnly::IgnoreNulls);
    }
    window
        .params
        .filter
        .is_some()
        .then_some(LocalOnly::WindowFilter)
}

fn go_on(found: Option<LocalOnly>) -> TreeNodeRecursion {
    match found {
        Some(_) => TreeNodeRecursion::Stop,
        None => TreeNodeRecursion::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    async fn found(sql: &str) -> Option<LocalOnly> {
        let planned = Engine::new(None).unwrap().plan_shared(sql, &[]).await;
        planned.unwrap().local_only().unwrap()
    }

    #[tokio::test]
    async fn what_is_lost_on_the_way_to_a_worker_is_found_wherever_it_is() {
        let one = "(SELECT 1 AS a, 2 AS b)";
        for (sql, expected) in [
            (
                format!("SELECT a, sum(b) OVER (ORDER BY a) AS n FROM {one}"),
                None,
            ),
            (
                format!("SELECT last_value(a IGNORE NULLS) OVER (ORDER BY b) AS n FROM {one}"),
                Some(LocalOnly::IgnoreNulls),
            ),
            (
                format!(
                    "WITH w AS (SELECT b, lag(a) IGNORE NULLS OVER (ORDER BY b) AS n FROM {one})
                     SELECT x.n FROM w AS x INNER JOIN w AS y ON x.b = y.b"
                ),
                Some(LocalOnly::IgnoreNulls),
            ),
            (
                format!(
                    "SELECT 1 AS n WHERE 3 IN (SELECT 1 + sum(a) FILTER (WHERE b > 1) OVER () FROM {one})"
                ),
                Some(LocalOnly::WindowFilter),
            ),
            (
                format!("SELECT sum(a) FILTER (WHERE b > 1) AS n FROM {one}"),
                None,
            ),
            (
                format!("SELECT x.a FROM {one} AS x CROSS JOIN {one} AS y"),
                Some(LocalOnly::CrossJoin),
            ),
            (
                format!("SELECT a, sum(b) AS n FROM {one} GROUP BY rollup (a)"),
                Some(LocalOnly::GroupingSets),
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3)
                 SELECT x.n FROM r AS x INNER JOIN r AS y ON x.n = y.n"
                    .to_owned(),
                Some(LocalOnly::Recursion),
            ),
        ] {
            assert_eq!(found(&sql).await, expected, "{sql}");
        }
    }
}
