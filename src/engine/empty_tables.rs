//! Removes scans of empty tables from a plan, and the operators that cannot have rows without them.
//!
//! Many tables of a lake are empty, such as those of issues and teams in a workspace without them. DataFusion's optimizer
//! removes an operator over an empty relation, but it takes no scan for an empty relation. This must happen before shared
//! CTEs are taken out of the plan, so that a CTE which only such operators read is not computed.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{EmptyRelation, Expr, JoinType, LogicalPlan};

use super::parquet_table::has_no_rows;

/// Replace the parts of a plan that have no rows, because a table has none. In a subquery of an expression only the scans
/// are replaced, because the optimizer needs the columns of its operators to turn it into a join.
pub(super) fn without_empty_tables(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| Ok(replaced_if(is_empty_table, node)))?;
    let plan = plan
        .data
        .transform_up(|node| Ok(replaced_if(is_empty, node)))?;
    Ok(plan.data)
}

fn replaced_if(
    is_empty: impl Fn(&LogicalPlan) -> bool,
    node: LogicalPlan,
) -> Transformed<LogicalPlan> {
    match is_empty(&node) {
        true => Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: Arc::clone(node.schema()),
        })),
        false => Transformed::no(node),
    }
}

fn is_empty_table(node: &LogicalPlan) -> bool {
    let LogicalPlan::TableScan(scan) = node else {
        return false;
    };
    let table = source_as_provider(&scan.source);
    table.is_ok_and(|table| has_no_rows(table.as_ref()))
}

/// Return whether a node has no rows because its inputs have none, which are replaced already.
fn is_empty(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Union(_) => node.inputs().into_iter().all(is_replaced),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
                is_replaced(&join.left) || is_replaced(&join.right)
            }
            JoinType::Left | JoinType::LeftAnti => is_replaced(&join.left),
            JoinType::Right | JoinType::RightAnti => is_replaced(&join.right),
            JoinType::Full | JoinType::LeftMark | JoinType::RightMark => false,
        },
        // Without groups there is one row.
        LogicalPlan::Aggregate(aggregate) => {
            let mut groups = aggregate.group_expr.iter();
            let is_plain = |group: &Expr| !matches!(group, Expr::GroupingSet(_));
            !aggregate.group_expr.is_empty()
                && groups.all(is_plain)
                && is_replaced(&aggregate.input)
        }
        _ => false,
    }
}

fn is_replaced(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::dataframe::DataFrame;

    use super::*;
    use crate::engine::Engine;

    async fn rows(frame: DataFrame) -> String {
        let rows = frame.collect().await.unwrap();
        pretty_format_batches(&rows).unwrap().to_string()
    }

    /// Return the plan of a query without the parts that read the empty table `domain.none`. Its rows must be the same.
    async fn shortened(sql: &str) -> String {
        let engine = Engine::new(None).unwrap();
        let id = Field::new("id", DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![id]));
        let none = engine.register_parquet("domain", "none", schema, &[]);
        none.unwrap();
        let whole = engine.plan(sql, &[]).await.unwrap();
        let (state, plan) = whole.clone().into_parts();
        let shorter = without_empty_tables(plan).unwrap();
        let text = shorter.display_indent().to_string();
        let shorter = DataFrame::new(state, shorter);
        assert_eq!(rows(shorter).await, rows(whole).await, "{sql}");
        text
    }

    #[tokio::test]
    async fn what_reads_empty_tables_is_left_out_and_the_rows_are_the_same() {
        let some = "(VALUES (1), (2)) AS things (id)";
        for sql in [
            "SELECT n.id FROM domain.none AS n WHERE n.id > 1 ORDER BY 1 LIMIT 3".to_owned(),
            format!("SELECT things.id FROM {some} INNER JOIN domain.none AS n ON n.id = things.id"),
            format!("SELECT n.id FROM domain.none AS n LEFT JOIN {some} ON n.id = things.id"),
            "SELECT id, count(*) AS n FROM domain.none GROUP BY id".to_owned(),
            "SELECT DISTINCT id FROM domain.none UNION SELECT id + 1 FROM domain.none".to_owned(),
            "SELECT row_number() OVER (ORDER BY id) AS n FROM domain.none".to_owned(),
        ] {
            let plan = shortened(&sql).await;
            assert!(plan.starts_with("EmptyRelation"), "{sql}: {plan}");
        }
    }

    #[tokio::test]
    async fn subqueries_over_empty_tables_are_optimized() {
        for (predicate, expected) in [("IN", 0), ("NOT IN", 2)] {
            let engine = Engine::new(None).unwrap();
            let id = Field::new("id", DataType::Int64, true);
            let schema = Arc::new(Schema::new(vec![id]));
            let none = engine.register_parquet("domain", "none", schema, &[]);
            none.unwrap();
            let sql = format!(
                "SELECT id FROM (VALUES (1), (2)) AS things (id) WHERE id {predicate} (SELECT n.id FROM domain.none AS n \
                 INNER JOIN domain.none AS m ON m.id = n.id WHERE n.id > 0)"
            );
            let (state, plan) = engine.plan(&sql, &[]).await.unwrap().into_parts();
            let plan = without_empty_tables(plan).unwrap();
            let rows = DataFrame::new(state, plan).count().await.unwrap();
            assert_eq!(rows, expected, "{predicate}");
        }
    }

    #[tokio::test]
    async fn what_has_rows_beside_empty_tables_remains() {
        let some = "(VALUES (1), (2)) AS things (id)";
        for sql in [
            format!(
                "SELECT things.id, n.id AS other FROM {some} LEFT JOIN domain.none AS n ON n.id = things.id ORDER BY 1"
            ),
            format!(
                "SELECT things.id FROM {some} FULL JOIN domain.none AS n ON n.id = things.id ORDER BY 1"
            ),
            format!(
                "SELECT things.id FROM {some} WHERE things.id NOT IN (SELECT id FROM domain.none) ORDER BY 1"
            ),
            format!(
                "SELECT things.id FROM {some} WHERE NOT EXISTS (SELECT 1 FROM domain.none AS n WHERE n.id = things.id) ORDER BY 1"
            ),
            format!("SELECT id FROM {some} UNION ALL SELECT id FROM domain.none ORDER BY 1"),
            "SELECT count(*) AS n, max(id) AS most FROM domain.none".to_owned(),
        ] {
            let plan = shortened(&sql).await;
            assert!(!plan.starts_with("EmptyRelation"), "{sql}: {plan}");
        }
    }
}
