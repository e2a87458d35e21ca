//! Bundled SQL uses only the subset that DataFusion and DuckDB share, so that any step can be checked on both.

use std::path::{Path, PathBuf};

use regex::Regex;

/// Constructs that one engine refuses or evaluates differently, and their replacements.
const FORBIDDEN: [(&str, &str); 19] = [
    (
        r"\b(get_field|struct_extract|named_struct|struct_pack)\s*\(",
        "source['key']",
    ),
    (
        r"\bLATERAL\b|\bCROSS JOIN unnest|,\s*unnest\(\w+\.",
        "unnest in a subquery's SELECT",
    ),
    (
        r"\b(first_value|arg_min|arg_max|min_by|max_by|first)\s*\(",
        "(array_agg(x ORDER BY k))[1], or QUALIFY",
    ),
    (
        r"\bIGNORE NULLS\s+OVER\b|\)\s*IGNORE NULLS",
        "IGNORE NULLS inside the parentheses",
    ),
    (
        r"\b(percentile_disc|count_if|approx_\w+)\s*\(",
        "median, percentile_cont, FILTER",
    ),
    (r"\bGROUP BY ALL\b", "the columns"),
    (
        r"\b(date_diff|datediff|date_bin|strftime|date_format|epoch_us)\s*\(",
        "extract(epoch FROM …), date_trunc",
    ),
    (
        r"\b(initcap|nvl|if|hex|encode|decode|md5|sha256)\s*\(",
        "CASE, coalesce",
    ),
    (
        r"\b(regexp_match|regexp_matches|regexp_extract|regexp_count|regexp_instr)\s*\(",
        "regexp_like, regexp_replace",
    ),
    (r"\s!?~\*?\s", "regexp_like"),
    (r"::", "cast(x AS type)"),
    (
        r"\bAT TIME ZONE\b|\bTABLESAMPLE\b|\bSEMI JOIN\b|\bASOF\b",
        "a window, or EXISTS",
    ),
    (r"\bMATERIALIZED\b|->", "a plain CTE"),
    (r"'(0001|9999)-\d\d-\d\d", "null instead of a sentinel time"),
    (
        r"(?i)\bAS\s+(at|end|order|group|table)\b",
        "a name that is no keyword",
    ),
    // Trino lacks the literal, BigQuery the flag, and every warehouse has another function for series of times.
    (r"\{'\w+'\s*:", "columns, or a CASE over VALUES"),
    (
        r"regexp_replace\(.*'g'\)",
        "a call for each end: '^…', then '…$'",
    ),
    (
        r"generate_series\(.*(?i:INTERVAL)",
        "a recursive CTE, or config.buckets",
    ),
    // DataFusion parses the following tokens as the right operand.
    (
        r"\bDISTINCT FROM\s+[\w.']+\s+(AND|OR)\b",
        "parentheses around it",
    ),
];

fn sql_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sql_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "sql") && !path.ends_with("duckdb.sql") {
            found.push(path);
        }
    }
}

#[test]
fn bundled_sql_uses_the_common_subset_of_both_engines() {
    let rules: Vec<_> = FORBIDDEN
        .iter()
        .map(|(pattern, instead)| (Regex::new(pattern).unwrap(), instead))
        .collect();
    let mut files = Vec::new();
    sql_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("queries"),
        &mut files,
    );
    let mut wrong = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for (n, line) in text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default();
            for (rule, instead) in &rules {
                if rule.is_match(code) {
                    wrong.push(format!(
                        "{}:{}: {}\n    write: {instead}",
                        file.display(),
                        n + 1,
                        code.trim()
                    ));
                }
            }
        }
    }
    assert!(
        files.len() > 30,
        "the queries are not where they are looked for"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_query_states_its_question_and_its_grain() {
    let mut files = Vec::new();
    sql_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("queries"),
        &mut files,
    );
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let header: Vec<_> = text.lines().take_while(|it| it.starts_with("--")).collect();
        let question = header.first().copied().unwrap_or_default();
        if !question.starts_with("-- ") || !question.ends_with('?') {
            wrong.push(format!("{}: question: {question}", file.display()));
        }
        let grains = header
            .iter()
            .filter_map(|line| line.strip_prefix("-- Grain:"))
            .filter(|grain| grain.trim().starts_with("one row"));
        if grains.count() != 1 {
            wrong.push(format!("{}: no `-- Grain: one row …`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
