//! The result of a transform, for the run report.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use serde::{Deserialize, Serialize};

use super::{layout, steps};
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{NextFile, NextTable, PublishSummary};
use crate::schema::{Contracts, times::OddTimes};

/// The result of a transform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// The number of rows by table, of the tables that this run made.
    pub rows: BTreeMap<String, u64>,
    /// The number of values that did not fit their column when records were decoded again, by table and path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    /// The misfits that are times outside the range of the engines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub odd_times: BTreeMap<String, BTreeMap<String, OddTimes>>,
    /// The number of secrets removed when records were decoded again, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<String, u64>,
    /// The published files.
    pub published: PublishSummary,
    /// The published files that were missing or damaged, with their damage, and that this run made again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repaired: BTreeMap<String, String>,
    /// The findings of checks that need attention.
    pub warnings: Vec<Warning>,
    /// The values of outside tables that became null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulled: Vec<NulledValues>,
    /// The findings of checks that are expected, such as rows that no metric counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Warning>,
    /// The large files of tables that can be partitioned more finely.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_files: Vec<LargeFile>,
}

/// Values of one column of an outside table that became null, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NulledValues {
    /// `layer.table`.
    pub table: String,
    /// The location of the `[[table]]`.
    pub location: String,
    /// A column of the table, or a path in the file.
    pub column: String,
    /// Why the values became null.
    pub reason: String,
    /// The number of rows.
    pub rows: u64,
    /// Examples, each with the key of its row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// A file that is slow to load and to rewrite, of a table that can be partitioned more finely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeFile {
    /// The path in the lake.
    pub file: String,
    /// The size in bytes.
    pub bytes: u64,
    /// The value for `partition` that makes smaller files.
    pub finer: String,
}

/// The size in bytes above which a file is reported.
const LARGE: u64 = 512_000_000;

/// Return the large files of this run whose table can be partitioned more finely.
pub(super) fn large_files(
    contracts: &Contracts,
    tables: &BTreeMap<String, NextTable>,
) -> Vec<LargeFile> {
    let mut found = Vec::new();
    for contract in contracts.iter() {
        let Some(finer) = layout::finer(contract) else {
            continue;
        };
        let files = tables.get(&contract.name()).map(|table| &table.files);
        for (path, file) in files.into_iter().flatten() {
            if let NextFile::Staged(written) = file
                && written.bytes > LARGE
            {
                found.push(LargeFile {
                    file: path.clone(),
                    bytes: written.bytes,
                    finer: finer.to_owned(),
                });
            }
        }
    }
    found
}

/// The finding of a check: rows that a user should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The full name of the repository; empty if the finding concerns no repository.
    pub repository: String,
    /// The kind of finding, as the check names it.
    pub kind: String,
    /// The number of rows.
    pub n: i64,
}

/// The findings of checks.
#[derive(Debug, Default)]
pub struct CheckResults {
    /// The findings that need attention.
    pub warnings: Vec<Warning>,
    /// The findings that their check marks as expected.
    pub notices: Vec<Warning>,
}

impl CheckResults {
    fn extend(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.notices.extend(other.notices);
    }
}

/// Run the bundled checks whose file is `selected`, and collect their findings.
///
/// # Errors
/// [`ErrorKind::Lake`] when a check fails, naming its file.
pub(super) async fn run_checks(
    engine: &Engine,
    selected: impl Fn(&str) -> bool,
) -> Result<CheckResults> {
    let mut all = CheckResults::default();
    for (file, sql) in steps::checks().filter(|(file, _)| selected(file)) {
        let found = run_check(engine, sql).await;
        all.extend(found.map_err(|error| error.with("file", file))?);
    }
    Ok(all)
}

/// Run one check. Its columns are `repository`, `kind`, `n` and, if some findings are expected, `is_expected`.
async fn run_check(engine: &Engine, sql: &str) -> Result<CheckResults> {
    let frame = engine.plan(sql, &[]).await?;
    let batches = frame
        .collect()
        .await
        .or_error(ErrorKind::Lake, "a check fails")?;
    let mut found = CheckResults::default();
    for batch in batches {
        let column = |name: &str, to: &DataType| {
            let array = batch
                .column_by_name(name)
                .ok_or(name)
                .or_error(ErrorKind::Internal, "a check lacks a column")?;
            cast(array, to).or_error(ErrorKind::Internal, "a check's column has the wrong type")
        };
        let repository = column("repository", &DataType::Utf8)?;
        let kind = column("kind", &DataType::Utf8)?;
        let n = column("n", &DataType::Int64)?;
        let expected = match batch.column_by_name("is_expected") {
            Some(_) => Some(column("is_expected", &DataType::Boolean)?),
            None => None,
        };
        for row in 0..batch.num_rows() {
            let is_expected = expected
                .as_ref()
                .is_some_and(|it| it.as_boolean().value(row));
            let list = match is_expected {
                true => &mut found.notices,
                false => &mut found.warnings,
            };
            list.push(Warning {
                repository: repository.as_string::<i32>().value(row).to_owned(),
                kind: kind.as_string::<i32>().value(row).to_owned(),
                n: n.as_primitive::<Int64Type>().value(row),
            });
        }
    }
    for list in [&mut found.warnings, &mut found.notices] {
        list.sort_by(|a, b| (&a.repository, &a.kind).cmp(&(&b.repository, &b.kind)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::WrittenFile;

    /// Return the advice for one file of `bytes` bytes.
    fn advice(table: &str, bytes: u64) -> Vec<String> {
        let mut next = NextTable::default();
        let written = WrittenFile {
            path: "staged".into(),
            rows: 1,
            bytes,
            sha256: String::new(),
            bounds: BTreeMap::new(),
        };
        next.files
            .insert("a file".to_owned(), NextFile::Staged(written));
        let tables = BTreeMap::from([(table.to_owned(), next)]);
        let found = large_files(Contracts::bundled().unwrap(), &tables);
        found.into_iter().map(|it| it.finer).collect()
    }

    #[test]
    fn a_large_file_is_reported_with_the_next_finer_partition() {
        assert_eq!(advice("domain.commits", LARGE), [""; 0]);
        assert_eq!(advice("domain.commits", LARGE + 1), ["day"]);
        assert_eq!(advice("domain.repo_commits", LARGE + 1), ["repository"]);
        assert_eq!(advice("domain.commit_parents", LARGE + 1), [""; 0]);
        assert_eq!(advice("bitbucket.commits", LARGE + 1), [""; 0]);
    }
}
