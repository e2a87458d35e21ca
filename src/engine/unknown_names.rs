//! Errors for tables and columns that do not exist, with the most similar names, and for columns of the same name.

use std::collections::BTreeSet;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;

use super::{CATALOG, TableName};
use crate::error::{Error, ErrorKind};
use crate::suggest;

/// The limit of names in a hint.
const SHOWN: usize = 3;
/// The limit of columns that are listed if none is similar.
const LISTED: usize = 10;

/// Return the names of the registered tables, as `layer.table`.
fn registered_tables(state: &SessionState) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(catalog) = state.catalog_list().catalog(CATALOG) else {
        return names;
    };
    for layer in catalog.schema_names() {
        let tables = catalog.schema(&layer).map(|schema| schema.table_names());
        let tables = tables.into_iter().flatten();
        names.extend(tables.map(|table| format!("{layer}.{table}")));
    }
    names
}

/// Return the error for a table that is not registered, if there is one among `names`.
pub(super) fn unknown_table(state: &SessionState, names: &[TableName]) -> Option<Error> {
    let known = registered_tables(state);
    let mut names = names.iter().map(ToString::to_string);
    let name = names.find(|name| !known.contains(name))?;
    let near = suggest::nearest(&name, known.iter().map(String::as_str), SHOWN);
    let hint = suggest::did_you_mean(&near);
    Some(
        Error::new(ErrorKind::Usage, "there is no such table")
            .with("table", name)
            .hint(
                hint.unwrap_or_else(|| {
                    "SHOW TABLES lists them, as does `bitlake tables`".to_owned()
                }),
            ),
    )
}

/// Return the hint for a table name without its layer.
pub(super) fn qualified_names(state: &SessionState, name: &str) -> Option<String> {
    let known = registered_tables(state);
    let near = suggest::nearest(name, known.iter().map(String::as_str), SHOWN);
    suggest::did_you_mean(&near)
}

/// Return the error for a query that cannot be planned. A column that no table has gets suggestions; a name that several columns have is
/// shown.
pub(super) fn plan_error(error: DataFusionError) -> Error {
    let cannot_plan = "cannot plan the query";
    let DataFusionError::SchemaError(root, _) = error.find_root() else {
        return Error::new(ErrorKind::Usage, cannot_plan).source(error);
    };
    match root.as_ref() {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => Error::new(ErrorKind::Usage, "there is no such column")
            .with("column", field.flat_name())
            .hint(column_hint(field, valid_fields)),
        // Without a relation, an expression names a column that several tables have.
        SchemaError::AmbiguousReference { field } if field.relation.is_none() => {
            Error::new(ErrorKind::Usage, "several tables have this column")
                .with("column", &field.name)
                .hint("write the table or its alias before it, as in `r.id`")
        }
        SchemaError::AmbiguousReference { field } => same_name(&field.name),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => same_name(name),
    }
}

fn same_name(column: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        "two columns of the result have the same name",
    )
    .with("column", column)
    .hint("name one of them with `AS`")
}

fn column_hint(column: &Column, valid: &[Column]) -> String {
    let relation = column.relation.as_ref();
    let of_relation = valid.iter().filter(|it| it.relation.as_ref() == relation);
    let of_relation: Vec<_> = of_relation.collect();
    let candidates = match (relation, of_relation.is_empty()) {
        (Some(_), false) => of_relation,
        _ => valid.iter().collect(),
    };
    let mut names = BTreeSet::new();
    names.extend(candidates.iter().map(|column| column.name.as_str()));
    let near = suggest::nearest(&column.name, names.iter().copied(), SHOWN);
    if let Some(hint) = suggest::did_you_mean(&near) {
        return hint;
    }
    let listed: Vec<_> = names.iter().copied().take(LISTED).collect();
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more; DESCRIBE layer.table lists those of a table"),
    };
    match listed.as_slice() {
        [] => "the query has no table with columns here".to_owned(),
        names => format!("the columns here are {}{more}", names.join(", ")),
    }
}
