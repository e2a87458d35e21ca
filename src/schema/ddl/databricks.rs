//! Delta tables on Databricks: one statement replaces partitions of one table in one step.
//!
//! No transaction spans tables there, and `COPY INTO` skips the names that it has loaded before. So each file is read
//! as a table of its own, with its name beside its rows, and `REPLACE WHERE` swaps the rows of the files it names.

use super::syntax::SqlSyntax;
use super::{DdlScript, DdlTable, FILE_COLUMN, create};
use crate::error::Result;

/// Files that one statement reads: each is a branch of its plan.
const FILES: usize = 100;

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let mut statements = create::statements(script, syntax, tables)?;
    let Some(location) = script.location else {
        return Ok(statements);
    };
    for table in tables {
        let name = syntax.table(&table.contract.layer, &table.contract.table);
        let fresh = table.fresh();
        let select = |files: &[&str]| select(syntax, table, location, files);
        let Some(stale) = table.stale() else {
            // What else the table may hold goes with the first files.
            let mut chunks = fresh.chunks(FILES);
            statements.push(match chunks.next() {
                Some(files) => format!("INSERT OVERWRITE {name}\n{}", select(files)),
                None => format!("DELETE FROM {name}"),
            });
            statements.extend(chunks.map(|files| format!("INSERT INTO {name}\n{}", select(files))));
            continue;
        };
        let gone: Vec<_> = stale.into_iter().filter(|it| !fresh.contains(it)).collect();
        for files in gone.chunks(FILES) {
            let files = syntax.texts(files);
            statements.push(format!(
                "DELETE FROM {name} WHERE {FILE_COLUMN} IN ({files})"
            ));
        }
        for files in fresh.chunks(FILES) {
            statements.push(format!(
                "INSERT INTO {name} REPLACE WHERE {FILE_COLUMN} IN ({})\n{}",
                syntax.texts(files),
                select(files)
            ));
        }
    }
    for (layer, table) in &script.gone {
        statements.push(format!("DELETE FROM {}", syntax.table(layer, table)));
    }
    Ok(statements)
}

fn select(syntax: &SqlSyntax<'_>, table: &DdlTable<'_>, location: &str, files: &[&str]) -> String {
    let columns = table.contract.columns.iter();
    let columns: Vec<_> = columns.map(|column| syntax.name(&column.name)).collect();
    let columns = columns.join(", ");
    let selects: Vec<_> = files
        .iter()
        .map(|file| {
            let path = format!("{location}/{file}").replace('`', "``");
            let file = syntax.text(file);
            format!("SELECT {file} AS {FILE_COLUMN}, {columns} FROM parquet.`{path}`")
        })
        .collect();
    selects.join("\nUNION ALL\n")
}
