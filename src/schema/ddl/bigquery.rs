//! BigQuery: insert from external tables over the lake's files, in one transaction.

use super::create::definitions;
use super::load::{
    column_definitions, column_names, file_urls, loaded_table, path_position, replace_rows,
    temporary_table,
};
use super::script::{DdlScript, DdlTable, FILE_COLUMN};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, join_fields, scheme};
use crate::error::Result;
use crate::schema::Contract;

/// The dialect of BigQuery.
pub(super) struct BigQuery;

impl SqlDialect for BigQuery {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "STRING",
            integer: "INT64",
            double: "FLOAT64",
            boolean: "BOOL",
            date: "DATE",
            timestamp: "TIMESTAMP",
        }
    }

    fn list_type(&self, item: &str) -> String {
        format!("ARRAY<{item}>")
    }

    fn struct_type(&self, fields: &[(String, String)]) -> String {
        format!("STRUCT<{}>", join_fields(fields, " "))
    }

    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
    }

    fn literal(&self, text: &str) -> String {
        backslash_literal(text)
    }

    fn column_comment(&self, description: &str) -> String {
        format!(" OPTIONS (description = {description})")
    }

    fn table_options(&self, description: &str) -> String {
        self.column_comment(description)
    }

    fn primary_key(&self, columns: &str) -> Option<String> {
        Some(format!("PRIMARY KEY ({columns}) NOT ENFORCED"))
    }

    fn delete_all_condition(&self) -> &'static str {
        " WHERE TRUE"
    }

    fn can_read(&self, location: &str) -> bool {
        scheme(location) == Some("gs")
    }

    fn example_location(&self) -> &'static str {
        "gs://bucket/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &["Run as one script, which ends at the first error: bq query --nouse_legacy_sql < FILE"]
    }
}

/// Write a literal in which backslashes escape, as in BigQuery, Spark and Hive.
pub(super) fn backslash_literal(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n");
    format!("'{escaped}'")
}

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let mut statements = definitions(syntax, tables)?.into_statements();
    let Some(location) = script.location else {
        return Ok(statements);
    };
    let (mut external_tables, mut drops) = (Vec::new(), Vec::new());
    let rows = replace_rows(script, syntax, tables, |contract, files| {
        external_tables.push(create_external_table(syntax, contract, location, files)?);
        let temporary = external_table(syntax, contract);
        drops.push(format!("DROP EXTERNAL TABLE {temporary}"));
        Ok(vec![insert_rows(syntax, contract, location)])
    })?;
    // Definitions are not allowed in a transaction; each can be repeated.
    statements.extend(external_tables);
    statements.push("BEGIN TRANSACTION".to_owned());
    statements.extend(rows);
    statements.push("COMMIT TRANSACTION".to_owned());
    statements.extend(drops);
    Ok(statements)
}

fn external_table(syntax: &SqlSyntax<'_>, contract: &Contract) -> String {
    syntax.table(&contract.layer, &temporary_table(contract))
}

fn create_external_table(
    syntax: &SqlSyntax<'_>,
    contract: &Contract,
    location: &str,
    files: &[&str],
) -> Result<String> {
    Ok(format!(
        "CREATE OR REPLACE EXTERNAL TABLE {} (\n    {}\n) OPTIONS (\n    format = 'PARQUET',\n    \
         enable_list_inference = TRUE,\n    uris = [{}]\n)",
        external_table(syntax, contract),
        column_definitions(syntax, contract)?,
        file_urls(syntax, location, files)
    ))
}

fn insert_rows(syntax: &SqlSyntax<'_>, contract: &Contract, location: &str) -> String {
    let columns = column_names(syntax, contract);
    format!(
        "INSERT INTO {} ({FILE_COLUMN}, {columns})\nSELECT SUBSTR(_FILE_NAME, {}), {columns}\nFROM {}",
        loaded_table(syntax, &contract.layer, &contract.table),
        path_position(location),
        external_table(syntax, contract)
    )
}
