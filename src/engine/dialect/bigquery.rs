//! Google BigQuery.

use datafusion::sql::sqlparser::ast::Function;

use super::rules::FunctionRule::{ApproximatePercentile, Compute, Keep, Rename, Template};
use super::rules::{Construct, DialectRules, StringEscape, TypeNames, concat, skip_nulls};

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
        ("bool_and", Rename("LOGICAL_AND")),
        ("bool_or", Rename("LOGICAL_OR")),
        ("concat", Compute(concat)),
        ("contains", Template("(STRPOS({1}, {2}) > 0)")),
        ("date_trunc", Compute(date_trunc)),
        ("ends_with", Template("ENDS_WITH({1}, {2})")),
        (
            "greatest",
            Compute(|arguments| skip_nulls("greatest", arguments)),
        ),
        ("least", Compute(|arguments| skip_nulls("least", arguments))),
        ("median", ApproximatePercentile(approximate_quantile)),
        (
            "percentile_cont",
            ApproximatePercentile(approximate_quantile),
        ),
        ("regexp_like", Template("REGEXP_CONTAINS({1}, {2})")),
        ("regexp_replace", Template("REGEXP_REPLACE({1}, {2}, {3})")),
        ("split_part", Compute(split_part)),
        ("starts_with", Template("STARTS_WITH({1}, {2})")),
        ("string_agg", Keep),
        ("strpos", Keep),
    ],
    epoch: Some("(UNIX_MICROS({1}) / 1000000.0)"),
    interval: "INTERVAL {1} {2}",
    identifier_quote: '`',
    string_escape: StringEscape::Backslash,
    constructs: &[Construct::DistinctFrom, Construct::Qualify],
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
