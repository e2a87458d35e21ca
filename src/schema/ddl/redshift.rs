//! Redshift: `COPY` each file into a temporary table, then insert its rows, in one transaction.

use super::create::definitions;
use super::load::{
    column_definitions, column_names, file_urls, load_in_transaction, loaded_table, temporary_table,
};
use super::script::{DdlScript, DdlTable, FILE_COLUMN};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, scheme};
use crate::error::Result;
use crate::schema::Contract;

/// The dialect of Redshift.
pub(super) struct Redshift;

impl SqlDialect for Redshift {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "VARCHAR(MAX)",
            integer: "BIGINT",
            double: "DOUBLE PRECISION",
            boolean: "BOOLEAN",
            date: "DATE",
            timestamp: "TIMESTAMPTZ",
        }
    }

    fn list_type(&self, _item: &str) -> String {
        "SUPER".to_owned()
    }

    fn struct_type(&self, _fields: &[(String, String)]) -> String {
        "SUPER".to_owned()
    }

    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    }

    fn has_comment_statements(&self) -> bool {
        true
    }

    /// Redshift has no `IF NOT EXISTS` here; the statement is part of the transaction.
    fn add_column(&self, definition: &str) -> String {
        format!("ADD COLUMN {definition}")
    }

    fn can_read(&self, location: &str) -> bool {
        scheme(location) == Some("s3")
    }

    fn example_location(&self) -> &'static str {
        "s3://bucket/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &[
            "Needs a default IAM role that may read the bucket: psql -v ON_ERROR_STOP=1 -f FILE",
            "COPY fails on a text of more than 65,535 bytes; such texts are in the source layer (bitbucket).",
        ]
    }
}

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let definitions = definitions(syntax, tables)?.into_statements();
    let Some(location) = script.location else {
        return Ok(definitions);
    };
    load_in_transaction(script, syntax, tables, definitions, |contract, files| {
        copy_files(syntax, contract, location, files)
    })
}

/// Copy each file separately, because `COPY` fills columns by position and cannot add the name of the file.
fn copy_files(
    syntax: &SqlSyntax<'_>,
    contract: &Contract,
    location: &str,
    files: &[&str],
) -> Result<Vec<String>> {
    // Temporary tables have no schema.
    let temporary = syntax.name(&temporary_table(contract));
    let columns = column_names(syntax, contract);
    let mut statements = vec![format!(
        "CREATE TEMP TABLE {temporary} (\n    {}\n)",
        column_definitions(syntax, contract)?
    )];
    for (n, file) in files.iter().enumerate() {
        if n > 0 {
            statements.push(format!("DELETE FROM {temporary}"));
        }
        statements.push(format!(
            "COPY {temporary} FROM {} IAM_ROLE DEFAULT FORMAT AS PARQUET SERIALIZETOJSON FILLRECORD",
            file_urls(syntax, location, &[file])
        ));
        statements.push(format!(
            "INSERT INTO {} ({FILE_COLUMN}, {columns})\nSELECT {}, {columns}\nFROM {temporary}",
            loaded_table(syntax, &contract.layer, &contract.table),
            syntax.text(file)
        ));
    }
    statements.push(format!("DROP TABLE {temporary}"));
    Ok(statements)
}
