//! Schemas, tables with descriptions and keys, and the columns that a later contract added.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;

use super::words::Words;
use super::{FILE_COLUMN, FILE_DESCRIPTION, Script, Table, Target};
use crate::error::Result;
use crate::schema::{Column, Contract};

/// What must be there before rows can be loaded.
pub(super) fn statements(
    script: &Script<'_>,
    words: &Words<'_>,
    tables: &[&Table<'_>],
) -> Result<Vec<String>> {
    let created: Vec<_> = tables.iter().filter(|it| it.loaded.is_none()).collect();
    let layers: BTreeSet<_> = created.iter().map(|it| &it.contract.layer).collect();
    let mut statements: Vec<_> = layers
        .iter()
        .map(|layer| format!("CREATE SCHEMA IF NOT EXISTS {}", words.schema(layer)))
        .collect();
    let mut groups = Vec::new();
    for table in created {
        let mut own = vec![create_table(words, table.contract)?];
        own.extend(comments(words, table.contract));
        groups.push(own);
    }
    for table in tables {
        for column in table.added_columns() {
            groups.push(add_column(words, table.contract, column)?);
        }
    }
    for own in groups {
        match script.target {
            // In one piece: each costs a round trip.
            Target::Postgres => statements.push(own.join(";\n")),
            _ => statements.extend(own),
        }
    }
    Ok(statements)
}

fn create_table(words: &Words<'_>, contract: &Contract) -> Result<String> {
    let file = format!(
        "{FILE_COLUMN} {} NOT NULL{}",
        words.type_of(&DataType::Utf8)?,
        comment(words, FILE_DESCRIPTION)
    );
    let columns = contract.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        Ok(format!(
            "{} {}{null}{}",
            words.name(&column.name),
            words.type_of(&column.data_type)?,
            comment(words, &description(column))
        ))
    });
    let mut lines = vec![file];
    lines.extend(columns.collect::<Result<Vec<_>>>()?);
    lines.extend(key(words, contract));
    let after = match words.target {
        Target::Snowflake => format!(" COMMENT = {}", words.text(&contract.description)),
        Target::BigQuery => comment(words, &contract.description),
        Target::Databricks => format!(" USING DELTA{}", comment(words, &contract.description)),
        _ => String::new(),
    };
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    {}\n){after}",
        words.table(&contract.layer, &contract.table),
        lines.join(",\n    ")
    ))
}

/// The key, which only Postgres enforces. DuckDB's would hold an index in memory and refuse a row that is deleted and
/// inserted again in one transaction.
fn key(words: &Words<'_>, contract: &Contract) -> Option<String> {
    let columns: Vec<_> = contract
        .primary_key
        .iter()
        .map(|column| words.name(column))
        .collect();
    if columns.is_empty() {
        return None;
    }
    let columns = columns.join(", ");
    match words.target {
        Target::DuckDb => None,
        Target::BigQuery => Some(format!("PRIMARY KEY ({columns}) NOT ENFORCED")),
        _ => Some(format!("PRIMARY KEY ({columns})")),
    }
}

/// A description as part of a definition, in the targets that have it there.
fn comment(words: &Words<'_>, description: &str) -> String {
    match words.target {
        Target::Snowflake | Target::Databricks => format!(" COMMENT {}", words.text(description)),
        Target::BigQuery => format!(" OPTIONS (description = {})", words.text(description)),
        _ => String::new(),
    }
}

fn comments_apart(target: Target) -> bool {
    matches!(target, Target::Redshift | Target::DuckDb | Target::Postgres)
}

/// The descriptions as statements of their own, in the other targets.
fn comments(words: &Words<'_>, contract: &Contract) -> Vec<String> {
    if !comments_apart(words.target) {
        return Vec::new();
    }
    let table = words.table(&contract.layer, &contract.table);
    let columns = contract
        .columns
        .iter()
        .map(|column| (column.name.as_str(), description(column)));
    let columns = columns.chain([(FILE_COLUMN, FILE_DESCRIPTION.to_owned())]);
    let columns = columns.map(|(name, description)| {
        format!(
            "COMMENT ON COLUMN {table}.{} IS {}",
            words.name(name),
            words.text(&description)
        )
    });
    let own = format!(
        "COMMENT ON TABLE {table} IS {}",
        words.text(&contract.description)
    );
    std::iter::once(own).chain(columns).collect()
}

fn add_column(words: &Words<'_>, contract: &Contract, column: &Column) -> Result<Vec<String>> {
    let table = words.table(&contract.layer, &contract.table);
    let name = words.name(&column.name);
    let data_type = words.type_of(&column.data_type)?;
    let description = description(column);
    let definition = format!("{name} {data_type}{}", comment(words, &description));
    let add = match words.target {
        // Neither takes IF NOT EXISTS; Redshift's is part of the transaction.
        Target::Redshift => format!("ADD COLUMN {definition}"),
        Target::Databricks => format!("ADD COLUMNS ({definition})"),
        _ => format!("ADD COLUMN IF NOT EXISTS {definition}"),
    };
    let mut statements = vec![format!("ALTER TABLE {table} {add}")];
    if comments_apart(words.target) {
        let text = words.text(&description);
        statements.push(format!("COMMENT ON COLUMN {table}.{name} IS {text}"));
    }
    Ok(statements)
}

/// What the data dictionary says of a column.
pub(super) fn description(column: &Column) -> String {
    let unit = column.unit.iter().map(|unit| format!(" [{unit}]"));
    column.description.clone() + &unit.collect::<String>()
}
