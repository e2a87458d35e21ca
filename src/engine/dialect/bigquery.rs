//! Google BigQuery.

use datafusion::sql::sqlparser::ast::{Function, FunctionArgumentClause, FunctionArguments};

use super::rules::FunctionRule::{
    ApproximatePercentile, Compute, ComputeCall, Keep, Rename, Template,
};
use super::rules::{
    Construct, DialectRules, NestedRules, StringEscape, TypeNames, concat, skip_nulls,
};
use crate::schema::ddl::is_reserved_word;

pub(super) static RULES: DialectRules = DialectRules {
    types: TypeNames {
        varchar: "STRING",
        bigint: "INT64",
        integer: "INT64",
        double: "FLOAT64",
        boolean: "BOOL",
        timestamp: "TIMESTAMP",
    },
    functions: &[
        ("array_agg", ComputeCall(ordered_list)),
        ("array_length", Keep),
        ("array_to_string", Keep),
        ("bool_and", Rename("LOGICAL_AND")),
        ("bool_or", Rename("LOGICAL_OR")),
        ("concat", Compute(concat)),
        ("concat_ws", Compute(concat_ws)),
        ("contains", Template("(STRPOS({1}, {2}) > 0)")),
        ("date_trunc", Compute(date_trunc)),
        ("ends_with", Template("ENDS_WITH({1}, {2})")),
        ("generate_series", Rename("GENERATE_ARRAY")),
        (
            "greatest",
            Compute(|arguments| skip_nulls("greatest", arguments)),
        ),
        ("least", Compute(|arguments| skip_nulls("least", arguments))),
        ("levenshtein", Rename("EDIT_DISTANCE")),
        ("median", ApproximatePercentile(approximate_quantile)),
        (
            "percentile_cont",
            ApproximatePercentile(approximate_quantile),
        ),
        ("regexp_extract_all", Compute(regexp_extract_all)),
        ("regexp_like", Template("REGEXP_CONTAINS({1}, {2})")),
        ("regexp_replace", Template("REGEXP_REPLACE({1}, {2}, {3})")),
        ("right", Keep),
        ("split_part", Compute(split_part)),
        ("starts_with", Template("STARTS_WITH({1}, {2})")),
        ("string_agg", Keep),
        ("string_to_array", Rename("SPLIT")),
        ("strpos", Keep),
        ("trunc", Keep),
        ("unnest", Keep),
    ],
    epoch: Some("(UNIX_MICROS({1}) / 1000000.0)"),
    decimal: None,
    interval: "INTERVAL {1} {2}",
    seconds: Some("MAKE_INTERVAL(second => CAST({1} AS INT64))"),
    nested: Some(NestedRules {
        field: "{1}.\"{2}\"",
        element: "{1}[SAFE_ORDINAL({2})]",
        list: "[{1}]",
        unnest_in_from: Some("UNNEST({1}) AS {2}"),
    }),
    identifier_quote: '`',
    is_reserved: is_reserved_word,
    string_escape: StringEscape::Backslash,
    constructs: &[
        Construct::DistinctFrom,
        Construct::Qualify,
        Construct::SafeCast,
    ],
    sorts_nulls_as_largest: false,
};

fn date_trunc(arguments: &[String]) -> Option<String> {
    let [unit, of, ..] = arguments else {
        return None;
    };
    let unit = match unit.trim_matches('\'') {
        "week" => "ISOWEEK".to_owned(),
        unit if unit.chars().all(|c| c.is_ascii_alphabetic()) => unit.to_uppercase(),
        _ => return None,
    };
    let is_date = of.starts_with("CAST(") && of.to_uppercase().ends_with("AS DATE)");
    let name = match is_date {
        true => "DATE_TRUNC",
        false => "TIMESTAMP_TRUNC",
    };
    Some(format!("{name}({of}, {unit})"))
}

fn split_part(arguments: &[String]) -> Option<String> {
    let [of, by, position] = arguments else {
        return None;
    };
    let offset = position.parse::<u32>().ok()?.saturating_sub(1);
    Some(format!(
        "coalesce(SPLIT({of}, {by})[SAFE_OFFSET({offset})], '')"
    ))
}

fn approximate_quantile(_: &Function, expression: &str, fraction: &str) -> Option<String> {
    let quantile = fraction.parse::<f64>().ok()? * 1000.0;
    Some(format!(
        "APPROX_QUANTILES({expression}, 1000)[OFFSET({quantile:.0})]"
    ))
}

/// Translate `concat_ws(separator, a, b)`, which skips nulls.
fn concat_ws(arguments: &[String]) -> Option<String> {
    let (separator, parts) = arguments.split_first()?;
    Some(format!(
        "ARRAY_TO_STRING([{}], {separator})",
        parts.join(", ")
    ))
}

/// Translate `regexp_extract_all`. A pattern of BigQuery has at most one group, and the function returns this group.
fn regexp_extract_all(arguments: &[String]) -> Option<String> {
    let [of, pattern, group] = arguments else {
        return None;
    };
    let is_literal = pattern.starts_with('\'');
    let groups = capturing_groups(pattern).to_string();
    (is_literal && *group == groups).then(|| format!("REGEXP_EXTRACT_ALL({of}, {pattern})"))
}

/// Count the capturing groups of a pattern.
fn capturing_groups(pattern: &str) -> usize {
    let mut groups = 0;
    let mut is_class = false;
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '[' => is_class = true,
            ']' => is_class = false,
            '(' if !is_class && characters.peek() != Some(&'?') => groups += 1,
            _ => {}
        }
    }
    groups
}

/// Translate `array_agg(x ORDER BY a) FILTER (…)`. Nulls are ignored because the translated filter adds them; therefore the
/// filter must exclude nulls of `x`.
fn ordered_list(function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let element = list.args.first()?;
    let element = match &function.filter {
        Some(filter) => format!("CASE WHEN {filter} THEN {element} END IGNORE NULLS"),
        None => element.to_string(),
    };
    let distinct = list.duplicate_treatment.map(|it| format!("{it} "));
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(by) => Some(by),
        _ => None,
    })?;
    let keys = order.iter().map(|by| {
        let is_descending = by.options.asc == Some(false);
        let is_null_first = by.options.nulls_first.unwrap_or(is_descending);
        let direction = if is_descending { " DESC" } else { "" };
        // BigQuery sorts nulls as the smallest values. Another place of nulls needs a sort key of its own.
        match is_null_first == is_descending {
            true if is_null_first => format!("{0} IS NOT NULL, {0}{direction}", by.expr),
            true => format!("{0} IS NULL, {0}{direction}", by.expr),
            false => format!("{}{direction}", by.expr),
        }
    });
    let keys = keys.collect::<Vec<_>>().join(", ");
    Some(format!(
        "ARRAY_AGG({}{element} ORDER BY {keys})",
        distinct.unwrap_or_default()
    ))
}
