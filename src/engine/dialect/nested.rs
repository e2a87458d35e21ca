//! Lists and structs: `x['field']`, `list[n]`, `[a, b]`, and lists as tables.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, Expr, FunctionArguments, Ident, ObjectName, Select, SelectItem, Subscript,
    TableFactor, Value,
};

use super::rewrite::{parsed_select, unsupported};
use super::rules::{NestedRules, expand};
use crate::error::Result;

/// Return `root['a'][1]` in the dialect.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage): a slice, or a dialect without typed lists and structs.
pub(super) fn access(
    rules: Option<&NestedRules>,
    root: &Expr,
    chain: &[AccessExpr],
) -> Result<String> {
    let refuse = || {
        let chain: String = chain.iter().map(ToString::to_string).collect();
        unsupported(format!("{root}{chain}"))
    };
    let rules = rules.ok_or_else(refuse)?;
    let mut text = root.to_string();
    for step in chain {
        text = match step {
            // The column of a table.
            AccessExpr::Dot(Expr::Identifier(name)) => format!("{text}.{name}"),
            AccessExpr::Subscript(Subscript::Index { index }) => match field_name(index) {
                Some(name) => expand(rules.field, &[text, name.to_owned()]),
                None => expand(rules.element, &[text, index.to_string()]),
            },
            _ => return Err(refuse()),
        };
    }
    Ok(text)
}

fn field_name(index: &Expr) -> Option<&str> {
    match index {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Return a list of items in the dialect.
///
/// # Errors
/// As [`access`].
pub(super) fn list(rules: Option<&NestedRules>, array: &Array) -> Result<String> {
    let rules = rules.ok_or_else(|| unsupported(array.to_string()))?;
    let items: Vec<_> = array.elem.iter().map(ToString::to_string).collect();
    Ok(expand(rules.list, &[items.join(", ")]))
}

/// Move `unnest(list) AS item` from the SELECT list to a cross join, if the dialect needs this.
///
/// # Errors
/// As [`access`].
pub(super) fn unnest_in_from(rules: Option<&NestedRules>, select: &mut Select) -> Result<()> {
    let Some(template) = rules.and_then(|rules| rules.unnest_in_from) else {
        return Ok(());
    };
    for item in &mut select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else {
            continue;
        };
        let Expr::Function(function) = &*expr else {
            continue;
        };
        let FunctionArguments::List(arguments) = &function.args else {
            continue;
        };
        if !function.name.to_string().eq_ignore_ascii_case("unnest") {
            continue;
        }
        let [of] = arguments.args.as_slice() else {
            return Err(unsupported(expr.to_string()));
        };
        let elements = expand(template, &[of.to_string(), alias.to_string()]);
        *expr = Expr::Identifier(alias.clone());
        let Some(table) = select.from.last_mut() else {
            return Err(unsupported(elements));
        };
        let mut joined = parsed_select("SELECT 1 FROM a CROSS JOIN b")?;
        let joined = joined.from.first_mut().and_then(|from| from.joins.pop());
        table.joins.extend(joined.map(|mut join| {
            join.relation = named(&elements);
            join
        }));
    }
    Ok(())
}

/// Return the table that a SQL text names.
fn named(text: &str) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(Ident::new(text)),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}
