//! Snowflake.

use super::rules::FunctionRule::{Compute, Keep, ListAgg, Rename, Template};
use super::rules::{Construct, DialectRules, StringEscape, TypeNames, concat};
use crate::schema::ddl::is_reserved_in_snowflake;

pub(super) static RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "VARCHAR",
        bigint: "BIGINT",
        integer: "INTEGER",
        double: "DOUBLE",
        boolean: "BOOLEAN",
        timestamp: "TIMESTAMP_TZ",
    },
    functions: &[
        ("bool_and", Rename("BOOLAND_AGG")),
        ("bool_or", Rename("BOOLOR_AGG")),
        ("concat", Compute(concat)),
        ("contains", Template("CONTAINS({1}, {2})")),
        ("date_trunc", Keep),
        ("ends_with", Template("ENDSWITH({1}, {2})")),
        ("greatest", Rename("GREATEST_IGNORE_NULLS")),
        ("least", Rename("LEAST_IGNORE_NULLS")),
        ("levenshtein", Rename("EDITDISTANCE")),
        ("median", Keep),
        ("percentile_cont", Keep),
        // REGEXP_LIKE matches the whole text there.
        ("regexp_like", Template("(REGEXP_INSTR({1}, {2}) > 0)")),
        ("regexp_replace", Template("REGEXP_REPLACE({1}, {2}, {3})")),
        ("right", Keep),
        ("split_part", Keep),
        ("starts_with", Template("STARTSWITH({1}, {2})")),
        ("string_agg", ListAgg),
        ("strpos", Template("POSITION({2} IN {1})")),
        ("trunc", Keep),
    ],
    epoch: Some("(DATE_PART(EPOCH_MICROSECOND, {1}) / 1000000.0)"),
    decimal: None,
    interval: "INTERVAL '{1} {2}'",
    seconds: None,
    // Loaded lists and structs are untyped.
    nested: None,
    identifier_quote: '"',
    is_reserved: is_reserved_in_snowflake,
    string_escape: StringEscape::DoubledBackslash,
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::IgnoreNullsOutside,
        Construct::ImplicitDistinct,
        Construct::Qualify,
        Construct::TryCast,
        Construct::Values,
    ],
    sorts_nulls_as_largest: true,
};
