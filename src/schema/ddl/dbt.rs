//! dbt's `sources.yml`: one source per layer, with descriptions, types, and the keys as tests.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::create::description;
use super::script::{DdlScript, DdlTable};
use super::syntax::SqlSyntax;
use crate::schema::Column;

/// The table (layer, name, column) to which each run writes its time, which shows the age of the loaded data.
const FRESHNESS: (&str, &str, &str) = ("metrics", "history", "recorded_at");

/// Write the file.
pub(super) fn sources(script: &DdlScript<'_>, syntax: &SqlSyntax<'_>) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for line in &script.title {
        let _ = writeln!(text, "# {line}");
    }
    text.push_str(
        "# For dbt 1.10.5 or later, with the package dbt_utils.\nversion: 2\n\nsources:\n",
    );
    let layers: BTreeSet<_> = script.tables.iter().map(|it| &it.contract.layer).collect();
    for layer in layers {
        let _ = write!(
            text,
            "  - name: {}\n    schema: {}\n    tables:\n",
            yaml_text(layer),
            yaml_text(&format!("{}{layer}", script.schema_prefix))
        );
        let tables = script
            .tables
            .iter()
            .filter(|it| it.contract.layer == *layer);
        for table in tables {
            text.push_str(&source_table(syntax, table));
        }
    }
    text
}

fn source_table(syntax: &SqlSyntax<'_>, table: &DdlTable<'_>) -> String {
    let contract = table.contract;
    let mut text = format!(
        "      - name: {}\n        description: {}\n",
        yaml_text(&contract.table),
        yaml_text(&contract.description)
    );
    let (layer, name, column) = FRESHNESS;
    if (layer, name) == (contract.layer.as_str(), contract.table.as_str()) {
        let _ = write!(
            text,
            "        config:\n          loaded_at_field: {column}\n          freshness:\n            \
             warn_after: {{count: 36, period: hour}}\n"
        );
    }
    if contract.primary_key.len() > 1 {
        let key: Vec<_> = contract
            .primary_key
            .iter()
            .map(|name| {
                if syntax.needs_quotes(name) {
                    yaml_text(&format!("{{{{ adapter.quote('{name}') }}}}"))
                } else {
                    yaml_text(name)
                }
            })
            .collect();
        let _ = write!(
            text,
            "        data_tests:\n          - dbt_utils.unique_combination_of_columns:\n              arguments:\n                \
             combination_of_columns: [{}]\n",
            key.join(", ")
        );
    }
    text.push_str("        columns:\n");
    for column in &contract.columns {
        let is_key = contract.primary_key == [column.name.as_str()];
        text.push_str(&source_column(syntax, column, is_key));
    }
    text
}

fn source_column(syntax: &SqlSyntax<'_>, column: &Column, is_key: bool) -> String {
    let tests = match (is_key, column.nullable) {
        (true, _) => "            data_tests: [unique, not_null]\n",
        (false, false) => "            data_tests: [not_null]\n",
        (false, true) => "",
    };
    let quote = if syntax.needs_quotes(&column.name) {
        "            quote: true\n"
    } else {
        ""
    };
    format!(
        "          - name: {}\n            description: {}\n            data_type: {}\n{quote}{tests}",
        yaml_text(&column.name),
        yaml_text(&description(column)),
        yaml_text(column.type_name().trim_end_matches(" (UTC)"))
    )
}

/// Write a text in YAML, of which JSON is a subset.
fn yaml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
