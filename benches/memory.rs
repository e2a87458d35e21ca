//! Measure the resident memory of a transform whose source layer exceeds its memory limit.
//!
//! `cargo bench --bench memory [-- LIMIT_MIB [PAYLOAD_MIB]]` creates a lake of pull requests with long descriptions and
//! transforms it twice, each time in its own process: the first run merges segments, the second rebuilds the published
//! tables. It prints the process's peak resident size as Linux counts it, and its ratio to the limit.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use bitlake::config::Config;
use bitlake::lake::Lake;
use bitlake::transform::{TransformOptions, transform};

#[path = "../tests/it/wide.rs"]
mod wide;

const DESCRIPTION: usize = 10_000;
const MIB: usize = 1 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [child, lake, limit] = args.as_slice()
        && ["fold", "rebuild"].contains(&child.as_str())
    {
        runtime.block_on(child_run(
            Path::new(lake),
            limit.parse().unwrap(),
            child == "rebuild",
        ));
        println!("{}", peak_kib());
        return ExitCode::SUCCESS;
    }
    let number = |n: usize, default: usize| args.get(n).map_or(default, |it| it.parse().unwrap());
    let limit = number(0, 1024);
    let payload = number(1, 2 * limit);
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let lake = Lake::create(
        folder.path().join("lake").to_str().unwrap(),
        &BTreeMap::new(),
    )
    .unwrap();
    let pull_requests = payload * MIB / DESCRIPTION;
    runtime.block_on(wide::generate(&lake, 4, pull_requests, DESCRIPTION));
    println!(
        "source layer: {payload} MiB of payloads, made in {:?}; limit {limit} MiB",
        begun.elapsed()
    );
    for what in ["fold", "rebuild"] {
        let begun = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args([what, folder.path().to_str().unwrap(), &limit.to_string()])
            .output()
            .unwrap();
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            return ExitCode::FAILURE;
        }
        let peak: usize = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap();
        println!(
            "{what:<8} peak {:>5} MiB, {:.2} of the limit, {:?}",
            peak / 1024,
            peak as f64 / 1024.0 / limit as f64,
            begun.elapsed()
        );
    }
    ExitCode::SUCCESS
}

/// Return the peak resident size of this process.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn child_run(folder: &Path, limit: u64, rebuild: bool) {
    let text = format!(
        "[lake]\nurl = {:?}\n",
        folder.join("lake").to_str().unwrap()
    );
    let mut config =
        Config::parse(&text, Path::new("bitlake.toml"), &BTreeMap::new(), &[]).unwrap();
    // Set after the check of the configuration, so that a small lake can show the effect.
    config.lake.memory_limit = Some(limit * MIB as u64);
    let lake = Lake::create(&config.lake.url, &BTreeMap::new()).unwrap();
    let lock = lake.lock().unwrap();
    let options = TransformOptions {
        rebuild,
        ..TransformOptions::default()
    };
    transform(&config, &lake, &lock, "bench", wide::now(), &options)
        .await
        .unwrap();
}
