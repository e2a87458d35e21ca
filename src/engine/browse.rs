//! Statements that ask for the names of tables and columns: `SHOW TABLES` and `DESCRIBE`.

use datafusion::sql::sqlparser::ast::{ObjectName, ShowStatementOptions, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::select::check_depth;
use crate::error::{Error, ErrorKind, Result};

/// A question about names instead of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Browse {
    /// `SHOW TABLES [FROM layer]`.
    Tables(Option<String>),
    /// `DESCRIBE layer.table` or `SHOW COLUMNS FROM layer.table`.
    Columns(String),
}

impl Browse {
    /// Return the question that `sql` asks; `None` if it is another statement, or none at all.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: a clause that is not supported.
    pub fn parse(sql: &str) -> Result<Option<Self>> {
        check_depth(sql)?;
        let Ok(statements) = Parser::parse_sql(&GenericDialect {}, sql) else {
            return Ok(None);
        };
        let [statement] = statements.as_slice() else {
            return Ok(None);
        };
        match statement {
            Statement::ShowTables { show_options, .. } => {
                Ok(Some(Self::Tables(place(show_options)?)))
            }
            Statement::ShowColumns { show_options, .. } => match place(show_options)? {
                Some(table) => Ok(Some(Self::Columns(table))),
                None => Err(unsupported()),
            },
            Statement::ExplainTable { table_name, .. } => {
                Ok(Some(Self::Columns(dotted(table_name))))
            }
            _ => Ok(None),
        }
    }
}

/// Return the name after FROM or IN.
fn place(options: &ShowStatementOptions) -> Result<Option<String>> {
    if options.filter_position.is_some() || options.limit.is_some() {
        return Err(unsupported());
    }
    let named = options.show_in.as_ref();
    Ok(named
        .and_then(|place| place.parent_name.as_ref())
        .map(dotted))
}

/// Return a name without its quotes.
fn dotted(name: &ObjectName) -> String {
    let parts = name.0.iter();
    let parts = parts.map(|part| {
        part.as_ident()
            .map_or_else(|| part.to_string(), |it| it.value.clone())
    });
    parts.collect::<Vec<_>>().join(".")
}

fn unsupported() -> Error {
    Error::new(
        ErrorKind::Usage,
        "the statement has a clause that is not supported",
    )
    .hint("write SHOW TABLES [FROM layer], SHOW COLUMNS FROM layer.table, or DESCRIBE layer.table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_columns_can_be_asked_for() {
        let parsed = |sql: &str| Browse::parse(sql).unwrap();
        let columns = || Some(Browse::Columns("domain.repos".to_owned()));
        assert_eq!(parsed("show tables"), Some(Browse::Tables(None)));
        assert_eq!(
            parsed("SHOW TABLES FROM domain;"),
            Some(Browse::Tables(Some("domain".to_owned())))
        );
        assert_eq!(parsed("DESCRIBE domain.repos"), columns());
        assert_eq!(parsed("DESC domain.\"repos\""), columns());
        assert_eq!(parsed("SHOW COLUMNS FROM domain.repos"), columns());
        for other in [
            "SELECT 1",
            "SELECT 1; SHOW TABLES",
            "EXPLAIN SELECT 1",
            "",
            "DROP TABLE x",
            "no sql",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert!(Browse::parse("SHOW TABLES LIKE 'a%'").is_err());
    }
}
