//! What several tests share: fixtures, the bench of library tests, tables made by the bundled steps.

mod bench;
pub mod rows;
mod tables;

use std::path::{Path, PathBuf};

use bitlake::collect::{CollectReport, EntityReport};
use chrono::{DateTime, Utc};

pub use bench::Bench;
pub use tables::{Tables, lines_of};

/// Return a path below the sandbox's fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("crates/bitlake-sandbox/fixtures")
        .join(path)
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

pub fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub fn of<'a>(report: &'a CollectReport, repository: &str, table: &str) -> &'a EntityReport {
    let repository = report
        .repositories
        .iter()
        .find(|it| it.repository == repository)
        .unwrap();
    &repository.entities[table]
}

pub fn web<'a>(report: &'a CollectReport, table: &str) -> &'a EntityReport {
    of(report, "acme/web", table)
}

pub fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}
