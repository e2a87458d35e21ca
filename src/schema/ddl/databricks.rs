//! Delta tables on Databricks: each statement replaces partitions of one table atomically.
//!
//! Databricks has no transactions over several tables, and `COPY INTO` skips file names that it has loaded before. Therefore
//! a statement reads each file as a table of its own, with its name as a column, and `REPLACE WHERE` replaces the rows of
//! these files.

use super::bigquery::backslash_literal;
use super::create::definitions;
use super::load::column_names;
use super::script::{DdlScript, DdlTable, FILE_COLUMN};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, join_fields, scheme};
use crate::error::Result;

/// The most files that one statement reads, because each is a branch of its plan.
const FILES_PER_STATEMENT: usize = 100;

/// The dialect of Databricks.
pub(super) struct Databricks;

impl SqlDialect for Databricks {
    fn scalar_types(&self) -> ScalarTypes {
        SPARK_TYPES
    }

    fn list_type(&self, item: &str) -> String {
        format!("ARRAY<{item}>")
    }

    fn struct_type(&self, fields: &[(String, String)]) -> String {
        format!("STRUCT<{}>", join_fields(fields, ": "))
    }

    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn literal(&self, text: &str) -> String {
        backslash_literal(text)
    }

    fn column_comment(&self, description: &str) -> String {
        format!(" COMMENT {description}")
    }

    fn table_options(&self, description: &str) -> String {
        format!(" USING DELTA COMMENT {description}")
    }

    /// Databricks has no `IF NOT EXISTS` here.
    fn add_column(&self, definition: &str) -> String {
        format!("ADD COLUMNS ({definition})")
    }

    fn can_read(&self, location: &str) -> bool {
        // Spark needs the account of an Azure container in its address.
        !matches!(scheme(location), None | Some("az" | "azure"))
            || location.starts_with("/Volumes/")
    }

    fn example_location(&self) -> &'static str {
        "s3://bucket/lake, gs://bucket/lake, abfss://container@account.dfs.core.windows.net/lake or /Volumes/…"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &["Each statement replaces partitions of one table in one step. Keys need Unity Catalog."]
    }
}

/// The scalar types of Spark and Hive.
pub(super) const SPARK_TYPES: ScalarTypes = ScalarTypes {
    text: "STRING",
    integer: "BIGINT",
    double: "DOUBLE",
    boolean: "BOOLEAN",
    date: "DATE",
    timestamp: "TIMESTAMP",
};

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let mut statements = definitions(syntax, tables)?.into_statements();
    let Some(location) = script.location else {
        return Ok(statements);
    };
    for table in tables {
        let name = syntax.table(&table.contract.layer, &table.contract.table);
        let fresh = table.fresh_files();
        let select = |files: &[&str]| select_files(syntax, table, location, files);
        let Some(stale) = table.stale_files() else {
            // The first statement also removes rows of unknown origin.
            let mut chunks = fresh.chunks(FILES_PER_STATEMENT);
            statements.push(match chunks.next() {
                Some(files) => format!("INSERT OVERWRITE {name}\n{}", select(files)),
                None => format!("DELETE FROM {name}"),
            });
            statements.extend(chunks.map(|files| format!("INSERT INTO {name}\n{}", select(files))));
            continue;
        };
        let removed: Vec<_> = stale.into_iter().filter(|it| !fresh.contains(it)).collect();
        for files in removed.chunks(FILES_PER_STATEMENT) {
            let files = syntax.texts(files);
            statements.push(format!(
                "DELETE FROM {name} WHERE {FILE_COLUMN} IN ({files})"
            ));
        }
        for files in fresh.chunks(FILES_PER_STATEMENT) {
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

fn select_files(
    syntax: &SqlSyntax<'_>,
    table: &DdlTable<'_>,
    location: &str,
    files: &[&str],
) -> String {
    let columns = column_names(syntax, table.contract);
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
