//! Amazon Redshift.

use super::rules::FunctionRule::{Compute, Keep, ListAgg, Template};
use super::rules::{
    Construct, DialectRules, StringEscape, TypeNames, concat, regexp_replace_with_dollar,
};
use crate::schema::ddl::is_reserved_word;

pub(super) static RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "VARCHAR(MAX)",
        bigint: "BIGINT",
        integer: "INTEGER",
        double: "DOUBLE PRECISION",
        boolean: "BOOLEAN",
        timestamp: "TIMESTAMPTZ",
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
        ("greatest", Keep),
        ("least", Keep),
        ("median", Keep),
        ("percentile_cont", Keep),
        (
            "regexp_like",
            Template("(REGEXP_INSTR({1}, {2}, 1, 1, 0, 'p') > 0)"),
        ),
        (
            "regexp_replace",
            Compute(|arguments| {
                regexp_replace_with_dollar("REGEXP_REPLACE({1}, {2}, {3}, 1, 'p')", arguments)
            }),
        ),
        ("split_part", Keep),
        ("starts_with", Template("(STRPOS({1}, {2}) = 1)")),
        ("string_agg", ListAgg),
        ("strpos", Keep),
    ],
    epoch: None,
    decimal: None,
    interval: "INTERVAL '{1} {2}'",
    seconds: None,
    // Loaded lists and structs are untyped.
    nested: None,
    identifier_quote: '"',
    is_reserved: is_reserved_word,
    string_escape: StringEscape::DoubledBackslash,
    constructs: &[
        Construct::CteColumns,
        Construct::IgnoreNullsOutside,
        Construct::ImplicitDistinct,
        Construct::Qualify,
        Construct::Values,
    ],
    sorts_nulls_as_largest: true,
};
