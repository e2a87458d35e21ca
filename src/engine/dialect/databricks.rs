//! Databricks SQL.

use super::rules::FunctionRule::{Compute, Keep, ListAgg, Template};
use super::rules::{
    Construct, DialectRules, StringEscape, TypeNames, concat, regexp_replace_with_dollar,
};

pub(super) static RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "STRING",
        bigint: "BIGINT",
        integer: "INT",
        double: "DOUBLE",
        boolean: "BOOLEAN",
        timestamp: "TIMESTAMP",
    },
    functions: &[
        ("bool_and", Keep),
        ("bool_or", Keep),
        ("concat", Compute(concat)),
        ("contains", Template("CONTAINS({1}, {2})")),
        ("date_trunc", Keep),
        ("ends_with", Template("ENDSWITH({1}, {2})")),
        ("greatest", Keep),
        ("least", Keep),
        ("median", Keep),
        ("percentile_cont", Keep),
        ("regexp_like", Keep),
        (
            "regexp_replace",
            Compute(|arguments| {
                regexp_replace_with_dollar("REGEXP_REPLACE({1}, {2}, {3})", arguments)
            }),
        ),
        ("split_part", Keep),
        ("starts_with", Template("STARTSWITH({1}, {2})")),
        ("string_agg", ListAgg),
        ("strpos", Template("POSITION({2} IN {1})")),
    ],
    epoch: Some("(UNIX_MICROS({1}) / 1000000.0)"),
    interval: "INTERVAL '{1}' {2}",
    identifier_quote: '`',
    string_escape: StringEscape::Backslash,
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::Filter,
        Construct::ImplicitDistinct,
        Construct::Qualify,
        Construct::Values,
    ],
    sorts_nulls_as_largest: false,
};
