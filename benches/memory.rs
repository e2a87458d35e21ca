//! Resident memory of a transform whose source layer is larger than the memory that it may use.
//!
//! `cargo bench --bench memory [-- LIMIT_MIB [PAYLOAD_MIB]]` makes a lake of pull requests with long descriptions and
//! transforms it twice, each time in a process of its own: the first folds segments, the second rebuilds what is
//! published. What is printed is the peak that Linux counted for the process, and its ratio to the limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use bitlake::config::Config;
use bitlake::lake::{EntityState, EntityStatus, Lake, SegmentWriter, State};
use bitlake::schema::{Contracts, Decoder, Envelope, Parent, Record};
use bitlake::transform::{Options, transform};
use chrono::{DateTime, Utc};

const REPOSITORIES: usize = 4;
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
    runtime.block_on(generate(folder.path(), payload * MIB / DESCRIPTION));
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

fn now() -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

/// The largest resident size that this process ever had.
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
    // Past the check of the configuration, so that a small lake can show the same.
    config.lake.memory_limit = Some(limit * MIB as u64);
    let lake = Lake::create(&config.lake.url).unwrap();
    let lock = lake.lock().unwrap();
    let options = Options {
        rebuild,
        ..Options::default()
    };
    transform(&config, &lake, &lock, "bench", now(), &options)
        .await
        .unwrap();
}

/// Repositories whose pull requests wait in segments.
async fn generate(folder: &Path, pull_requests: usize) {
    let lake = Lake::create(folder.join("lake").to_str().unwrap()).unwrap();
    let contract = Contracts::bundled()
        .unwrap()
        .require("bitbucket", "pull_requests")
        .unwrap();
    let mut random = Random(1);
    for n in 0..REPOSITORIES {
        let uuid = format!("{{repo-{n}}}");
        let full_name = format!("acme/repo-{n}");
        let envelope = Envelope {
            connection_id: 1,
            workspace: "acme".to_owned(),
            repository: full_name.clone(),
            uuid: uuid.clone(),
        };
        let mut decoder = Decoder::new(Arc::clone(contract), envelope);
        let mut segment = SegmentWriter::create(&lake, contract, 1, &uuid, "bench").unwrap();
        let count = pull_requests / REPOSITORIES;
        for from in (1..=count).step_by(100) {
            let records = (from..(from + 100).min(count + 1)).map(|id| record(id, &mut random));
            let batch = decoder.decode(&records.collect::<Vec<_>>()).unwrap();
            segment.write(&batch).unwrap();
        }
        let segment = segment.finish(true).await.unwrap();
        let known = EntityState {
            status: EntityStatus::Complete,
            reason: None,
            complete_from: None,
            complete_through: Some(now()),
            stale_since: None,
            segments: vec![segment],
        };
        let state = State {
            format_version: 1,
            connection_id: 1,
            uuid,
            full_name,
            published_as: None,
            bitbucket_project: None,
            since: now(),
            since_setting: "6 months".to_owned(),
            missing_since: None,
            deleted: false,
            entities: BTreeMap::from([("pull_requests".to_owned(), known)]),
        };
        lake.put_state(&state).await.unwrap();
    }
}

fn record(id: usize, random: &mut Random) -> Record {
    let month = 1 + id % 12;
    let payload = serde_json::json!({
        "type": "pullrequest", "id": id, "title": format!("Change {id}"), "description": random.text(DESCRIPTION),
        "state": "OPEN", "created_on": format!("2026-{month:02}-01T10:00:00+00:00"),
        "updated_on": format!("2026-{month:02}-02T10:00:00+00:00"),
    });
    Record {
        key: id.to_string(),
        parent: Parent::None,
        payload: payload.to_string(),
    }
}

/// Text that does not compress well, the same in every run.
struct Random(u64);

impl Random {
    fn text(&mut self, length: usize) -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
        let letter = |_| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            char::from(letters[(self.0 % 64) as usize])
        };
        (0..length).map(letter).collect()
    }
}
