//! Writes the statements with which a warehouse creates and loads the lake's tables, from contracts and lists of files.
//!
//! A table is current state, and a partition is one file with a stable name. Therefore a load replaces partitions: it deletes
//! the rows of changed and removed files, and inserts the rows of changed and added files. For this purpose every loaded row
//! has [`FILE_COLUMN`], the path of its file below the lake. It is the first column, because columns of later contract
//! versions are appended.
//!
//! ```text
//! script.rs    DdlScript, DdlTable: contract, current files, loaded files ─▶ stale and fresh files
//! syntax.rs    the syntax in which warehouses differ
//! create.rs    schemas, tables, descriptions, added columns
//! load.rs      delete and insert rows
//! snowflake.rs bigquery.rs redshift.rs duckdb.rs postgres.rs databricks.rs athena.rs     one dialect each
//! devlake.rs   objects that DevLake's dashboards need beside the tables, in Postgres
//! python.rs    a Python script, with iceberg.py or delta.py
//! dbt.rs       dbt's sources.yml
//! ```
//!
//! This module only formats text from values: it opens no lake and runs no statement.

mod athena;
mod bigquery;
mod create;
mod databricks;
mod dbt;
mod devlake;
mod duckdb;
mod load;
mod postgres;
mod python;
mod redshift;
mod script;
mod snowflake;
mod syntax;
#[cfg(test)]
mod tests;

use std::fmt::Write;

pub(crate) use create::description;
pub use script::{DdlDialect, DdlScript, DdlTable, FILE_COLUMN, LoadedTable};
pub(crate) use snowflake::is_reserved_in_snowflake;
pub(crate) use syntax::is_reserved_word;

use self::syntax::{SqlDialect, SqlSyntax};
use crate::error::{Error, ErrorKind, Result};

/// Return the syntax of a dialect. dbt's file serves every warehouse, and needless quotes are harmful in Snowflake only, so
/// it is written with Snowflake's reserved words.
fn sql_dialect(dialect: DdlDialect) -> &'static dyn SqlDialect {
    match dialect {
        DdlDialect::Snowflake | DdlDialect::Dbt => &snowflake::Snowflake,
        DdlDialect::BigQuery => &bigquery::BigQuery,
        DdlDialect::Redshift => &redshift::Redshift,
        DdlDialect::Databricks => &databricks::Databricks,
        DdlDialect::Athena => &athena::Athena,
        DdlDialect::DuckDb => &duckdb::DuckDb::DATABASE,
        DdlDialect::DuckLake => &duckdb::DuckDb::DUCKLAKE,
        DdlDialect::Iceberg | DdlDialect::Delta => &python::PyArrow,
        DdlDialect::Postgres => &postgres::Postgres,
    }
}

impl DdlScript<'_> {
    /// Write the statements, the script of Python for [`DdlDialect::Iceberg`] and [`DdlDialect::Delta`], or the file for
    /// [`DdlDialect::Dbt`].
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the warehouse cannot read from the location; [`ErrorKind::Internal`] when the dialect has
    /// no type for a column.
    pub fn write(&self) -> Result<String> {
        let syntax = SqlSyntax {
            dialect: sql_dialect(self.dialect),
            schema_prefix: self.schema_prefix,
        };
        if self.dialect == DdlDialect::Dbt {
            return Ok(dbt::sources(self, &syntax));
        }
        if let Some(location) = self.location {
            ensure_readable(syntax.dialect, location)?;
        }
        match self.dialect {
            DdlDialect::Iceberg => return python::write(self, python::ICEBERG),
            DdlDialect::Delta => return python::write(self, python::DELTA),
            _ => {}
        }
        let mut text = String::new();
        let instructions = match self.location {
            Some(_) => syntax.dialect.instructions(),
            None => &[],
        };
        let access = self.location.and_then(|it| syntax.dialect.access(it));
        let title = self.title.iter().map(String::as_str);
        for line in title.chain(instructions.iter().copied()).chain(access) {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "-- {line}");
        }
        let statements = self.statements(&syntax)?;
        if statements.is_empty() {
            text.push_str("-- Nothing changed.\n");
        }
        for statement in statements {
            let _ = write!(text, "\n{statement};\n");
        }
        Ok(text)
    }

    fn statements(&self, syntax: &SqlSyntax<'_>) -> Result<Vec<String>> {
        let tables: Vec<_> = self.tables.iter().filter(|it| !it.is_unchanged()).collect();
        if tables.is_empty() && self.gone.is_empty() {
            return Ok(Vec::new());
        }
        match self.dialect {
            DdlDialect::Snowflake => snowflake::statements(self, syntax, &tables),
            DdlDialect::BigQuery => bigquery::statements(self, syntax, &tables),
            DdlDialect::Redshift => redshift::statements(self, syntax, &tables),
            DdlDialect::Databricks => databricks::statements(self, syntax, &tables),
            DdlDialect::Athena => athena::statements(self, syntax, &tables),
            DdlDialect::DuckDb | DdlDialect::DuckLake => duckdb::statements(self, syntax, &tables),
            DdlDialect::Postgres => postgres::statements(self, syntax, &tables),
            DdlDialect::Dbt | DdlDialect::Iceberg | DdlDialect::Delta => Ok(Vec::new()),
        }
    }
}

/// Refuse a location that the warehouse cannot read from.
fn ensure_readable(dialect: &dyn SqlDialect, location: &str) -> Result<()> {
    if dialect.can_read(location) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        "this warehouse cannot read from where the lake is",
    )
    .with("location", location)
    .hint(format!(
        "copy the lake to where it can, and name that place: --location {}",
        dialect.example_location()
    )))
}
