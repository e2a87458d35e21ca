//! The input of the DDL: the tables of a script, and the files of each that the warehouse has loaded.

use std::collections::BTreeSet;

use crate::schema::{Column, Contract};

/// The column of a loaded row with the path of its file below the lake. In Snowflake the path starts with the lake's prefix
/// in the bucket.
pub const FILE_COLUMN: &str = "_lake_file";
pub(super) const FILE_DESCRIPTION: &str = "File of the lake that the row was loaded from.";

/// The warehouse for which a script is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DdlDialect {
    /// Tables loaded by COPY INTO from a stage
    Snowflake,
    /// Tables loaded from external tables
    #[value(name = "bigquery")]
    BigQuery,
    /// Tables loaded by COPY from S3
    Redshift,
    /// Delta tables loaded by INSERT INTO … REPLACE WHERE
    Databricks,
    /// External tables over the lake itself
    Athena,
    /// Tables loaded by read_parquet
    #[value(name = "duckdb")]
    DuckDb,
    /// For the duckdb program, which reads the Parquet and writes it to Postgres
    Postgres,
    /// Tables of a DuckLake, loaded by read_parquet
    #[value(name = "ducklake")]
    DuckLake,
    /// A script of Python that loads tables of an Iceberg catalog by PyIceberg
    Iceberg,
    /// A script of Python that loads Delta tables by delta-rs
    Delta,
    /// A sources.yml with descriptions, keys and tests
    Dbt,
}

/// A table, and the files of it that the warehouse has loaded.
#[derive(Debug)]
pub struct DdlTable<'a> {
    /// The contract of the table.
    pub contract: &'a Contract,
    /// The files with rows, as paths below the lake.
    pub files: BTreeSet<&'a str>,
    /// The loaded part. `None` if it is unknown: the load then replaces all rows.
    pub loaded: Option<LoadedTable<'a>>,
}

/// The part of a table that the warehouse has loaded.
#[derive(Debug)]
pub struct LoadedTable<'a> {
    /// The version of the contract with which the table was created.
    pub version: u32,
    /// The loaded files, as paths below the lake.
    pub files: BTreeSet<&'a str>,
    /// The loaded files whose content has changed since.
    pub changed: BTreeSet<&'a str>,
}

/// A script of statements, or dbt's file.
#[derive(Debug)]
pub struct DdlScript<'a> {
    /// The dialect of the statements.
    pub dialect: DdlDialect,
    /// Lines about the script, written as comments at its start.
    pub title: Vec<String>,
    /// A prefix of every schema's name.
    pub schema_prefix: &'a str,
    /// The address at which the warehouse reads the lake, without `/` at the end. `None`: create statements only.
    pub location: Option<&'a str>,
    /// The tables to create and load.
    pub tables: Vec<DdlTable<'a>>,
    /// Tables (layer, name) that were loaded before and are no longer in the lake.
    pub gone: Vec<(&'a str, &'a str)>,
}

impl<'a> DdlTable<'a> {
    /// Return the loaded files whose rows must be deleted; `None` for all rows.
    pub(super) fn stale_files(&self) -> Option<Vec<&'a str>> {
        let loaded = self.loaded.as_ref()?;
        let removed = loaded.files.difference(&self.files);
        let stale: BTreeSet<_> = removed.chain(&loaded.changed).copied().collect();
        Some(stale.into_iter().collect())
    }

    /// Return the files whose rows must be inserted.
    pub(super) fn fresh_files(&self) -> Vec<&'a str> {
        let is_fresh = |file: &&&str| match &self.loaded {
            None => true,
            Some(loaded) => !loaded.files.contains(**file) || loaded.changed.contains(**file),
        };
        self.files.iter().filter(is_fresh).copied().collect()
    }

    /// Return the columns that the warehouse's table lacks.
    pub(super) fn added_columns(&self) -> Vec<&'a Column> {
        let is_added = |column: &&Column| match &self.loaded {
            None => false,
            Some(loaded) => column.since > loaded.version,
        };
        self.contract.columns.iter().filter(is_added).collect()
    }

    /// Return whether the warehouse's table is up to date.
    pub(super) fn is_unchanged(&self) -> bool {
        self.stale_files().is_some_and(|stale| stale.is_empty())
            && self.fresh_files().is_empty()
            && self.added_columns().is_empty()
    }
}
