//! `QUALIFY`, for the dialects that lack it.

use datafusion::sql::sqlparser::ast::{Expr, Ident, Select, SelectItem, SetExpr, TableFactor};

use super::rewrite::{parsed_select, raw, unsupported};
use crate::error::Result;

/// Replace `SELECT … QUALIFY condition` by a SELECT of the columns from a subquery that computes the condition.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a column without a name.
pub(super) fn qualify_as_subquery(select: &mut Select) -> Result<()> {
    const KEPT: &str = "is_kept";
    let Some(condition) = select.qualify.take() else {
        return Ok(());
    };
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Ok(alias.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Ok(name.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            let last = parts.last().cloned();
            last.ok_or_else(|| unsupported("QUALIFY of a column without a name"))
        }
        item => Err(unsupported(format!("QUALIFY of {item}"))),
    });
    let names = names.collect::<Result<Vec<_>>>()?;
    let sql = format!("SELECT 1 FROM (SELECT 1) AS qualified WHERE qualified.{KEPT}");
    let mut outer = parsed_select(&sql)?;
    outer.distinct = select.distinct.take();
    outer.projection = names
        .into_iter()
        .map(|name| SelectItem::UnnamedExpr(Expr::Identifier(name)))
        .collect();
    select.projection.push(SelectItem::ExprWithAlias {
        expr: raw(condition.to_string()),
        alias: Ident::new(KEPT),
    });
    let inner = std::mem::replace(select, outer);
    for table in &mut select.from {
        if let TableFactor::Derived { subquery, .. } = &mut table.relation
            && let SetExpr::Select(body) = subquery.body.as_mut()
        {
            **body = inner.clone();
        }
    }
    Ok(())
}
