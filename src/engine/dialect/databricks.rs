//! Databricks SQL, and the functions and nested values that it shares with Spark.

use datafusion::sql::sqlparser::ast::{Function, FunctionArguments};

use super::rules::FunctionRule::{self, Compute, ComputeCall, Keep, ListAgg, Rename, Template};
use super::rules::{
    Construct, DialectRules, NestedRules, StringEscape, TypeNames, concat,
    regexp_replace_with_dollar,
};
use super::spark_lists;
use crate::schema::ddl::is_reserved_word;

/// The functions of Spark SQL.
pub(super) const FUNCTIONS: &[(&str, FunctionRule)] = &[
    ("array_agg", ComputeCall(spark_lists::ordered_list)),
    ("array_length", Rename("ARRAY_SIZE")),
    ("array_to_string", Rename("ARRAY_JOIN")),
    ("bool_and", Keep),
    ("bool_or", Keep),
    ("concat", Compute(concat)),
    ("concat_ws", Keep),
    ("contains", Template("CONTAINS({1}, {2})")),
    ("date_trunc", Keep),
    ("ends_with", Template("ENDSWITH({1}, {2})")),
    ("generate_series", Template("SEQUENCE({1}, {2})")),
    ("greatest", Keep),
    ("least", Keep),
    ("levenshtein", Keep),
    ("median", Keep),
    ("percentile_cont", ComputeCall(percentile_cont)),
    (
        "regexp_extract_all",
        Template("REGEXP_EXTRACT_ALL({1}, {2}, CAST({3} AS INT))"),
    ),
    ("regexp_like", Keep),
    (
        "regexp_replace",
        Compute(|arguments| regexp_replace_with_dollar("REGEXP_REPLACE({1}, {2}, {3})", arguments)),
    ),
    ("right", Keep),
    ("split_part", Keep),
    ("starts_with", Template("STARTSWITH({1}, {2})")),
    ("string_agg", ListAgg),
    ("string_to_array", Template("SPLIT({1}, {2})")),
    ("strpos", Template("POSITION({2} IN {1})")),
    ("trunc", Template("(SIGN({1}) * FLOOR(ABS({1})))")),
    ("unnest", Rename("EXPLODE")),
];

/// The access to lists and structs in Spark SQL.
pub(super) const NESTED: NestedRules = NestedRules {
    field: "{1}['{2}']",
    element: "GET({1}, {2} - 1)",
    list: "ARRAY({1})",
    unnest_in_from: None,
};

pub(super) const RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "STRING",
        bigint: "BIGINT",
        integer: "INT",
        double: "DOUBLE",
        boolean: "BOOLEAN",
        timestamp: "TIMESTAMP",
    },
    functions: FUNCTIONS,
    epoch: Some("(UNIX_MICROS({1}) / 1000000.0D)"),
    decimal: Some("{1}D"),
    interval: "(INTERVAL '{1}' {2})",
    seconds: Some("MAKE_DT_INTERVAL(0, 0, 0, CAST({1} AS INT))"),
    nested: Some(NESTED),
    identifier_quote: '`',
    is_reserved: is_reserved_word,
    string_escape: StringEscape::Backslash,
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::Filter,
        Construct::IgnoreNullsOutside,
        Construct::ImplicitDistinct,
        Construct::Qualify,
        Construct::TryCast,
        Construct::Values,
    ],
    sorts_nulls_as_largest: false,
};

/// Translate `percentile_cont(0.9)`, whose fraction is a decimal.
fn percentile_cont(function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let fraction = list.args.first()?.to_string();
    let order = function.within_group.first()?;
    let filter = function.filter.as_ref();
    let filter = filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {filter})"));
    Some(format!(
        "percentile_cont({}) WITHIN GROUP (ORDER BY {order}){filter}",
        fraction.trim_end_matches('D')
    ))
}
