//! dbt's `sources.yml`: one source per layer, with descriptions, types, and the keys as tests.

use std::collections::BTreeSet;

use super::create::description;
use super::syntax::SqlSyntax;
use super::{DdlScript, DdlTable};
use crate::schema::Column;

/// Written in each run, with the run's time: what tells how old a loaded lake is.
const HISTORY: (&str, &str, &str) = ("metrics", "history", "recorded_at");

pub(super) fn write(script: &DdlScript<'_>, syntax: &SqlSyntax<'_>) -> String {
    let mut text: String = script
        .title
        .iter()
        .map(|line| format!("# {line}\n"))
        .collect();
    text.push_str(
        "# For dbt 1.10.5 or later, with the package dbt_utils.\nversion: 2\n\nsources:\n",
    );
    let layers: BTreeSet<_> = script.tables.iter().map(|it| &it.contract.layer).collect();
    for layer in layers {
        text.push_str(&format!(
            "  - name: {}\n    schema: {}\n    tables:\n",
            quoted(layer),
            quoted(&format!("{}{layer}", script.schema_prefix))
        ));
        let tables = script
            .tables
            .iter()
            .filter(|it| it.contract.layer == *layer);
        for table in tables {
            text.push_str(&source(syntax, table));
        }
    }
    text
}

fn source(syntax: &SqlSyntax<'_>, table: &DdlTable<'_>) -> String {
    let contract = table.contract;
    let mut text = format!(
        "      - name: {}\n        description: {}\n",
        quoted(&contract.table),
        quoted(&contract.description)
    );
    let (layer, name, column) = HISTORY;
    if (layer, name) == (contract.layer.as_str(), contract.table.as_str()) {
        text.push_str(&format!(
            "        config:\n          loaded_at_field: {column}\n          freshness:\n            \
             warn_after: {{count: 36, period: hour}}\n"
        ));
    }
    if contract.primary_key.len() > 1 {
        let key: Vec<_> = contract
            .primary_key
            .iter()
            .map(|name| match syntax.needs_quotes(name) {
                true => quoted(&format!("{{{{ adapter.quote('{name}') }}}}")),
                false => quoted(name),
            })
            .collect();
        text.push_str(&format!(
            "        data_tests:\n          - dbt_utils.unique_combination_of_columns:\n              arguments:\n                \
             combination_of_columns: [{}]\n",
            key.join(", ")
        ));
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
    let quote = match syntax.needs_quotes(&column.name) {
        true => "            quote: true\n",
        false => "",
    };
    format!(
        "          - name: {}\n            description: {}\n            data_type: {}\n{quote}{tests}",
        quoted(&column.name),
        quoted(&description(column)),
        quoted(column.type_name().trim_end_matches(" (UTC)"))
    )
}

/// Text as YAML, which takes JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
