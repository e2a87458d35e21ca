//! `keep_history`: every version of every record, exactly once.

use bitlake_sandbox::Sandbox;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;

const SOURCE: [&str; 1] = ["config"];
const VERSIONS: &str =
    "SELECT id, title, _seen_at FROM history.pull_requests ORDER BY id, _seen_at";

/// Change the record of a pull request at Bitbucket.
fn retitle(bench: &Bench, source: &TempDir, title: &str, updated_on: &str) {
    let path = source.path().join("acme/web/pull_requests.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["title"] = json!(title);
        record["updated_on"] = json!(updated_on);
        record.to_string()
    });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    bench.sandbox.reload().unwrap();
}

async fn night(bench: &mut Bench, time: &str) -> u64 {
    bench.now = at(time);
    bench.complete().await;
    let report = bench.transform(&SOURCE).await.unwrap();
    report.published.files_written
}

/// Start a server whose clock stands still before all changes, so that each run requests them again; return its workspace.
async fn bench() -> (Bench, TempDir) {
    let source = tempfile::tempdir().unwrap();
    copy(&fixture("quirks/approval_activity"), source.path());
    let server = Sandbox::builder().workspace_dir(source.path());
    let mut bench = Bench::new(server.date(at("2026-09-10T00:00:00Z"))).await;
    bench.keys = "keep_history = true".to_owned();
    retitle(&bench, &source, "one", "2026-09-11T10:00:00+00:00");
    (bench, source)
}

#[tokio::test]
async fn every_version_is_kept_once_and_unchanged_records_are_not_written() {
    let (mut bench, source) = bench().await;
    night(&mut bench, "2026-10-30T02:00:00Z").await;
    assert_eq!(night(&mut bench, "2026-10-31T02:00:00Z").await, 0);

    retitle(&bench, &source, "two", "2026-10-31T12:00:00+00:00");
    night(&mut bench, "2026-11-01T02:00:00Z").await;
    retitle(&bench, &source, "one", "2026-11-01T12:00:00+00:00");
    night(&mut bench, "2026-11-02T02:00:00Z").await;
    assert_eq!(
        bench.query(VERSIONS).await,
        [
            "31 | one | 2026-10-30T02:00:00Z",
            "31 | two | 2026-11-01T02:00:00Z",
            "31 | one | 2026-11-02T02:00:00Z",
        ]
    );
    let manifest = bench.lake.manifest().await.unwrap();
    let files: Vec<_> = manifest
        .files("history.pull_requests")
        .map(|(path, file)| (path.as_str(), file.rows))
        .collect();
    assert_eq!(
        files,
        [
            ("history/pull_requests/seen_month=2026-10/part-0.parquet", 1),
            ("history/pull_requests/seen_month=2026-11/part-0.parquet", 2),
        ]
    );
}

#[tokio::test]
async fn versions_between_two_transforms_are_kept_too() {
    let (mut bench, source) = bench().await;
    night(&mut bench, "2026-10-30T02:00:00Z").await;
    for (title, changed, collected) in [("two", 10, 10), ("two", 10, 11), ("three", 12, 12)] {
        let updated_on = format!("2026-10-31T{changed}:00:00+00:00");
        retitle(&bench, &source, title, &updated_on);
        bench.now = at(&format!("2026-10-31T{collected}:30:00Z"));
        bench.complete().await;
    }
    bench.transform(&SOURCE).await.unwrap();
    assert_eq!(
        bench.query(VERSIONS).await,
        [
            "31 | one | 2026-10-30T02:00:00Z",
            "31 | two | 2026-10-31T10:30:00Z",
            "31 | three | 2026-10-31T12:30:00Z",
        ]
    );
}

#[tokio::test]
async fn a_run_that_is_killed_between_publish_and_state_doubles_no_version() {
    let (mut bench, source) = bench().await;
    night(&mut bench, "2026-10-30T02:00:00Z").await;
    for (title, day) in [("two", 1), ("three", 2)] {
        let updated_on = format!("2026-11-0{day}T01:00:00+00:00");
        retitle(&bench, &source, title, &updated_on);
        bench.now = at(&format!("2026-11-0{day}T02:00:00Z"));
        bench.complete().await;
    }
    // A run killed before the put of the state leaves published files and pending segments.
    let private = bench.folder.path().join("lake/_bitlake");
    let saved = tempfile::tempdir().unwrap();
    for folder in ["state", "segments"] {
        copy(&private.join(folder), &saved.path().join(folder));
    }
    bench.transform(&SOURCE).await.unwrap();
    let versions = bench.query(VERSIONS).await;
    assert_eq!(versions.len(), 3);
    for folder in ["state", "segments"] {
        copy(&saved.path().join(folder), &private.join(folder));
    }
    let report = bench.transform(&SOURCE).await.unwrap();
    assert_eq!(report.published.files_written, 0);
    assert_eq!(bench.query(VERSIONS).await, versions);
}

#[tokio::test]
async fn history_begins_with_the_published_records() {
    let (mut bench, source) = bench().await;
    bench.keys.clear();
    night(&mut bench, "2026-10-30T02:00:00Z").await;
    assert!(!bench.folder.path().join("lake/history").exists());
    bench.keys = "keep_history = true".to_owned();
    bench.now = at("2026-10-31T02:00:00Z");
    bench.transform(&SOURCE).await.unwrap();
    retitle(&bench, &source, "two", "2026-10-31T12:00:00+00:00");
    night(&mut bench, "2026-11-01T02:00:00Z").await;
    assert_eq!(
        bench.query(VERSIONS).await,
        [
            "31 | one | 2026-10-31T02:00:00Z",
            "31 | two | 2026-11-01T02:00:00Z",
        ]
    );
}
