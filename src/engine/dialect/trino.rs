//! Trino, and so Amazon Athena.

use datafusion::sql::sqlparser::ast::Function;

use super::rules::FunctionRule::{ApproximatePercentile, Compute, Keep, ListAgg, Template};
use super::rules::{
    Construct, DialectRules, StringEscape, TypeNames, concat, regexp_replace_with_dollar,
    skip_nulls,
};

pub(super) static RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "VARCHAR",
        bigint: "BIGINT",
        integer: "INTEGER",
        double: "DOUBLE",
        boolean: "BOOLEAN",
        timestamp: "TIMESTAMP WITH TIME ZONE",
    },
    functions: &[
        ("bool_and", Keep),
        ("bool_or", Keep),
        ("concat", Compute(concat)),
        ("contains", Template("(STRPOS({1}, {2}) > 0)")),
        ("date_trunc", Keep),
        (
            "ends_with",
            Template("(STRPOS(REVERSE({1}), REVERSE({2})) = 1)"),
        ),
        (
            "greatest",
            Compute(|arguments| skip_nulls("greatest", arguments)),
        ),
        ("least", Compute(|arguments| skip_nulls("least", arguments))),
        ("median", ApproximatePercentile(approximate_percentile)),
        (
            "percentile_cont",
            ApproximatePercentile(approximate_percentile),
        ),
        ("regexp_like", Keep),
        (
            "regexp_replace",
            Compute(|arguments| {
                regexp_replace_with_dollar("REGEXP_REPLACE({1}, {2}, {3})", arguments)
            }),
        ),
        ("split_part", Keep),
        ("starts_with", Template("STARTS_WITH({1}, {2})")),
        ("string_agg", ListAgg),
        ("strpos", Keep),
    ],
    epoch: Some("TO_UNIXTIME({1})"),
    interval: "INTERVAL '{1}' {2}",
    identifier_quote: '"',
    string_escape: StringEscape::Standard,
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::Filter,
        Construct::ImplicitDistinct,
        Construct::Values,
    ],
    sorts_nulls_as_largest: false,
};

fn approximate_percentile(call: &Function, expression: &str, fraction: &str) -> Option<String> {
    fraction.parse::<f64>().ok()?;
    let filter = call.filter.as_ref();
    let filter = filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {filter})"));
    Some(format!(
        "APPROX_PERCENTILE({expression}, {fraction}){filter}"
    ))
}
