//! Translates a query of the portable SQL subset into the dialect of a warehouse.
//!
//! ```text
//! SQL + parameters ─▶ inline_params.rs   replaces parameters by literals, and folds the conditions on them
//!                  ─▶ wildcards.rs       replaces `*` by columns, if the dialect needs it
//!                  ─▶ rewrite.rs         translates functions, types and clauses (nested.rs, qualify.rs)
//!                  ─▶ quote.rs           translates quotes and escapes
//! ```
//!
//! `step.rs` does the same for a step, and returns a model with typed columns.
//!
//! `snowflake.rs`, `bigquery.rs` … hold the [rules](rules::DialectRules) of one dialect each. This is not a general
//! transpiler. It accepts the subset that the bundled queries use, and rejects any other construct by name.

mod bigquery;
mod databricks;
mod inline_params;
mod nested;
mod qualify;
mod quote;
mod redshift;
mod rewrite;
mod rules;
mod snowflake;
mod spark;
mod spark_lists;
mod step;
mod trino;
mod wildcards;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Select, SelectItem, Statement, VisitMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

pub use inline_params::inline_params;
pub(crate) use step::model_type;
pub use step::{StepTranslation, translate_step};
pub use wildcards::ColumnsOf;

use self::inline_params::ParamInliner;
use self::quote::requote;
use self::rewrite::DialectRewriter;
use self::rules::{Construct, DialectRules};
use self::wildcards::WildcardExpander;
use super::Param;
use super::select::check_depth;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::Contracts;

/// The engine that runs a translated query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// DuckDB, which runs the portable subset after the statements of `queries/duckdb.sql`.
    Duckdb,
    /// Snowflake.
    Snowflake,
    /// Google BigQuery.
    #[value(name = "bigquery")]
    BigQuery,
    /// Amazon Redshift.
    Redshift,
    /// Databricks SQL.
    Databricks,
    /// Trino and Amazon Athena.
    Trino,
    /// Apache Spark.
    Spark,
}

impl Dialect {
    /// Every dialect but DuckDB.
    pub const WAREHOUSES: [Self; 6] = [
        Self::Snowflake,
        Self::BigQuery,
        Self::Redshift,
        Self::Databricks,
        Self::Trino,
        Self::Spark,
    ];

    /// Return the name of the dialect on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duckdb => "duckdb",
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
            Self::Redshift => "redshift",
            Self::Databricks => "databricks",
            Self::Trino => "trino",
            Self::Spark => "spark",
        }
    }

    /// Return the rules of a translation; `None` for DuckDB, which needs none.
    fn rules(self) -> Option<&'static DialectRules> {
        match self {
            Self::Duckdb => None,
            Self::Snowflake => Some(&snowflake::RULES),
            Self::BigQuery => Some(&bigquery::RULES),
            Self::Redshift => Some(&redshift::RULES),
            Self::Databricks => Some(&databricks::RULES),
            Self::Trino => Some(&trino::RULES),
            Self::Spark => Some(&spark::RULES),
        }
    }
}

/// Statements that make DuckDB read the queries as DataFusion does.
pub(crate) const DUCKDB: &str = include_str!("../../../queries/duckdb.sql");

/// Translate `sql` into `dialect`, with the values of `params` as literals.
///
/// # Errors
/// [`ErrorKind::Usage`]: the text does not parse, or uses a construct that the dialect does not support.
pub fn translate(sql: &str, params: &[Param], dialect: Dialect) -> Result<String> {
    let Some(rules) = dialect.rules() else {
        return Ok(format!("{DUCKDB}\n{}", inline_params(sql, params)?));
    };
    let mut statement = parse_query(sql)?;
    to_result(statement.visit(&mut ParamInliner::new(params)))?;
    let Statement::Query(query) = &mut statement else {
        return Err(not_one_select());
    };
    let contracts = Contracts::bundled()?;
    let columns_of = |table: &super::TableName| {
        let contract = contracts.get(&table.layer, &table.table)?;
        let columns = contract.columns.iter().map(|column| column.name.clone());
        Some(columns.collect())
    };
    let is_needed = |select: &Select| needs_columns(select, rules);
    WildcardExpander::new(&columns_of, &is_needed, rules).expand(query);
    let notes = rewrite(query, rules, dialect)?;
    let mut text: String = header(sql).map(|line| format!("{line}\n")).collect();
    for note in notes {
        text += &format!("-- Note: {note}\n");
    }
    let body = requote(&format!("{statement:#}"), rules);
    Ok(format!("{text}{body};\n"))
}

/// Parse one SELECT of the portable subset.
fn parse_query(sql: &str) -> Result<Statement> {
    check_depth(sql)?;
    let statements = Parser::parse_sql(&GenericDialect {}, sql)
        .or_error(ErrorKind::Usage, "cannot parse the query")?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([statement @ Statement::Query(_)]) => Ok(statement),
        _ => Err(not_one_select()),
    }
}

fn not_one_select() -> Error {
    Error::new(ErrorKind::Usage, "the SQL is not one SELECT")
}

/// Rewrite a query by the rules, and return the differences that its reader must know.
fn rewrite(
    query: &mut Query,
    rules: &'static DialectRules,
    dialect: Dialect,
) -> Result<Vec<&'static str>> {
    let mut rewriter = DialectRewriter::new(rules);
    to_result(query.visit(&mut rewriter)).map_err(|error| error.with("dialect", dialect.name()))?;
    Ok(rewriter.notes().collect())
}

/// Return whether wildcards must be replaced by their columns: for `EXCLUDE`, and if `QUALIFY` becomes a subquery.
fn needs_columns(select: &Select, rules: &DialectRules) -> bool {
    let is_plain = |item: &SelectItem| match item {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            options.to_string().is_empty()
        }
        _ => true,
    };
    let is_replaced = select.qualify.is_some() && !rules.has(Construct::Qualify);
    is_replaced || !select.projection.iter().all(is_plain)
}

fn to_result(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Return the lines of the comment that `sql` starts with.
fn header(sql: &str) -> impl Iterator<Item = &str> {
    sql.lines().take_while(|line| line.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{bind_params, declared_params};

    /// Translate one expression.
    fn translated(expression: &str, dialect: Dialect) -> String {
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
    fn a_condition_on_a_null_parameter_is_removed() {
        let text = written(QUERY, &[], Dialect::Snowflake);
        assert!(!text.contains("WHERE"), "{text}");
        assert!(
            text.starts_with("-- How many?\n-- param: project"),
            "{text}"
        );
    }

    #[test]
    fn a_parameter_with_a_value_becomes_a_literal() {
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
    fn functions_and_types_are_translated() {
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
                "(UNIX_MICROS(a) / 1000000.0D)",
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
            assert_eq!(
                translated(expression, dialect),
                expected,
                "{}",
                dialect.name()
            );
        }
    }

    #[test]
    fn lists_and_structs_are_read_as_in_the_dialect() {
        for (expression, dialect, expected) in [
            ("t.a['b']['c']", Dialect::Spark, "t.a['b']['c']"),
            ("t.a['b']['c']", Dialect::Trino, "t.a.\"b\".\"c\""),
            ("t.a['b']['c']", Dialect::BigQuery, "t.a.`b`.`c`"),
            ("a[n]", Dialect::Spark, "GET(a, n - 1)"),
            ("a[n]", Dialect::Trino, "ELEMENT_AT(a, NULLIF(n, 0))"),
            ("['', a]", Dialect::Databricks, "ARRAY('', a)"),
            ("array_length(a)", Dialect::Trino, "CARDINALITY(a)"),
            ("a / 2.0", Dialect::Trino, "a / 2.0E0"),
            ("a / 2.0", Dialect::Spark, "a / 2.0D"),
            (
                "try_cast(a AS bigint)",
                Dialect::BigQuery,
                "SAFE_CAST(a AS INT64)",
            ),
        ] {
            assert_eq!(
                translated(expression, dialect),
                expected,
                "{}",
                dialect.name()
            );
        }
        let error = translate("SELECT a['b'] AS x FROM domain.t", &[], Dialect::Snowflake);
        assert!(error.unwrap_err().to_string().contains("a['b']"));
    }

    #[test]
    fn elements_are_joined_where_the_select_list_cannot_unnest() {
        let sql = "SELECT t.id, unnest(t.items) AS item FROM domain.t AS t";
        assert!(written(sql, &[], Dialect::Spark).contains("EXPLODE(t.items) AS item"));
        let text = written(sql, &[], Dialect::BigQuery);
        assert!(
            text.contains("CROSS JOIN UNNEST(t.items) AS item"),
            "{text}"
        );
    }

    #[test]
    fn qualify_becomes_a_subquery_where_the_dialect_lacks_it() {
        let sql = "WITH t AS (SELECT 1 AS a, 2 AS b) \
                   SELECT t.* EXCLUDE (a) FROM t QUALIFY row_number() OVER (ORDER BY a) = 1";
        let text = written(sql, &[], Dialect::Trino);
        assert!(
            !text.contains("QUALIFY") && !text.contains("EXCLUDE"),
            "{text}"
        );
        assert!(
            text.contains("t.b,") && text.contains("WHERE\n  qualified.is_kept"),
            "{text}"
        );
        let text = written(sql, &[], Dialect::Databricks);
        assert!(
            text.contains("QUALIFY") && !text.contains("EXCLUDE"),
            "{text}"
        );
    }

    #[test]
    fn an_ordered_list_of_spark_is_sorted_by_its_keys() {
        let text = translated("array_agg(a ORDER BY b DESC NULLS LAST)", Dialect::Spark);
        assert!(
            text.starts_with("TRANSFORM(ARRAY_SORT(COLLECT_LIST(NAMED_STRUCT('k0', b, "),
            "{text}"
        );
        assert!(text.contains("WHEN l['k0'] IS NULL THEN 1"), "{text}");
        assert!(
            text.contains("WHEN l['k0'] < r['k0'] THEN 1 ELSE -1"),
            "{text}"
        );
    }

    #[test]
    fn cte_column_lists_are_kept_except_in_bigquery() {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 AS i UNION ALL SELECT i + 1 AS i FROM n WHERE i < 3) SELECT i FROM n";
        assert!(written(sql, &[], Dialect::Redshift).contains("n (i) AS"));
        assert!(written(sql, &[], Dialect::BigQuery).contains("n AS"));
    }

    #[test]
    fn an_unknown_function_is_rejected_by_name() {
        let error =
            translate("SELECT frobnicate(a) FROM domain.t", &[], Dialect::Trino).unwrap_err();
        assert!(error.to_string().contains("frobnicate"), "{error}");
        assert!(error.to_string().contains("dialect=trino"), "{error}");
    }
}
