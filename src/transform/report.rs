//! The result of a transform, for the run report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checks::Warning;
use super::layout;
use crate::cluster::WorkerReport;
use crate::lake::{Manifest, NextFile, NextTable, PublishSummary};
use crate::schema::{Contracts, times::OddTimes};

/// The result of a transform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// The number of rows by table, of the tables that this run made, or kept because it would have made the same.
    pub rows: BTreeMap<String, u64>,
    /// Why each table was made that a step of this run made. The steps of the other tables would have made the same again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub made: BTreeMap<String, String>,
    /// The time and memory of each step that ran, those of base tables included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, StepReport>,
    /// What each worker did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerReport>,
    /// Why steps ran on the coordinator and not on the workers, by table. Native steps always do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_coordinator: BTreeMap<String, String>,
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

/// What a step took. Two steps run at a time, whose memory counts for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The number of rows of the table.
    pub rows: u64,
    /// The duration in milliseconds.
    pub milliseconds: u64,
    /// The largest resident size of the process meanwhile, in bytes; none where the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
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

/// Return the large files of this run whose table can be partitioned more finely. `published`: describes the files that are
/// kept.
pub(super) fn large_files(
    contracts: &Contracts,
    published: &Manifest,
    tables: &BTreeMap<String, NextTable>,
) -> Vec<LargeFile> {
    let mut found = Vec::new();
    for contract in contracts.iter() {
        let Some(finer) = layout::finer(contract) else {
            continue;
        };
        let name = contract.name();
        let kept = published.table(&name).map(|table| &table.files);
        let files = tables.get(&name).map(|table| &table.files);
        for (path, file) in files.into_iter().flatten() {
            let bytes = match file {
                NextFile::Staged(written) => written.bytes,
                NextFile::Kept => kept
                    .and_then(|kept| kept.get(path))
                    .map_or(0, |it| it.bytes),
            };
            if bytes > LARGE {
                found.push(LargeFile {
                    file: path.clone(),
                    bytes,
                    finer: finer.to_owned(),
                });
            }
        }
    }
    found
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
        let found = large_files(Contracts::bundled().unwrap(), &Manifest::default(), &tables);
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
