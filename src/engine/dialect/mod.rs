//! A bundled query as a warehouse writes it, ready to paste: its parameters' values put in, its functions respelt.
//!
//! ```text
//! SQL + values ─▶ values.rs (placeholders become literals, what they decide is folded away)
//!              ─▶ spelling.rs (each function and type in the dialect's words)
//!              ─▶ text under the query's own header
//! ```
//!
//! Not a general transpiler: it knows the portable subset that the bundled queries keep to, and refuses what it does
//! not know by name rather than print something that means something else.

mod spelling;
mod values;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Statement, VisitMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

pub use values::inline_params;

use super::Param;
use super::select::check_depth;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Where the text is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    Duckdb,
    Snowflake,
    #[value(name = "bigquery")]
    BigQuery,
    Redshift,
    Databricks,
    Trino,
}

impl Dialect {
    pub const WAREHOUSES: [Self; 5] = [
        Self::Snowflake,
        Self::BigQuery,
        Self::Redshift,
        Self::Databricks,
        Self::Trino,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Duckdb => "duckdb",
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
            Self::Redshift => "redshift",
            Self::Databricks => "databricks",
            Self::Trino => "trino",
        }
    }
}

/// What DuckDB needs before it reads the queries as DataFusion does.
const DUCKDB: &str = include_str!("../../../queries/duckdb.sql");

/// `sql` in `dialect`, with the values of `params` in it.
///
/// # Errors
/// [`ErrorKind::Usage`]: the text does not parse, or has something that the dialect has no words for.
pub fn translate(sql: &str, params: &[Param], dialect: Dialect) -> Result<String> {
    if dialect == Dialect::Duckdb {
        return Ok(format!("{DUCKDB}\n{}", inline_params(sql, params)?));
    }
    check_depth(sql)?;
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)
        .or_error(ErrorKind::Usage, "cannot parse the query")?;
    let [statement @ Statement::Query(_)] = statements.as_mut_slice() else {
        return Err(Error::new(ErrorKind::Usage, "the SQL is not one SELECT"));
    };
    stopped(statement.visit(&mut values::Values::of(params)))?;
    let mut spelling = spelling::Spelling::new(dialect);
    stopped(statement.visit(&mut spelling))
        .map_err(|error| error.with("dialect", dialect.name()))?;
    let mut text: String = header(sql).map(|line| format!("{line}\n")).collect();
    for note in spelling.notes() {
        text += &format!("-- Note: {note}\n");
    }
    let body = spelling::quoted(&format!("{statement:#}"), dialect);
    Ok(format!("{text}{body};\n"))
}

fn stopped(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The comment that the text begins with.
fn header(sql: &str) -> impl Iterator<Item = &str> {
    sql.lines().take_while(|line| line.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{bind_params, declared_params};

    /// The select list's first expression, as the dialect spells it.
    fn spelt(expression: &str, dialect: Dialect) -> String {
        let text = translate(
            &format!("SELECT {expression} AS x FROM domain.t"),
            &[],
            dialect,
        )
        .unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        let line = words.join(" ");
        let line = line.split_once("SELECT ").unwrap().1;
        line.split(" AS x FROM").next().unwrap().to_owned()
    }

    fn written(sql: &str, given: &[(&str, &str)], dialect: Dialect) -> String {
        let given: Vec<_> = given
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let params = bind_params(declared_params(sql).unwrap(), &given).unwrap();
        translate(sql, &params, dialect).unwrap()
    }

    const QUERY: &str = "-- How many?\n-- param: project varchar[] = null   which\n-- param: from timestamp = null   when\n\
        SELECT count(*) AS n FROM domain.t AS t\n\
        WHERE ($project IS NULL OR list_contains($project, t.project)) AND ($from IS NULL OR t.at_ >= $from)";

    #[test]
    fn a_parameter_without_value_leaves_no_trace() {
        let text = written(QUERY, &[], Dialect::Snowflake);
        assert!(!text.contains("WHERE"), "{text}");
        assert!(
            text.starts_with("-- How many?\n-- param: project"),
            "{text}"
        );
    }

    #[test]
    fn a_parameter_with_value_is_a_literal() {
        let given = [("project", "a,it's"), ("from", "2026-04-01T00:00:00Z")];
        let text = written(QUERY, &given, Dialect::BigQuery);
        assert!(
            text.contains("t.project IN ('a', 'it''s')")
                || text.contains(r"t.project IN ('a', 'it\'s')"),
            "{text}"
        );
        assert!(
            text.contains("t.at_ >= CAST('2026-04-01 00:00:00+00:00' AS TIMESTAMP)"),
            "{text}"
        );
    }

    #[test]
    fn functions_are_spelt_as_the_dialect_knows_them() {
        for (expression, dialect, expected) in [
            (
                "date_trunc('week', a)",
                Dialect::BigQuery,
                "TIMESTAMP_TRUNC(a, ISOWEEK)",
            ),
            (
                "count(*) FILTER (WHERE a)",
                Dialect::Redshift,
                "count(CASE WHEN a THEN 1 END)",
            ),
            (
                "sum(b) FILTER (WHERE a)",
                Dialect::Snowflake,
                "sum(CASE WHEN a THEN b END)",
            ),
            (
                "sum(b) FILTER (WHERE a)",
                Dialect::Trino,
                "sum(b) FILTER (WHERE a)",
            ),
            ("median(a)", Dialect::Trino, "APPROX_PERCENTILE(a, 0.5)"),
            (
                "percentile_cont(0.9) WITHIN GROUP (ORDER BY a)",
                Dialect::BigQuery,
                "APPROX_QUANTILES(a, 1000)[OFFSET(900)]",
            ),
            (
                "extract(epoch FROM a)",
                Dialect::Databricks,
                "(UNIX_MICROS(a) / 1000000.0)",
            ),
            (
                "regexp_like(a, '\\d')",
                Dialect::Snowflake,
                r"(REGEXP_INSTR(a, '\\d') > 0)",
            ),
            (
                "concat(a, 'x')",
                Dialect::Redshift,
                "(coalesce(a, '') || 'x')",
            ),
            (
                "a IS NOT DISTINCT FROM b",
                Dialect::Redshift,
                "(CASE WHEN a = b OR (a IS NULL AND b IS NULL) THEN TRUE ELSE FALSE END)",
            ),
            ("cast(a AS varchar)", Dialect::BigQuery, "CAST(a AS STRING)"),
            (
                "sum(a) AS \"b c\", b",
                Dialect::Databricks,
                "sum(a) AS `b c`, b",
            ),
        ] {
            assert_eq!(spelt(expression, dialect), expected, "{}", dialect.name());
        }
    }

    #[test]
    fn a_list_of_columns_is_kept_where_recursion_needs_it_and_left_out_in_bigquery() {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 AS i UNION ALL SELECT i + 1 AS i FROM n WHERE i < 3) SELECT i FROM n";
        assert!(written(sql, &[], Dialect::Redshift).contains("n (i) AS"));
        assert!(written(sql, &[], Dialect::BigQuery).contains("n AS"));
    }

    #[test]
    fn an_unknown_function_is_refused_by_name() {
        let error =
            translate("SELECT frobnicate(a) FROM domain.t", &[], Dialect::Trino).unwrap_err();
        assert!(error.to_string().contains("frobnicate"), "{error}");
        assert!(error.to_string().contains("dialect=trino"), "{error}");
    }
}
