//! What a transform did, for the run report.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use serde::{Deserialize, Serialize};

use super::layout;
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{NextFile, NextTable, PublishSummary};
use crate::schema::{Contracts, times::OddTimes};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// Rows by table, of the tables that were made.
    pub rows: BTreeMap<String, u64>,
    /// Values that did not fit their column when records were decoded again, by table and path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    /// Those of them that are times which no engine can hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub odd_times: BTreeMap<String, BTreeMap<String, OddTimes>>,
    /// Secrets that were removed when records were decoded again, by table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redactions: BTreeMap<String, u64>,
    pub published: PublishSummary,
    /// PublishSummary files that were missing or damaged, with what was wrong, and that this run made again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repaired: BTreeMap<String, String>,
    pub warnings: Vec<Warning>,
    /// What of the tables that `[[table]]` brings was something and is null now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulled: Vec<NulledValues>,
    /// What falls out of the figures, or limits them, and is right as it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Warning>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_files: Vec<LargeFile>,
}

/// Values of one column of a brought table that are null in the lake, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NulledValues {
    /// `layer.table`.
    pub table: String,
    /// Of the `[[table]]`.
    pub location: String,
    /// Of the table, or a path in the file.
    pub column: String,
    pub reason: String,
    pub rows: u64,
    /// A few of them, each with its row's key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// A file so large that loading or rewriting it takes its time, of a table that could be cut more finely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeFile {
    pub file: String,
    pub bytes: u64,
    /// What `partition` could be.
    pub finer: String,
}

/// Bytes above which a file is reported.
const LARGE: u64 = 512_000_000;

/// The files of this run that are large and could be smaller.
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

/// Rows that are right as far as they go, and that somebody should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub repository: String,
    pub kind: String,
    pub n: i64,
}

/// What checks found.
#[derive(Debug, Default)]
pub struct CheckResults {
    pub warnings: Vec<Warning>,
    /// The rows that their check calls expected.
    pub notices: Vec<Warning>,
}

impl CheckResults {
    pub(super) fn extend(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.notices.extend(other.notices);
    }
}

/// TransformRun a check, whose columns are `repository`, `kind`, `n` and, if some rows are no warnings, `is_expected`.
pub(super) async fn read_check(engine: &Engine, sql: &str) -> Result<CheckResults> {
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

    /// What is advised for one file of so many bytes.
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
    fn a_large_file_is_reported_with_the_next_finer_cut_that_its_table_has() {
        assert_eq!(advice("domain.commits", LARGE), [""; 0]);
        assert_eq!(advice("domain.commits", LARGE + 1), ["day"]);
        assert_eq!(advice("domain.repo_commits", LARGE + 1), ["repository"]);
        assert_eq!(advice("domain.commit_parents", LARGE + 1), [""; 0]);
        assert_eq!(advice("bitbucket.commits", LARGE + 1), [""; 0]);
    }
}
