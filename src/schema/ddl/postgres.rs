//! Postgres, loaded by DuckDB: DuckDB reads the Parquet files and inserts their rows into the attached database.

use super::create::{Definitions, definitions};
use super::devlake;
use super::duckdb::{self, insert_rows};
use super::load::replace_rows;
use super::script::{DdlScript, DdlTable};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax};
use crate::error::Result;
use crate::schema::Column;

/// The name under which DuckDB attaches Postgres.
const DATABASE: &str = "pg";

/// The dialect of Postgres.
pub(super) struct Postgres;

impl SqlDialect for Postgres {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "text",
            integer: "bigint",
            double: "double precision",
            boolean: "boolean",
            date: "date",
            timestamp: "timestamptz",
        }
    }

    fn list_type(&self, _item: &str) -> String {
        "jsonb".to_owned()
    }

    fn struct_type(&self, _fields: &[(String, String)]) -> String {
        "jsonb".to_owned()
    }

    fn has_comment_statements(&self) -> bool {
        true
    }

    fn loaded_table(&self, name: String) -> String {
        format!("{DATABASE}.{name}")
    }

    fn can_read(&self, _location: &str) -> bool {
        true
    }

    fn example_location(&self) -> &'static str {
        "/data/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &[
            "For the duckdb program, which finds Postgres by PGHOST, PGDATABASE, PGUSER and PGPASSWORD: duckdb -bail < FILE > /dev/null",
            "It needs its postgres extension, which INSTALL downloads. Offline, install both from PyPI's wheels duckdb-cli and",
            "duckdb-extension-postgres-scanner of one version, and first: duckdb -c \"INSTALL 'FOLDER/postgres_scanner.duckdb_extension'\"",
        ]
    }

    fn access(&self, location: &str) -> Option<&'static str> {
        duckdb::secret(location)
    }
}

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let Definitions { schemas, groups } = definitions(syntax, tables)?;
    // One call has all statements of a table, because each call costs a round trip.
    let groups = groups.into_iter().map(|group| group.join(";\n"));
    let definitions = schemas.into_iter().chain(groups);
    let definitions: Vec<_> = definitions
        .chain(devlake::statements(syntax, tables))
        .collect();
    let Some(location) = script.location else {
        return Ok(definitions);
    };
    let mut statements = attach();
    statements.push("BEGIN TRANSACTION".to_owned());
    statements.extend(definitions.into_iter().map(execute));
    statements.extend(replace_rows(script, syntax, tables, |contract, files| {
        let value = |column: &Column| {
            let name = syntax.name(&column.name);
            if column.data_type.is_nested() {
                format!("to_json({name})")
            } else {
                name
            }
        };
        Ok(insert_rows(syntax, contract, location, files, value))
    })?);
    statements.push("COMMIT".to_owned());
    Ok(statements)
}

/// Attach Postgres to DuckDB's session.
fn attach() -> Vec<String> {
    vec![
        "INSTALL postgres".to_owned(),
        "LOAD postgres".to_owned(),
        // Postgres does not accept the character 0, which texts from Bitbucket may have.
        "SET pg_null_byte_replacement = ''".to_owned(),
        format!("ATTACH '' AS {DATABASE} (TYPE postgres)"),
    ]
}

/// Write a call with which Postgres itself runs a statement, in its own dialect.
fn execute(statement: String) -> String {
    format!("CALL postgres_execute('{DATABASE}', $ddl$\n{statement}\n$ddl$)")
}
