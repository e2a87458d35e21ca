//! One query with several sets of parameters: the rows of all of them, in the order and up to the limit of the query.
//!
//! ```text
//! Limit(Sort(rows of set 1)), Limit(Sort(rows of set 2)) ─▶ Limit(Sort(rows of set 1 ∪ rows of set 2))
//! ```

use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// Return the plan of the rows of all `plans`, which are plans of one query. `None` if there is no plan.
pub(super) fn union(mut plans: Vec<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    if plans.len() < 2 {
        return Ok(plans.pop());
    }
    let Some(first) = plans.first() else {
        return Ok(None);
    };
    let mut outer = Vec::new();
    let mut node = first;
    while let Some(input) = below(node) {
        outer.push(node.clone());
        node = input;
    }
    let columns = node.schema().columns();
    let name = |n: usize| format!("column_{n}");
    let mut rows: Option<LogicalPlanBuilder> = None;
    for plan in &plans {
        let mut base = plan;
        for _ in &outer {
            base = below(base).unwrap_or(base);
        }
        // A union has no qualified columns: give them plain names and the qualified ones again.
        let plain = base.schema().columns().into_iter().enumerate();
        let plain = plain.map(|(n, column)| Expr::Column(column).alias(name(n)));
        let base = LogicalPlanBuilder::from(base.clone()).project(plain.collect::<Vec<_>>())?;
        rows = Some(match rows {
            Some(rows) => rows.union(base.build()?)?,
            None => base,
        });
    }
    let Some(rows) = rows else {
        return Ok(None);
    };
    let qualified = columns.into_iter().enumerate().map(|(n, column)| {
        let plain = datafusion::prelude::ident(name(n));
        plain.alias_qualified(column.relation, column.name)
    });
    let mut plan = rows.project(qualified.collect::<Vec<_>>())?.build()?;
    for node in outer.into_iter().rev() {
        plan = node.with_new_exprs(node.expressions(), vec![plan])?;
    }
    Ok(Some(plan))
}

/// Return the input of a node that orders or limits the rows, or that drops columns which only order them.
fn below(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Limit(limit) => Some(&limit.input),
        LogicalPlan::Sort(sort) => Some(&sort.input),
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Sort(_) => Some(&projection.input),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use crate::engine::{Engine, bind_params, declared_params};

    /// Return the first column of the rows of a query with each value of `least`.
    async fn rows(select: &str, least: &[&str]) -> Vec<String> {
        let sql = format!(
            "WITH v AS (SELECT column1 AS project, column2 AS n FROM (VALUES ('a', 5), ('b', 4), ('c', 3), ('d', 2))) {select}"
        );
        let limit = if select.contains("$n") {
            "-- param: n bigint = 3"
        } else {
            ""
        };
        let header = format!(
            "-- param: least bigint = 0
{limit}"
        );
        let declared = || declared_params(&header).unwrap();
        let variants = least.iter().map(|value| {
            let given = [("least".to_owned(), (*value).to_owned())];
            bind_params(declared(), &given).unwrap()
        });
        let variants: Vec<_> = variants.collect();
        let engine = Engine::new(None).unwrap();
        let frame = engine.plan_variants(&sql, &variants).await.unwrap();
        let batches = frame.collect().await.unwrap();
        batches
            .iter()
            .flat_map(|batch| {
                (0..batch.num_rows())
                    .map(|row| array_value_to_string(batch.column(0), row).unwrap())
            })
            .collect()
    }

    #[tokio::test]
    async fn the_rows_of_all_sets_are_ordered_and_limited_together() {
        let ordered =
            "SELECT x.project FROM v AS x WHERE x.n > $least ORDER BY x.n DESC, x.project";
        assert_eq!(
            rows(ordered, &["3", "1"]).await,
            ["a", "a", "b", "b", "c", "d"]
        );
        assert_eq!(rows(ordered, &["3"]).await, ["a", "b"]);
        let limited = format!("{ordered} LIMIT 3");
        assert_eq!(rows(&limited, &["3", "1"]).await, ["a", "a", "b"]);
        let by_name =
            "SELECT project, n AS size FROM v WHERE n > $least ORDER BY project, size LIMIT $n";
        assert_eq!(rows(by_name, &["1", "3"]).await, ["a", "a", "b"]);
        let within = "SELECT project FROM (SELECT * FROM v WHERE n > $least ORDER BY n DESC LIMIT $n) AS t ORDER BY n DESC";
        assert_eq!(rows(within, &["1", "3"]).await, ["a", "a", "b"]);
        let unordered = "SELECT count(*) FROM v WHERE n > $least";
        let mut counts = rows(unordered, &["1", "3"]).await;
        counts.sort();
        assert_eq!(counts, ["2", "4"]);
    }
}
