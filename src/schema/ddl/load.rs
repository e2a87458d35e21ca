//! Statements that replace rows: delete the rows of stale files, insert the rows of fresh files.

use super::script::{DdlScript, DdlTable};
use super::syntax::SqlSyntax;
use crate::error::Result;
use crate::schema::Contract;

/// Most file names in one statement: Snowflake's limit.
pub(super) const FILES_PER_STATEMENT: usize = 1000;

/// Write the statements that replace rows. `insert` writes the statements that insert the rows of files.
pub(super) fn replace_rows(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
    mut insert: impl FnMut(&Contract, &[&str]) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for table in tables {
        statements.extend(delete_stale(syntax, table));
        let files = table.fresh_files();
        if !files.is_empty() {
            statements.extend(insert(table.contract, &files)?);
        }
    }
    for (layer, table) in &script.gone {
        statements.push(delete_all(syntax, layer, table));
    }
    Ok(statements)
}

/// Write one transaction that creates the tables and replaces their rows. `insert` writes the statements that insert the
/// rows of files.
pub(super) fn load_in_transaction(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
    definitions: Vec<String>,
    insert: impl FnMut(&Contract, &[&str]) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut statements = vec!["BEGIN TRANSACTION".to_owned()];
    statements.extend(definitions);
    statements.extend(replace_rows(script, syntax, tables, insert)?);
    statements.push("COMMIT".to_owned());
    Ok(statements)
}

/// Write the name of a table in the statements that delete and insert rows.
pub(super) fn loaded_table(syntax: &SqlSyntax<'_>, layer: &str, table: &str) -> String {
    syntax.dialect.loaded_table(syntax.table(layer, table))
}

fn delete_stale(syntax: &SqlSyntax<'_>, table: &DdlTable<'_>) -> Vec<String> {
    let Contract {
        layer, table: name, ..
    } = table.contract;
    let Some(stale) = table.stale_files() else {
        return vec![delete_all(syntax, layer, name)];
    };
    let rows = loaded_table(syntax, layer, name);
    let file = syntax.dialect.file_path(&format!("{layer}/{name}/"));
    stale
        .chunks(FILES_PER_STATEMENT)
        .map(|files| {
            format!(
                "DELETE FROM {rows} WHERE {file} IN ({})",
                syntax.texts(files)
            )
        })
        .collect()
}

fn delete_all(syntax: &SqlSyntax<'_>, layer: &str, table: &str) -> String {
    format!(
        "DELETE FROM {}{}",
        loaded_table(syntax, layer, table),
        syntax.dialect.delete_all_condition()
    )
}

/// Write the names of the contract's columns, in the order of the files' columns.
pub(super) fn column_names(syntax: &SqlSyntax<'_>, contract: &Contract) -> String {
    let names: Vec<_> = contract
        .columns
        .iter()
        .map(|column| syntax.name(&column.name))
        .collect();
    names.join(", ")
}

/// Write the names and types of the contract's columns.
pub(super) fn column_definitions(syntax: &SqlSyntax<'_>, contract: &Contract) -> Result<String> {
    let columns = contract.columns.iter().map(|column| {
        let data_type = syntax.type_of(&column.data_type)?;
        Ok(format!("{} {data_type}", syntax.name(&column.name)))
    });
    Ok(columns.collect::<Result<Vec<_>>>()?.join(",\n    "))
}

/// Write the addresses of files as literals.
pub(super) fn file_urls(syntax: &SqlSyntax<'_>, location: &str, files: &[&str]) -> String {
    let urls: Vec<_> = files
        .iter()
        .map(|file| format!("{location}/{file}"))
        .collect();
    syntax.text_lines(&urls)
}

/// Return the name of a table that exists only while another table is loaded.
pub(super) fn temporary_table(contract: &Contract) -> String {
    format!("lake_{}", contract.table)
}

/// Return the position, counted from 1, at which the path below the lake starts in the address of a file.
pub(super) fn path_position(location: &str) -> usize {
    location.chars().count() + 2
}
