//! What the header of a query says about the rows that a step can make alone.
//!
//! ```text
//! -- incremental: repository by base_repo_id    a row depends on rows of its own repository only
//! -- incremental: project by project_name       a row depends on rows of its own project only
//! -- stored                                     the lake keeps this base table from one run to the next
//! ```
//!
//! The column tells to which repository or project a row belongs. A base table that is not stored needs no column: its rows
//! are made with those of the tables that read it, for the same repositories.

use std::fmt;

use crate::engine::TableName;
use crate::error::{Error, ErrorKind, Result};

/// What the rows of a table are divided into. A project consists of repositories, so it is the larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Repository,
    Project,
}

impl Scope {
    /// Return the noun for a number of them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Repository => "repositories",
            Self::Project => "projects",
        }
    }
}

/// The rows of a table can be made for some repositories or projects alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incremental {
    pub(super) scope: Scope,
    /// The column that tells to which repository or project a row belongs; `None` for a base table that is not stored.
    pub(super) column: Option<String>,
    /// Tables with the same values in a column of theirs, if the values of `column` do not tell by themselves.
    pub(super) known_from: Vec<(TableName, &'static str)>,
}

const INCREMENTAL: &str = "-- incremental: ";
const STORED: &str = "-- stored";

impl Incremental {
    /// Read the declaration in the header of a query.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it is malformed.
    pub(super) fn declared(sql: &str) -> Result<Option<Self>> {
        let declared = sql.lines().find_map(|line| line.strip_prefix(INCREMENTAL));
        let Some(text) = declared else {
            return Ok(None);
        };
        let words: Vec<_> = text.split_whitespace().collect();
        let (scope, column) = match words.as_slice() {
            [scope] => (*scope, None),
            [scope, "by", column] => (*scope, Some((*column).to_owned())),
            _ => return Err(malformed(text)),
        };
        let scope = match scope {
            "repository" => Scope::Repository,
            "project" => Scope::Project,
            _ => return Err(malformed(text)),
        };
        Ok(Some(Self {
            scope,
            column,
            known_from: Vec::new(),
        }))
    }
}

/// Return whether the header of a query says that the lake keeps the table.
pub(super) fn is_stored(sql: &str) -> bool {
    sql.lines().any(|line| line == STORED)
}

fn malformed(text: &str) -> Error {
    Error::new(
        ErrorKind::Configuration,
        "malformed declaration in the header of a query",
    )
    .with("line", format!("{INCREMENTAL}{text}"))
    .hint("write `-- incremental: repository by COLUMN` or `-- incremental: project by COLUMN`")
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repository => "repository",
            Self::Project => "project",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_from_the_header() {
        let by = |scope, column: Option<&str>| {
            Some(Incremental {
                scope,
                column: column.map(str::to_owned),
                known_from: Vec::new(),
            })
        };
        for (line, expected) in [
            (
                "-- incremental: repository by repo_id",
                by(Scope::Repository, Some("repo_id")),
            ),
            (
                "-- incremental: project by project_name",
                by(Scope::Project, Some("project_name")),
            ),
            ("-- incremental: repository", by(Scope::Repository, None)),
            ("-- Incremental loading is something else.", None),
        ] {
            let sql = format!("-- A question?\n{line}\nSELECT 1");
            assert_eq!(Incremental::declared(&sql).unwrap(), expected, "{line}");
        }
        assert!(is_stored("-- A question?\n-- stored\nSELECT 1"));
        assert!(!is_stored("-- A question?\n-- stored elsewhere\nSELECT 1"));
    }

    #[test]
    fn a_malformed_declaration_is_refused_with_its_line() {
        for line in ["month by day", "repository by", "repository by a, b"] {
            let error = Incremental::declared(&format!("-- incremental: {line}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
