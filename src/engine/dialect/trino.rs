//! Trino and Amazon Athena.

use datafusion::sql::sqlparser::ast::Function;

use super::rules::FunctionRule::{ApproximatePercentile, Compute, Keep, ListAgg, Rename, Template};
use super::rules::{
    Construct, DialectRules, NestedRules, StringEscape, TypeNames, concat,
    regexp_replace_with_dollar, skip_nulls,
};
use crate::schema::ddl::is_reserved_word;

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
        ("array_agg", Keep),
        ("array_length", Rename("CARDINALITY")),
        ("array_to_string", Rename("ARRAY_JOIN")),
        ("bool_and", Keep),
        ("bool_or", Keep),
        ("concat", Compute(concat)),
        ("concat_ws", Keep),
        ("contains", Template("(STRPOS({1}, {2}) > 0)")),
        ("date_trunc", Keep),
        (
            "ends_with",
            Template("(STRPOS(REVERSE({1}), REVERSE({2})) = 1)"),
        ),
        ("generate_series", Rename("SEQUENCE")),
        (
            "greatest",
            Compute(|arguments| skip_nulls("greatest", arguments)),
        ),
        ("least", Compute(|arguments| skip_nulls("least", arguments))),
        ("levenshtein", Rename("LEVENSHTEIN_DISTANCE")),
        ("median", ApproximatePercentile(approximate_percentile)),
        (
            "percentile_cont",
            ApproximatePercentile(approximate_percentile),
        ),
        ("regexp_extract_all", Keep),
        ("regexp_like", Keep),
        (
            "regexp_replace",
            Compute(|arguments| {
                regexp_replace_with_dollar("REGEXP_REPLACE({1}, {2}, {3})", arguments)
            }),
        ),
        (
            "right",
            Template("SUBSTR({1}, GREATEST(LENGTH({1}) - {2} + 1, 1))"),
        ),
        ("split_part", Keep),
        ("starts_with", Template("STARTS_WITH({1}, {2})")),
        ("string_agg", ListAgg),
        ("string_to_array", Rename("SPLIT")),
        ("strpos", Keep),
        ("trunc", Rename("TRUNCATE")),
        ("unnest", Keep),
    ],
    epoch: Some("TO_UNIXTIME({1})"),
    decimal: Some("{1}E0"),
    interval: "INTERVAL '{1}' {2}",
    seconds: Some("(CAST({1} AS BIGINT) * INTERVAL '1' SECOND)"),
    nested: Some(NestedRules {
        field: "{1}.\"{2}\"",
        element: "ELEMENT_AT({1}, NULLIF({2}, 0))",
        list: "ARRAY[{1}]",
        // Without the wrapper, the fields of a row would become columns.
        unnest_in_from: Some("UNNEST(TRANSFORM({1}, entry -> ROW(entry))) AS unnested ({2})"),
    }),
    identifier_quote: '"',
    is_reserved: is_reserved_word,
    string_escape: StringEscape::Standard,
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::Filter,
        Construct::IgnoreNullsOutside,
        Construct::ImplicitDistinct,
        Construct::TryCast,
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
