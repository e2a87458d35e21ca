//! The lake's promises: the same rows are the same bytes, and a publish changes what changed and nothing else.

use std::collections::BTreeMap;

use bitlake::lake::Lake;
use proptest::prelude::*;

use super::stores::{JUNE, MAY, Staged, rows, write};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// A plan may cut its batches anywhere.
    #[test]
    fn however_batches_are_cut_the_bytes_are_the_same(cuts in prop::collection::vec(1usize..20_000, 0..6)) {
        let folder = tempfile::tempdir().unwrap();
        let all = rows(30_000);
        let whole = write(&folder.path().join("whole.parquet"), std::slice::from_ref(&all));
        let mut slices = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([all.num_rows()]) {
            let length = cut.min(all.num_rows() - from);
            slices.push(all.slice(from, length));
            from += length;
        }
        let sliced = write(&folder.path().join("sliced.parquet"), &slices);
        prop_assert_eq!(whole.sha256, sliced.sha256);
        prop_assert_eq!(sliced.rows, 30_000);
    }
}

struct Bench {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::create(
            folder.path().join("lake").to_str().unwrap(),
            &BTreeMap::new(),
        )
        .unwrap();
        Self { folder, lake }
    }

    async fn publish(&self, files: &[(&str, usize)]) -> bitlake::lake::PublishSummary {
        let published = Staged::new().publish(&self.lake, "run", files).await;
        published.unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.lake.folder().unwrap().join(path).is_file()
    }
}

#[tokio::test]
async fn a_publish_writes_changed_files_and_removes_deleted_ones() {
    let bench = Bench::new();
    let first = bench.publish(&[(MAY, 10), (JUNE, 20)]).await;
    assert_eq!((first.files_written, first.files_unchanged), (2, 0));

    let second = bench.publish(&[(MAY, 10), (JUNE, 21)]).await;
    assert_eq!((second.files_written, second.files_unchanged), (1, 1));

    let third = bench.publish(&[(JUNE, 21)]).await;
    assert_eq!((third.files_written, third.files_removed), (0, 1));
    assert!(!bench.has(MAY) && bench.has(JUNE));

    let manifest = bench.lake.manifest().await.unwrap();
    assert!(manifest.intent.is_none());
    assert_eq!(manifest.table("domain.things").unwrap().rows, 21);
    let (_, file) = manifest.files("domain.things").next().unwrap();
    assert_eq!(
        file.bounds["id"],
        ("00000000".to_owned(), "00000020".to_owned())
    );
}

#[tokio::test]
async fn a_run_that_was_killed_while_publishing_is_made_good_by_the_next() {
    let bench = Bench::new();
    bench.publish(&[(MAY, 10)]).await;
    let undisturbed = std::fs::read(bench.lake.folder().unwrap().join(MAY)).unwrap();
    // As a kill leaves it: an intent, one file already newer than the manifest says, one that it does not know.
    let manifest = bench.lake.folder().unwrap().join("_bitlake/manifest.json");
    let mut text: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    text["intent"] =
        serde_json::json!({"run_id": "killed", "epoch": 1, "expires_at": "2026-01-01T00:00:00Z"});
    std::fs::write(&manifest, text.to_string()).unwrap();
    let staged = write(&bench.folder.path().join("killed.parquet"), &[rows(11)]);
    bench.lake.put_file(&staged.path, MAY).await.unwrap();
    bench.lake.put_file(&staged.path, JUNE).await.unwrap();

    bench.publish(&[(MAY, 10)]).await;
    assert_eq!(
        std::fs::read(bench.lake.folder().unwrap().join(MAY)).unwrap(),
        undisturbed
    );
    assert!(!bench.has(JUNE), "what nobody names is gone");
    assert!(bench.lake.manifest().await.unwrap().intent.is_none());
}

#[test]
fn only_one_run_at_a_time_writes_a_lake() {
    let bench = Bench::new();
    let held = bench.lake.lock().unwrap();
    let error = bench.lake.lock().unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    assert!(
        error
            .to_string()
            .starts_with("another run is writing this lake"),
        "{error}"
    );
    drop(held);
    let collectors = [
        bench.lake.lock_shared().unwrap(),
        bench.lake.lock_shared().unwrap(),
    ];
    assert!(bench.lake.lock().is_err());
    drop(collectors);
    let _held = bench.lake.lock().unwrap();
    assert!(bench.lake.lock_shared().is_err());
}

#[tokio::test]
async fn a_manifest_of_a_newer_version_is_refused() {
    let bench = Bench::new();
    let path = bench.lake.folder().unwrap().join("_bitlake/manifest.json");
    std::fs::write(path, r#"{"format_version": 99, "writer": "9", "run_id": null, "published_at": null, "tables": {}}"#).unwrap();
    let error = bench.lake.manifest().await.unwrap_err();
    assert!(error.to_string().ends_with("upgrade bitlake"), "{error}");
}

#[tokio::test]
async fn a_damaged_state_is_an_error_that_names_the_file() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.lake.folder().unwrap().join("_bitlake/state/1")).unwrap();
    std::fs::write(
        bench
            .lake
            .folder()
            .unwrap()
            .join("_bitlake/state/1/web.json"),
        "{\"format",
    )
    .unwrap();
    let error = bench.lake.versioned_states().await.unwrap_err().to_string();
    assert!(error.contains("file=_bitlake/state/1/web.json"), "{error}");
}
