//! What a warehouse runs to hold the lake's tables: create and load statements, from contracts and a list of files.
//!
//! Tables are current state and a partition is one file under a stable name, so a loader replaces partitions: it deletes
//! the rows of the files that changed or vanished, and inserts those of the files that changed or are new. For that a
//! loaded row knows its file: every table has [`FILE_COLUMN`], the path below the lake. It stands first, because columns
//! that a later version of a contract adds come last.
//!
//! ```text
//! contract, files now, files loaded ─▶ DdlTable ─▶ stale(), fresh() ─┬─▶ create.rs      schemas, tables, comments, new columns
//!                                                                 ├─▶ load.rs        delete and insert, in one transaction
//!                                                                 ├─▶ databricks.rs  the same, atomic per table
//!                                                                 └─▶ athena.rs      partitions of external tables
//! contract ──────────────────────────────────────────────────────────▶ dbt.rs        sources.yml
//! ```
//!
//! Everything here is text from values: no lake is opened and nothing is run.

mod athena;
mod create;
mod databricks;
mod dbt;
mod load;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::Contract;
use crate::error::{Error, ErrorKind, Result};
use syntax::SqlSyntax;

/// The column of a loaded row that names its file, as a path below the lake. Snowflake writes what stands before the
/// lake in the bucket, too.
pub const FILE_COLUMN: &str = "_lake_file";
const FILE_DESCRIPTION: &str = "File of the lake that the row was loaded from.";

/// File names that one statement may list: Snowflake's limit.
const FILES_PER_STATEMENT: usize = 1000;

/// What is written, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DdlDialect {
    Snowflake,
    #[value(name = "bigquery")]
    BigQuery,
    Redshift,
    Databricks,
    /// External tables over the lake itself
    Athena,
    #[value(name = "duckdb")]
    DuckDb,
    /// For the duckdb program, which reads the Parquet and writes it to Postgres
    Postgres,
    /// A sources.yml with descriptions, keys and tests
    Dbt,
}

/// A table, and what the warehouse already has of it.
#[derive(Debug)]
pub struct DdlTable<'a> {
    pub contract: &'a Contract,
    /// Its files that have rows, as paths below the lake.
    pub files: BTreeSet<&'a str>,
    /// `None`: the warehouse may hold anything or nothing of it, and is to hold `files`.
    pub loaded: Option<LoadedTable<'a>>,
}

/// What the warehouse has of a table.
#[derive(Debug)]
pub struct LoadedTable<'a> {
    /// Of the contract that its columns were made from.
    pub version: u32,
    pub files: BTreeSet<&'a str>,
    /// Those of `files` whose content is another by now.
    pub changed: BTreeSet<&'a str>,
}

/// One set of statements.
#[derive(Debug)]
pub struct DdlScript<'a> {
    pub target: DdlDialect,
    /// What it is: lines for its reader, written as comments.
    pub title: Vec<String>,
    /// Stands before each layer's name.
    pub schema_prefix: &'a str,
    /// Where the warehouse finds the lake, without `/` at the end. `None`: create statements only.
    pub location: Option<&'a str>,
    pub tables: Vec<DdlTable<'a>>,
    /// Tables (layer, name) that the warehouse has and the lake no longer has.
    pub gone: Vec<(&'a str, &'a str)>,
}

impl<'a> DdlTable<'a> {
    /// The loaded files whose rows must go; `None` for all rows.
    fn stale(&self) -> Option<Vec<&'a str>> {
        let loaded = self.loaded.as_ref()?;
        let gone = loaded.files.difference(&self.files);
        let stale: BTreeSet<_> = gone.chain(&loaded.changed).copied().collect();
        Some(stale.into_iter().collect())
    }

    /// The files whose rows must be inserted.
    fn fresh(&self) -> Vec<&'a str> {
        let fresh = |file: &&&str| match &self.loaded {
            None => true,
            Some(loaded) => !loaded.files.contains(**file) || loaded.changed.contains(**file),
        };
        self.files.iter().filter(fresh).copied().collect()
    }

    /// The columns that the warehouse's table lacks.
    fn added_columns(&self) -> Vec<&'a super::Column> {
        let has = |column: &&super::Column| match &self.loaded {
            None => false,
            Some(loaded) => column.since > loaded.version,
        };
        self.contract.columns.iter().filter(has).collect()
    }

    fn is_unchanged(&self) -> bool {
        self.stale().is_some_and(|stale| stale.is_empty())
            && self.fresh().is_empty()
            && self.added_columns().is_empty()
    }
}

impl DdlScript<'_> {
    /// The statements, or for [`DdlDialect::Dbt`] the file.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: the target cannot read from the location. [`ErrorKind::Internal`]: a type without syntax.
    pub fn write(&self) -> Result<String> {
        if let Some(location) = self.location {
            can_read(self.target, location)?;
        }
        let syntax = SqlSyntax {
            target: self.target,
            prefix: self.schema_prefix,
        };
        if self.target == DdlDialect::Dbt {
            return Ok(dbt::write(self, &syntax));
        }
        let mut text: String = self.comments().map(|line| format!("-- {line}\n")).collect();
        let tables: Vec<_> = self.tables.iter().filter(|it| !it.is_unchanged()).collect();
        let changed = !tables.is_empty() || !self.gone.is_empty();
        let statements = match self.target {
            _ if !changed => Vec::new(),
            DdlDialect::Athena => athena::statements(self, &syntax, &tables)?,
            DdlDialect::Databricks => databricks::statements(self, &syntax, &tables)?,
            _ => load::statements(self, &syntax, &tables)?,
        };
        if statements.is_empty() {
            text.push_str("-- Nothing changed.\n");
        }
        for statement in statements {
            text.push_str(&format!("\n{statement};\n"));
        }
        Ok(text)
    }

    fn comments(&self) -> impl Iterator<Item = &str> {
        let title = self.title.iter().map(String::as_str);
        let how: &[&str] = match (self.target, self.location) {
            (_, None) | (DdlDialect::Dbt, _) => &[],
            (DdlDialect::Snowflake, _) => &[
                "Needs a storage integration named lake, or a stage of your own as lake in the schema config.",
                "Stop at the first error, or half a load is committed: snowsql -o exit_on_error=true -f FILE",
            ],
            (DdlDialect::BigQuery, _) => &[
                "Run as one script, which ends at the first error: bq query --nouse_legacy_sql < FILE",
            ],
            (DdlDialect::Redshift, _) => &[
                "Needs a default IAM role that may read the bucket: psql -v ON_ERROR_STOP=1 -f FILE",
                "A text of more than 65,535 bytes fails its COPY; the long ones are in the source layer (bitbucket).",
            ],
            (DdlDialect::Databricks, _) => &[
                "Each statement replaces partitions of one table in one step. Keys need Unity Catalog.",
            ],
            (DdlDialect::Athena, _) => &[
                "External tables over the lake: nothing is copied. Athena takes one statement at a time.",
            ],
            (DdlDialect::DuckDb, _) => &[
                "duckdb -bail FILE.duckdb < FILE; for s3://: CREATE SECRET (TYPE s3, PROVIDER credential_chain)",
            ],
            (DdlDialect::Postgres, _) => &[
                "For the duckdb program, which finds Postgres by PGHOST, PGDATABASE, PGUSER and PGPASSWORD: duckdb -bail < FILE",
                "For s3://, first: CREATE SECRET (TYPE s3, PROVIDER credential_chain)",
            ],
        };
        title.chain(how.iter().copied())
    }
}

/// Refuses a location that the target has no way to read.
fn can_read(target: DdlDialect, location: &str) -> Result<()> {
    let scheme = location.split_once("://").map(|(scheme, _)| scheme);
    let (can, example) = match target {
        DdlDialect::Snowflake => (
            matches!(scheme, Some("s3" | "s3gov" | "s3china" | "gcs" | "azure")),
            "s3://bucket/lake",
        ),
        DdlDialect::BigQuery => (scheme == Some("gs"), "gs://bucket/lake"),
        DdlDialect::Redshift | DdlDialect::Athena => (scheme == Some("s3"), "s3://bucket/lake"),
        DdlDialect::Databricks => (
            scheme.is_some() || location.starts_with("/Volumes/"),
            "s3://bucket/lake or /Volumes/…",
        ),
        DdlDialect::DuckDb | DdlDialect::Postgres | DdlDialect::Dbt => (true, ""),
    };
    if can {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        "this warehouse cannot read from where the lake is",
    )
    .with("location", location)
    .hint(format!(
        "copy the lake to where it can, and name that place: --location {example}"
    )))
}
