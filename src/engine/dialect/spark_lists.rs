//! Ordered lists in Spark, whose `COLLECT_LIST` takes no order and skips nulls.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArgumentClause, FunctionArguments, OrderByExpr,
};

/// Translate `array_agg(x ORDER BY a DESC, b) FILTER (…)` to a list of structs of keys and element, sorted by a comparator.
/// With `DISTINCT`, the elements are the only key. Return `None` for a call without an order.
pub(super) fn ordered_list(function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let element = list.args.first()?.to_string();
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(by) => Some(by),
        _ => None,
    })?;
    let filter = function.filter.as_ref();
    let filter = filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {filter})"));
    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
        let is_own_order = matches!(order.as_slice(), [by] if by.expr.to_string() == element);
        return is_own_order.then(|| {
            // An empty list is null, as the list of no rows is.
            format!("NULLIF(ARRAY_SORT(COLLECT_SET({element}){filter}), ARRAY())")
        });
    }
    let keys = order.iter().enumerate();
    let keys: String = keys
        .map(|(n, by)| format!("'k{n}', {}, ", by.expr))
        .collect();
    let compared = order
        .iter()
        .enumerate()
        .rev()
        .fold("0".to_owned(), |equal, (n, by)| compare(n, by, &equal));
    Some(format!(
        "TRANSFORM(ARRAY_SORT(COLLECT_LIST(NAMED_STRUCT({keys}'element', {element})){filter}, \
         (l, r) -> {compared}), sorted -> sorted['element'])"
    ))
}

/// Compare the `n`th key of `l` and `r`, and then by `equal` if the keys are the same. By default nulls are last in ascending
/// order and first in descending order, as in DataFusion.
fn compare(n: usize, by: &OrderByExpr, equal: &str) -> String {
    let is_descending = by.options.asc == Some(false);
    let is_null_first = by.options.nulls_first.unwrap_or(is_descending);
    let (null, value) = if is_null_first { (-1, 1) } else { (1, -1) };
    let (smaller, larger) = if is_descending { (1, -1) } else { (-1, 1) };
    let (l, r) = (format!("l['k{n}']"), format!("r['k{n}']"));
    format!(
        "CASE WHEN {l} = {r} OR ({l} IS NULL AND {r} IS NULL) THEN {equal} WHEN {l} IS NULL THEN {null} \
         WHEN {r} IS NULL THEN {value} WHEN {l} < {r} THEN {smaller} ELSE {larger} END"
    )
}
