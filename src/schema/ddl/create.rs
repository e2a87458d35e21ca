//! Schemas, tables with descriptions and keys, and the columns that a later contract added.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;

use super::syntax::SqlSyntax;
use super::{DdlDialect, DdlScript, DdlTable, FILE_COLUMN, FILE_DESCRIPTION};
use crate::error::Result;
use crate::schema::{Column, Contract};

/// What must be there before rows can be loaded.
pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let created: Vec<_> = tables.iter().filter(|it| it.loaded.is_none()).collect();
    let layers: BTreeSet<_> = created.iter().map(|it| &it.contract.layer).collect();
    let mut statements: Vec<_> = layers
        .iter()
        .map(|layer| format!("CREATE SCHEMA IF NOT EXISTS {}", syntax.schema(layer)))
        .collect();
    let mut groups = Vec::new();
    for table in created {
        let mut own = vec![create_table(syntax, table.contract)?];
        own.extend(comments(syntax, table.contract));
        groups.push(own);
    }
    for table in tables {
        for column in table.added_columns() {
            groups.push(add_column(syntax, table.contract, column)?);
        }
    }
    for own in groups {
        match script.target {
            // In one piece: each costs a round trip.
            DdlDialect::Postgres => statements.push(own.join(";\n")),
            _ => statements.extend(own),
        }
    }
    Ok(statements)
}

fn create_table(syntax: &SqlSyntax<'_>, contract: &Contract) -> Result<String> {
    let file = format!(
        "{FILE_COLUMN} {} NOT NULL{}",
        syntax.type_of(&DataType::Utf8)?,
        comment(syntax, FILE_DESCRIPTION)
    );
    let columns = contract.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        Ok(format!(
            "{} {}{null}{}",
            syntax.name(&column.name),
            syntax.type_of(&column.data_type)?,
            comment(syntax, &description(column))
        ))
    });
    let mut lines = vec![file];
    lines.extend(columns.collect::<Result<Vec<_>>>()?);
    lines.extend(key(syntax, contract));
    let after = match syntax.target {
        DdlDialect::Snowflake => format!(" COMMENT = {}", syntax.text(&contract.description)),
        DdlDialect::BigQuery => comment(syntax, &contract.description),
        DdlDialect::Databricks => format!(" USING DELTA{}", comment(syntax, &contract.description)),
        _ => String::new(),
    };
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    {}\n){after}",
        syntax.table(&contract.layer, &contract.table),
        lines.join(",\n    ")
    ))
}

/// The key, which only Postgres enforces. DuckDB's would hold an index in memory and refuse a row that is deleted and
/// inserted again in one transaction.
fn key(syntax: &SqlSyntax<'_>, contract: &Contract) -> Option<String> {
    let columns: Vec<_> = contract
        .primary_key
        .iter()
        .map(|column| syntax.name(column))
        .collect();
    if columns.is_empty() {
        return None;
    }
    let columns = columns.join(", ");
    match syntax.target {
        DdlDialect::DuckDb => None,
        DdlDialect::BigQuery => Some(format!("PRIMARY KEY ({columns}) NOT ENFORCED")),
        _ => Some(format!("PRIMARY KEY ({columns})")),
    }
}

/// A description as part of a definition, in the targets that have it there.
fn comment(syntax: &SqlSyntax<'_>, description: &str) -> String {
    match syntax.target {
        DdlDialect::Snowflake | DdlDialect::Databricks => {
            format!(" COMMENT {}", syntax.text(description))
        }
        DdlDialect::BigQuery => format!(" OPTIONS (description = {})", syntax.text(description)),
        _ => String::new(),
    }
}

fn comments_apart(target: DdlDialect) -> bool {
    matches!(
        target,
        DdlDialect::Redshift | DdlDialect::DuckDb | DdlDialect::Postgres
    )
}

/// The descriptions as statements of their own, in the other targets.
fn comments(syntax: &SqlSyntax<'_>, contract: &Contract) -> Vec<String> {
    if !comments_apart(syntax.target) {
        return Vec::new();
    }
    let table = syntax.table(&contract.layer, &contract.table);
    let columns = contract
        .columns
        .iter()
        .map(|column| (column.name.as_str(), description(column)));
    let columns = columns.chain([(FILE_COLUMN, FILE_DESCRIPTION.to_owned())]);
    let columns = columns.map(|(name, description)| {
        format!(
            "COMMENT ON COLUMN {table}.{} IS {}",
            syntax.name(name),
            syntax.text(&description)
        )
    });
    let own = format!(
        "COMMENT ON TABLE {table} IS {}",
        syntax.text(&contract.description)
    );
    std::iter::once(own).chain(columns).collect()
}

fn add_column(syntax: &SqlSyntax<'_>, contract: &Contract, column: &Column) -> Result<Vec<String>> {
    let table = syntax.table(&contract.layer, &contract.table);
    let name = syntax.name(&column.name);
    let data_type = syntax.type_of(&column.data_type)?;
    let description = description(column);
    let definition = format!("{name} {data_type}{}", comment(syntax, &description));
    let add = match syntax.target {
        // Neither takes IF NOT EXISTS; Redshift's is part of the transaction.
        DdlDialect::Redshift => format!("ADD COLUMN {definition}"),
        DdlDialect::Databricks => format!("ADD COLUMNS ({definition})"),
        _ => format!("ADD COLUMN IF NOT EXISTS {definition}"),
    };
    let mut statements = vec![format!("ALTER TABLE {table} {add}")];
    if comments_apart(syntax.target) {
        let text = syntax.text(&description);
        statements.push(format!("COMMENT ON COLUMN {table}.{name} IS {text}"));
    }
    Ok(statements)
}

/// What the data dictionary says of a column.
pub(super) fn description(column: &Column) -> String {
    let unit = column.unit.iter().map(|unit| format!(" [{unit}]"));
    column.description.clone() + &unit.collect::<String>()
}
