//! Which tables a SQL text reads: the edges of the step graph are found, not declared.

use std::fmt;

use datafusion::common::TableReference;
use datafusion::execution::SessionState;

use super::select::parse;
use crate::error::{Error, ErrorKind, OrError, Result};

/// `layer.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub layer: String,
    pub table: String,
}

impl TableName {
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

/// Functions that stand where a table does; the parser reports them as bare names.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

/// The two-part names in `sql`, sorted.
///
/// # Errors
/// [`ErrorKind::Configuration`]: not one SELECT that reads, a bare name that is neither a CTE nor a table function (a misspelt
/// CTE would otherwise be looked for on the lake), or a name of three parts.
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
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "not a table of the form `layer.table`",
                )
                .with("name", other)
                .hint("name the layer, or define the CTE"));
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
    fn two_part_names_are_edges_and_ctes_are_not() {
        let sql = "WITH t AS (SELECT * FROM domain.repos) SELECT * FROM t JOIN bitbucket.commits c ON true \
                   WHERE EXISTS (SELECT 1 FROM config.rules) AND 1 IN (SELECT * FROM generate_series(1, 2))";
        assert_eq!(
            found(sql).unwrap(),
            ["bitbucket.commits", "config.rules", "domain.repos"]
        );
    }

    #[test]
    fn a_bare_name_that_is_no_cte_is_an_error() {
        let error = found("SELECT * FROM repos").unwrap_err().to_string();
        assert!(error.contains("name=repos"), "{error}");
        assert!(found("SELECT * FROM a.b.c").is_err());
    }

    #[test]
    fn only_one_select_is_taken() {
        assert!(found("DROP TABLE domain.repos").is_err());
        assert!(found("SELECT 1; SELECT 2").is_err());
        assert!(found("").is_err());
    }
}
