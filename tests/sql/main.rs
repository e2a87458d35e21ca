//! The SQL rules as text cases: input rows as Bitbucket sends them, the query, the rows expected.
//!
//! Each case of `tests/sql/*.txt` is a test named `file::case`: `cargo test --test sql superseded` runs those whose name
//! contains the word. `UPDATE_CASES=1` replaces the expected rows by the actual ones.
//!
//! ```text
//! --- case superseded_pull_request_is_closed
//! --- given bitbucket.pull_requests
//! {"id": 1, "state": "SUPERSEDED"}
//! --- expect SELECT id, status FROM domain.pull_requests
//! bitbucket:BitbucketPullRequest:1:acme/web:1 | CLOSED
//! ```
//!
//! `--- expect report dora/failures project=shop` runs a bundled query with the values of its parameters.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may panic, and its helpers are public to the other files"
)]

mod given;
#[path = "../it/support/rows.rs"]
mod rows;
#[path = "../it/support/tables.rs"]
mod tables;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bitlake::engine::{bind_params, declared_params, inline_params};
use bitlake::transform::reports;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use rows::Given;
use tables::Tables;

struct Case {
    name: String,
    given: Given,
    expect: Vec<Expectation>,
}

struct Expectation {
    query: String,
    lines: Vec<String>,
    /// Where the lines stand in the file, from 0.
    place: Range<usize>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let update = std::env::var("UPDATE_CASES").is_ok();
    if update {
        // Cases of one file replace lines of it.
        arguments.test_threads = Some(1);
    }
    let runtime = Arc::new(Runtime::new().unwrap());
    let mut trials = Vec::new();
    for file in files() {
        for case in parse(&read(&file)) {
            let (file, runtime) = (file.clone(), Arc::clone(&runtime));
            let stem = file.file_stem().unwrap().to_string_lossy();
            let name = format!("{stem}::{}", case.name);
            trials.push(Trial::test(name, move || {
                runtime.block_on(run(&file, &case.name, update))
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Run one case; with `update`, replace the expected lines that differ instead of failing.
async fn run(file: &Path, name: &str, update: bool) -> Result<(), Failed> {
    let mut lines = read(file);
    let case = parse(&lines).into_iter().find(|case| case.name == name);
    let case = case.ok_or("the case is gone")?;
    let folder = tempfile::tempdir().unwrap();
    let tables = given::register(&case.given, folder.path()).await;
    let tables = tables.and_then(|(engine, names)| Tables::over(engine, names));
    let mut wrong = String::new();
    for Expectation {
        query,
        lines: expected,
        place,
    } in case.expect.iter().rev()
    {
        let sql = report(query);
        let got = match &tables {
            Ok(tables) => tables.query(&sql).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let got = got.unwrap_or_else(|error| vec![format!("error: {error}")]);
        if got != *expected {
            let (expected, actual) = (expected.join("\n    "), got.join("\n    "));
            write!(
                wrong,
                "{query}\n  expected:\n    {expected}\n  got:\n    {actual}\n"
            )
            .unwrap();
            lines.splice(place.clone(), got);
        }
    }
    if update && !wrong.is_empty() {
        std::fs::write(file, lines.join("\n") + "\n").unwrap();
    }
    match wrong.is_empty() || update {
        true => Ok(()),
        false => Err(wrong.into()),
    }
}

/// Return the SQL of `report NAME PARAM=VALUE…`, or `query` itself where it is SQL.
fn report(query: &str) -> String {
    let Some(call) = query.strip_prefix("report ") else {
        return query.to_owned();
    };
    let mut words = call.split_whitespace();
    let name = words.next().expect("a report's name");
    let (_, sql) = reports()
        .into_iter()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("there is no report {name}"));
    let given: Vec<_> = words
        .map(|word| word.split_once('=').expect("param=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let params = bind_params(declared_params(sql).unwrap(), &given).unwrap();
    inline_params(sql, &params).unwrap()
}

fn parse(lines: &[String]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut table = None;
    let mut n = 0;
    while n < lines.len() {
        let line = lines[n].trim_end();
        n += 1;
        if let Some(name) = line.strip_prefix("--- case ") {
            cases.push(Case {
                name: name.to_owned(),
                given: Given::new(),
                expect: Vec::new(),
            });
            table = None;
        } else if let Some(name) = line.strip_prefix("--- given ") {
            let case = cases.last_mut().expect("given before case");
            case.given.entry(name.to_owned()).or_default();
            table = Some(name.to_owned());
        } else if let Some(query) = line.strip_prefix("--- expect ") {
            let start = n;
            while n < lines.len()
                && !lines[n].is_empty()
                && !lines[n].starts_with("--- ")
                && !lines[n].starts_with('#')
            {
                n += 1;
            }
            let case = cases.last_mut().expect("expect before case");
            case.expect.push(Expectation {
                query: query.to_owned(),
                lines: lines[start..n].to_vec(),
                place: start..n,
            });
            table = None;
        } else if let (Some(table), false) = (&table, line.is_empty() || line.starts_with('#')) {
            let value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("line {n}: {error}"));
            let case = cases.last_mut().expect("rows before case");
            case.given.get_mut(table).unwrap().push(value);
        }
    }
    cases
}
