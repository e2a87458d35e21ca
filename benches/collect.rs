//! Time a first collection by bitlake and by dlt's REST source, from the same server.
//!
//! ```text
//! cargo bench --bench collect                S10
//! cargo bench --bench collect -- S1          another size
//!     --repeat 3      runs of each, of which the one with the least CPU time counts (2)
//!     --docs          put the figures into docs/src/performance.md
//! ```
//!
//! The sandbox serves the synthetic workspace of `cargo bench --bench transform` on loopback. It makes each reply once,
//! before the first measured run, so that its own time is small. Both programs request the same lists in pages of the same
//! size, without waiting for a quota, and write Parquet to the local disk. dlt comes from PyPI
//! (`benches/dlt/requirements.txt`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use support::measure::{Cost, machine, measured, python};
use support::workspace::{Size, TOKEN, configuration, lakes, serve};
use support::{docs, tables};

#[allow(dead_code, reason = "some of it serves the other benchmark")]
mod support;

/// Records by table, and what they cost.
struct Collection {
    records: BTreeMap<String, u64>,
    cost: Cost,
}

impl Collection {
    /// Return the records of the lists that `other` collects as well.
    fn shared_records(&self, other: &Self) -> u64 {
        let shared = self
            .records
            .iter()
            .filter(|(table, _)| other.records.contains_key(*table));
        shared.map(|(_, records)| records).sum()
    }
}

/// Collect with `bitlake collect`.
fn bitlake(size: Size, endpoint: &str) -> Collection {
    let folder = TempDir::new_in(lakes()).unwrap();
    let path = folder.path().join("bitlake.toml");
    let lake = folder.path().join("lake");
    std::fs::write(&path, configuration(size, lake.to_str().unwrap(), endpoint)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
    command
        .args(["collect", "--log-format", "json", "--config"])
        .arg(&path);
    command.env("RUST_LOG", "error").env(TOKEN, "s3cr3t");
    let (printed, cost) = measured(&mut command, folder.path());
    let report: Value = serde_json::from_str(&printed).unwrap();
    let mut records = BTreeMap::new();
    for repository in report["collect"]["repositories"].as_array().unwrap() {
        for (table, entity) in repository["entities"].as_object().unwrap() {
            *records.entry(table.clone()).or_default() += entity["records"].as_u64().unwrap();
        }
    }
    Collection { records, cost }
}

/// Collect with dlt.
fn dlt(python: &Path, endpoint: &str) -> Collection {
    let folder = TempDir::new_in(lakes()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/dlt/collect.py");
    let mut command = Command::new(python);
    command.arg(script).arg(endpoint).arg(folder.path());
    let (printed, cost) = measured(&mut command, folder.path());
    let records = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    Collection { records, cost }
}

/// Keep the run with the least CPU time.
fn keep(known: Option<Collection>, run: Collection) -> Option<Collection> {
    match known {
        Some(known) if known.cost.cpu <= run.cost.cpu => Some(known),
        _ => Some(run),
    }
}

fn compare(size: Size, endpoint: &str, python: &Path, repeat: usize) -> String {
    // The server makes its replies here.
    bitlake(size, endpoint);
    dlt(python, endpoint);
    let (mut ours, mut theirs) = (None, None);
    for _ in 0..repeat {
        ours = keep(ours, bitlake(size, endpoint));
        theirs = keep(theirs, dlt(python, endpoint));
    }
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let records = ours.shared_records(&theirs);
    assert_eq!(
        records,
        theirs.shared_records(&ours),
        "{:?}, {:?}",
        ours.records,
        theirs.records
    );

    let columns = ["bitlake", "dlt", "ratio"].map(str::to_owned);
    let mut table = tables::Table::new(&size.to_string(), columns);
    let mut row = |name: &str, digits: usize, of: &dyn Fn(&Cost) -> f64| {
        let (ours, theirs) = (of(&ours.cost), of(&theirs.cost));
        let cells = [ours, theirs].map(|figure| format!("{figure:.digits$}"));
        table.row(
            name,
            cells.into_iter().chain([format!("{:.2}", ours / theirs)]),
        );
    };
    let thousands = records as f64 / 1000.0;
    row("records", 0, &|_| records as f64);
    row("wall time, s", 1, &|cost| cost.wall);
    row("records per second", 0, &|cost| records as f64 / cost.wall);
    row("CPU per 1,000 records, ms", 1, &|cost| {
        1000.0 * cost.cpu / thousands
    });
    row("peak memory, MiB", 0, &|cost| cost.peak_mib());
    table.to_string()
}

fn main() {
    let (mut sizes, mut repeat, mut in_docs) = (Vec::new(), 2, false);
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--docs" => in_docs = true,
            "--repeat" => {
                repeat = args
                    .next()
                    .and_then(|it| it.parse().ok())
                    .expect("a number")
            }
            size => sizes.push(Size::parse(size).expect("a size, such as S10")),
        }
    }
    if sizes.is_empty() {
        sizes.push(Size(10));
    }
    let python = python("benches/dlt");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut text = format!("Measured with {}.\n", machine());
    for size in sizes {
        let (sandbox, _) = runtime.block_on(serve(size, 0));
        text.push_str(&format!(
            "\n{}",
            compare(size, &sandbox.endpoint(), &python, repeat)
        ));
    }
    println!("{text}");
    if in_docs {
        docs::replace("collect", &text);
    }
}
