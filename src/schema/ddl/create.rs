//! Statements that create schemas and tables with descriptions and keys, and add columns of later contract versions.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;

use super::script::{DdlTable, FILE_COLUMN, FILE_DESCRIPTION};
use super::syntax::SqlSyntax;
use crate::error::Result;
use crate::schema::{Column, Contract};

/// The statements that must run before rows are loaded.
pub(super) struct Definitions {
    pub(super) schemas: Vec<String>,
    /// The statements of each new table and of each added column.
    pub(super) groups: Vec<Vec<String>>,
}

impl Definitions {
    /// Return all statements in their order.
    pub(super) fn into_statements(self) -> Vec<String> {
        let groups = self.groups.into_iter().flatten();
        self.schemas.into_iter().chain(groups).collect()
    }
}

/// Write the definitions of `tables`.
pub(super) fn definitions(syntax: &SqlSyntax<'_>, tables: &[&DdlTable<'_>]) -> Result<Definitions> {
    let created: Vec<_> = tables.iter().filter(|it| it.loaded.is_none()).collect();
    let mut groups = Vec::new();
    for table in &created {
        let mut group = vec![create_table(syntax, table.contract)?];
        group.extend(comment_statements(syntax, table.contract));
        groups.push(group);
    }
    for table in tables {
        for column in table.added_columns() {
            groups.push(add_column(syntax, table.contract, column)?);
        }
    }
    Ok(Definitions {
        schemas: create_schemas(syntax, created.iter().map(|it| it.contract)),
        groups,
    })
}

/// Write the statements that create the schemas of `contracts`.
pub(super) fn create_schemas<'a>(
    syntax: &SqlSyntax<'_>,
    contracts: impl Iterator<Item = &'a Contract>,
) -> Vec<String> {
    let layers: BTreeSet<_> = contracts.map(|contract| &contract.layer).collect();
    layers
        .iter()
        .map(|layer| format!("CREATE SCHEMA IF NOT EXISTS {}", syntax.schema(layer)))
        .collect()
}

fn create_table(syntax: &SqlSyntax<'_>, contract: &Contract) -> Result<String> {
    let comment = |text: &str| syntax.dialect.column_comment(&syntax.text(text));
    let file = format!(
        "{FILE_COLUMN} {} NOT NULL{}",
        syntax.type_of(&DataType::Utf8)?,
        comment(FILE_DESCRIPTION)
    );
    let columns = contract.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        Ok(format!(
            "{} {}{null}{}",
            syntax.name(&column.name),
            syntax.type_of(&column.data_type)?,
            comment(&description(column))
        ))
    });
    let mut lines = vec![file];
    lines.extend(columns.collect::<Result<Vec<_>>>()?);
    lines.extend(primary_key(syntax, contract));
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    {}\n){}",
        syntax.table(&contract.layer, &contract.table),
        lines.join(",\n    "),
        syntax
            .dialect
            .table_options(&syntax.text(&contract.description))
    ))
}

fn primary_key(syntax: &SqlSyntax<'_>, contract: &Contract) -> Option<String> {
    let columns: Vec<_> = contract
        .primary_key
        .iter()
        .map(|column| syntax.name(column))
        .collect();
    if columns.is_empty() {
        return None;
    }
    syntax.dialect.primary_key(&columns.join(", "))
}

/// Write the descriptions as statements of their own, in the dialects that have them.
fn comment_statements(syntax: &SqlSyntax<'_>, contract: &Contract) -> Vec<String> {
    if !syntax.dialect.has_comment_statements() {
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
    let description = syntax.text(&description(column));
    let comment = syntax.dialect.column_comment(&description);
    let add = syntax
        .dialect
        .add_column(&format!("{name} {data_type}{comment}"));
    let mut statements = vec![format!("ALTER TABLE {table} {add}")];
    if syntax.dialect.has_comment_statements() {
        statements.push(format!("COMMENT ON COLUMN {table}.{name} IS {description}"));
    }
    Ok(statements)
}

/// Return the description of a column with its unit.
pub(crate) fn description(column: &Column) -> String {
    match &column.unit {
        Some(unit) => format!("{} [{unit}]", column.description),
        None => column.description.clone(),
    }
}
