//! Quirks of Bitbucket, one test for each folder of `crates/bitlake-sandbox/fixtures/quirks`, named after it.
//!
//! ```text
//! fixtures/quirks/<quirk> ─▶ sandbox ─▶ collect ─▶ source layer ─▶ domain layer ─▶ the query that the test states
//! ```

mod accounts;
mod deployments;
mod endings;
mod paging;
mod pipelines;
mod pull_requests;
mod repositories;

use std::collections::BTreeSet;
use std::ops::Deref;

use bitlake::collect::{CollectReport, EntityReport};
use bitlake::lake::ListStatus;
use bitlake::transform::open_published;

use super::support::*;

const ANN: &str = "bitbucket:BitbucketAccount:1:712020:00000001-1111-4222-8333-444455556666";
const BOB: &str = "bitbucket:BitbucketAccount:1:712020:00000002-1111-4222-8333-444455556666";

/// Return the hash of the fixtures' n-th commit.
fn sha(n: u32) -> String {
    format!("{:08x}", n.wrapping_mul(2_654_435_761)).repeat(5)
}

/// A quirk's workspace, collected into the source layer; the domain layer is computed on demand.
struct Exported {
    bench: Bench,
    tables: Tables,
    report: CollectReport,
}

impl Deref for Exported {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Exported {
    /// Check the lines of a query.
    async fn gives<T: AsRef<str>>(&self, sql: &str, expected: &[T]) {
        let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        assert_eq!(self.tables.query(sql).await.unwrap(), expected, "{sql}");
    }

    /// Return the report of one list of `acme/web`.
    fn of(&self, table: &str) -> &EntityReport {
        web(&self.report, table)
    }

    fn status(&self, table: &str) -> ListStatus {
        self.of(table).status.unwrap()
    }

    fn reason(&self, table: &str) -> &str {
        self.of(table).reason.as_deref().unwrap_or_default()
    }
}

async fn export(mut bench: Bench) -> Exported {
    let report = bench.run().await.unwrap();
    bench.transform(&[]).await.unwrap();
    let engine = open_published(&bench.lake, None).await.unwrap();
    let tables = Tables::over(engine, BTreeSet::new()).unwrap();
    Exported {
        bench,
        tables,
        report,
    }
}

/// Export a quirk's workspace in which no list may fail.
async fn quirk(name: &str) -> Exported {
    let exported = export(Bench::quirk(name).await).await;
    let left: Vec<_> = exported.report.incomplete().collect();
    assert!(left.is_empty(), "{left:?}");
    exported
}

/// Export a quirk's workspace in which only the list `table` fails, with its children and, as they share the branches'
/// list, the tags.
async fn failing(name: &str, table: &str) -> Exported {
    let exported = export(Bench::quirk(name).await).await;
    assert_eq!(exported.status(table), ListStatus::Failed);
    for (_, failed, _) in exported.report.incomplete() {
        let comes_along = table == "branches" && failed == "tags";
        let is_its_own = failed.starts_with(table.trim_end_matches('s'));
        assert!(is_its_own || comes_along, "{failed}");
    }
    exported
}

#[test]
fn every_folder_has_a_test_of_its_name() {
    let tests = [
        include_str!("accounts.rs"),
        include_str!("deployments.rs"),
        include_str!("endings.rs"),
        include_str!("paging.rs"),
        include_str!("pipelines.rs"),
        include_str!("pull_requests.rs"),
        include_str!("repositories.rs"),
    ]
    .concat();
    for entry in std::fs::read_dir(fixture("quirks")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            assert!(tests.contains(&format!("async fn {name}()")), "{name}");
        }
    }
}
