//! Finds the tables that a query reads, from which the order of steps is derived.

use std::fmt;

use datafusion::common::TableReference;
use datafusion::execution::SessionState;

use super::select::parse;
use super::unknown_names::qualified_names;
use crate::error::{Error, ErrorKind, OrError, Result};

/// A qualified table name, `layer.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The layer, which is also the SQL schema.
    pub layer: String,
    /// The table within the layer.
    pub table: String,
}

impl TableName {
    /// Create the name `layer.table`.
    pub fn new(layer: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            layer: layer.into(),
            table: table.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.table)
    }
}

/// Table functions, which the parser reports as unqualified table names.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

/// Return the qualified tables that `sql` reads, sorted and without duplicates.
///
/// # Errors
/// [`ErrorKind::Configuration`]: the text is not one SELECT, or it has a table name of three parts, or an unqualified
/// name that is neither a CTE nor a table function (a misspelt CTE).
pub fn references(state: &SessionState, sql: &str) -> Result<Vec<TableName>> {
    let statement = parse(state, sql)?;
    let found = state.resolve_table_references(&statement).or_error(
        ErrorKind::Configuration,
        "cannot resolve the tables of the SQL",
    )?;
    let mut names = Vec::new();
    for reference in found {
        match reference {
            TableReference::Partial { schema, table } => {
                names.push(TableName::new(schema.as_ref(), table.as_ref()));
            }
            TableReference::Bare { table } if TABLE_FUNCTIONS.contains(&table.as_ref()) => {}
            other => {
                let near = qualified_names(state, &other.to_string());
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "not a table of the form `layer.table`",
                )
                .with("name", other)
                .hint(near.unwrap_or_else(|| "name the layer, or define the CTE".to_owned())));
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    fn found(sql: &str) -> Result<Vec<String>> {
        let names = references(&SessionContext::new().state(), sql)?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn qualified_tables_are_found_and_ctes_are_not() {
        let sql = "WITH t AS (SELECT * FROM domain.repos) SELECT * FROM t JOIN bitbucket.commits c ON true \
                   WHERE EXISTS (SELECT 1 FROM config.rules) AND 1 IN (SELECT * FROM generate_series(1, 2))";
        assert_eq!(
            found(sql).unwrap(),
            ["bitbucket.commits", "config.rules", "domain.repos"]
        );
    }

    #[test]
    fn an_unqualified_name_that_is_not_a_cte_is_an_error() {
        let error = found("SELECT * FROM repos").unwrap_err().to_string();
        assert!(error.contains("name=repos"), "{error}");
        assert!(found("SELECT * FROM a.b.c").is_err());
    }

    #[test]
    fn anything_but_one_select_is_an_error() {
        assert!(found("DROP TABLE domain.repos").is_err());
        assert!(found("SELECT 1; SELECT 2").is_err());
        assert!(found("").is_err());
    }
}
