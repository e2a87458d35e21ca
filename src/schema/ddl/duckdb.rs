//! DuckDB: insert from `read_parquet`, in one transaction. DuckLake is a database that DuckDB attaches.

use super::create::definitions;
use super::load::{
    FILES_PER_STATEMENT, column_names, file_urls, load_in_transaction, loaded_table, path_position,
};
use super::script::{DdlScript, DdlTable, FILE_COLUMN};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, join_fields, scheme};
use crate::error::Result;
use crate::schema::{Column, Contract};

/// The dialect of DuckDB.
pub(super) struct DuckDb {
    instructions: &'static [&'static str],
}

impl DuckDb {
    /// For a database of DuckDB.
    pub(super) const DATABASE: Self = Self {
        instructions: &["duckdb -bail FILE.duckdb < FILE"],
    };
    /// For a DuckLake, which has data files of its own because the lake's files are replaced in place.
    pub(super) const DUCKLAKE: Self = Self {
        instructions: &[
            "duckdb -bail -cmd \"ATTACH 'ducklake:CATALOG' AS ducklake (DATA_PATH 'FOLDER-OR-URL', DATA_INLINING_ROW_LIMIT 0); USE ducklake\" < FILE",
        ],
    };
}

/// Return the way to give DuckDB access to a location, if it needs a secret.
pub(super) fn secret(location: &str) -> Option<&'static str> {
    match scheme(location)? {
        "s3" => Some("For s3://, first: CREATE SECRET (TYPE s3, PROVIDER credential_chain)"),
        "gs" => Some(
            "For gs://, first, with an HMAC key: CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…')",
        ),
        "az" | "azure" | "abfss" => Some(
            "For Azure, first: INSTALL azure; CREATE SECRET (TYPE azure, PROVIDER credential_chain, ACCOUNT_NAME '…')",
        ),
        _ => None,
    }
}

impl SqlDialect for DuckDb {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "VARCHAR",
            integer: "BIGINT",
            double: "DOUBLE",
            boolean: "BOOLEAN",
            date: "DATE",
            timestamp: "TIMESTAMPTZ",
        }
    }

    fn list_type(&self, item: &str) -> String {
        format!("{item}[]")
    }

    fn struct_type(&self, fields: &[(String, String)]) -> String {
        format!("STRUCT({})", join_fields(fields, " "))
    }

    fn has_comment_statements(&self) -> bool {
        true
    }

    /// Return no key: DuckDB would keep its index in memory, and refuse a row that is deleted and inserted again in one
    /// transaction.
    fn primary_key(&self, _columns: &str) -> Option<String> {
        None
    }

    fn can_read(&self, _location: &str) -> bool {
        true
    }

    fn example_location(&self) -> &'static str {
        "/data/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        self.instructions
    }

    fn access(&self, location: &str) -> Option<&'static str> {
        secret(location)
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
        let value = |column: &Column| syntax.name(&column.name);
        Ok(insert_rows(syntax, contract, location, files, value))
    })
}

/// Write the statements that insert the rows of files. `value`: the expression for a column.
pub(super) fn insert_rows(
    syntax: &SqlSyntax<'_>,
    contract: &Contract,
    location: &str,
    files: &[&str],
    value: impl Fn(&Column) -> String,
) -> Vec<String> {
    let values: Vec<_> = contract.columns.iter().map(value).collect();
    let values = values.join(", ");
    files
        .chunks(FILES_PER_STATEMENT)
        .map(|files| {
            format!(
                "INSERT INTO {} ({FILE_COLUMN}, {})\nSELECT substr({FILE_COLUMN}, {}), {values}\nFROM read_parquet([{}],\n    \
                 filename = '{FILE_COLUMN}', hive_partitioning = false, union_by_name = true)",
                loaded_table(syntax, &contract.layer, &contract.table),
                column_names(syntax, contract),
                path_position(location),
                file_urls(syntax, location, files)
            )
        })
        .collect()
}
