//! The publish protocol against a process that dies at any operation of the store, before or after its effect: a glob always
//! finds each partition complete, and the next run ends in the bytes of an undisturbed one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bitlake::error::ErrorKind;

use super::faulty::{Act, Faulty};
use super::stores::{self, Ground, JULY, JUNE, MAY, Staged};

const AUGUST: &str = "domain/things/created_month=2026-08/part-0.parquet";
const DAY: &str = "domain/things/created_day=2026-05-01/part-0.parquet";

/// The published files, the files of the run that dies, and those of the next run.
type Files = &'static [(&'static str, usize)];
const BEFORE: Files = &[(MAY, 10), (JUNE, 20), (JULY, 30)];
/// One partition changes, one is removed, one is added, one is unchanged.
const AFTER: Files = &[(MAY, 11), (JUNE, 20), (AUGUST, 40)];
/// A later run with other changes than the dead one.
const LATER: Files = &[(MAY, 10), (JUNE, 21), (JULY, 30)];
/// Every partition differs.
const LAST: Files = &[(MAY, 50), (JUNE, 51), (JULY, 52), (AUGUST, 53)];
/// A table with another layout.
const MOVED: Files = &[(DAY, 60)];

#[tokio::test]
async fn a_death_while_publishing_to_memory_is_repaired() {
    every_death(stores::memory).await;
}

#[tokio::test]
async fn a_death_while_publishing_to_a_folder_is_repaired() {
    every_death(stores::folder).await;
}

async fn every_death(ground: fn() -> Ground) {
    let staged = Staged::new();
    for (wanted, next) in [
        (AFTER, AFTER),
        (AFTER, LATER),
        (MOVED, MOVED),
        (MOVED, AFTER),
    ] {
        let expected = bytes(&staged, next);
        for done in [false, true] {
            let mut deaths = 0;
            for k in 1.. {
                let ground = ground();
                let lake = ground.lake();
                staged.publish(&lake, "r1", BEFORE).await.unwrap();
                if !dies(&ground, &staged, "r2", wanted, k, done).await {
                    break;
                }
                deaths += 1;
                let when =
                    format!("{wanted:?}, then {next:?}: dead at operation {k}, done: {done}");
                every_partition_is_whole(&ground, &staged, &[BEFORE, wanted], &when).await;
                // The next run dies as well, each time at another operation.
                dies(&ground, &staged, "r3", next, deaths * 7 % 23 + 1, !done).await;
                every_partition_is_whole(&ground, &staged, &[BEFORE, wanted, next], &when).await;

                staged.publish(&lake, "r4", next).await.unwrap();
                assert_eq!(ground.files().await, expected, "{when}");
                let manifest = lake.manifest().await.unwrap();
                assert!(manifest.intent.is_none(), "{when}");
                let files: Vec<_> = manifest.files("domain.things").collect();
                assert_eq!(files.len(), next.len(), "{when}");
                for (path, entry) in files {
                    assert!(
                        lake.has_content(path, entry).await.unwrap(),
                        "{when}: {path}"
                    );
                }
                // The manifest has everything that a later change needs.
                let last = staged.publish(&lake, "r5", LAST).await;
                last.unwrap_or_else(|error| panic!("{when}: {error}"));
            }
            assert!(
                deaths >= 8,
                "{deaths}: the protocol has more operations than that"
            );
        }
    }
}

/// Publish over a store that dies; return whether it died.
async fn dies(
    ground: &Ground,
    staged: &Staged,
    run: &str,
    files: Files,
    k: usize,
    done: bool,
) -> bool {
    let lake = ground.over(Faulty::dies_at(Arc::clone(&ground.store), k, done));
    let result = staged.publish(&lake, run, files).await;
    if let Err(error) = &result {
        assert_eq!(error.kind(), ErrorKind::Lake, "{error}");
    }
    ground.expire().await;
    result.is_err()
}

fn bytes(staged: &Staged, files: Files) -> BTreeMap<String, Vec<u8>> {
    let bytes = files
        .iter()
        .map(|(path, n)| ((*path).to_owned(), staged.bytes(*n)));
    bytes.collect()
}

/// Check that each file was published by one of the runs, and that files of all runs exist.
async fn every_partition_is_whole(
    ground: &Ground,
    staged: &Staged,
    publishes: &[Files],
    when: &str,
) {
    let found = ground.files().await;
    for (path, bytes) in &found {
        let published = publishes
            .iter()
            .flat_map(|files| files.iter())
            .filter(|(candidate, _)| candidate == path);
        assert!(
            published.clone().any(|(_, n)| staged.bytes(*n) == *bytes),
            "{when}: {path}"
        );
    }
    let cut_alike = |files: &[(&str, usize)]| files.iter().all(|(path, _)| !path.contains("day"));
    if publishes.iter().all(|files| cut_alike(files)) {
        for (path, _) in publishes[0] {
            let wanted = |files: &&Files| files.iter().any(|(candidate, _)| candidate == path);
            if publishes.iter().all(|files| wanted(&files)) {
                assert!(found.contains_key(*path), "{when}: {path} is not there");
            }
        }
    } else {
        let cuts = ["day", "month"].map(|cut| found.keys().any(|path| path.contains(cut)));
        assert_ne!(cuts, [true, true], "{when}: cut both ways at once");
    }
}

/// A file that a run keeps may be the work of a run that died before it updated the manifest.
#[tokio::test]
async fn a_kept_file_is_described_as_it_is() {
    for ground in [stores::memory(), stores::folder()] {
        let (lake, staged) = (ground.lake(), Staged::new());
        staged.publish(&lake, "r1", BEFORE).await.unwrap();
        // The run changes a file and dies before it writes the manifest.
        let dying = Faulty::dies_when(Arc::clone(&ground.store), |op| {
            op.path.contains("_bitlake/manifests/")
        });
        let error = staged.publish(&ground.over(dying), "r2", AFTER).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Lake);
        ground.expire().await;
        let base = lake
            .inventory(bitlake::lake::InventoryDepth::Listing)
            .await
            .unwrap();
        let mut tables = staged.tables(&[(JULY, 30)]);
        for table in tables.values_mut() {
            for path in [MAY, JUNE] {
                let kept = bitlake::lake::NextFile::Kept;
                table.files.insert(path.to_owned(), kept);
            }
        }
        let lock = lake.lock().unwrap();
        let now = chrono::Utc::now();
        bitlake::lake::publish(&lake, &lock, "r3", now, &base, tables)
            .await
            .unwrap();
        let manifest = lake.manifest().await.unwrap();
        assert_eq!(manifest.table("domain.things").unwrap().rows, 11 + 20 + 30);
        let files: BTreeMap<_, _> = manifest.files("domain.things").collect();
        assert_eq!(files.len(), 3);
        for (path, entry) in &files {
            assert!(lake.has_content(path, entry).await.unwrap(), "{path}");
        }
        let may = files[&MAY.to_owned()];
        assert_eq!(may.sha256, staged.file(11).sha256);
        assert_eq!(may.bounds["id"].1, "00000010");
    }
}

/// Transient errors are retried; a request that was executed without a reply is not executed twice.
#[tokio::test]
async fn a_publish_survives_lost_replies_and_transient_faults() {
    let staged = Staged::new();
    for lost in [true, false] {
        for k in 1..40 {
            let ground = stores::memory();
            let lake = ground.lake();
            staged.publish(&lake, "r1", BEFORE).await.unwrap();
            let passing = Faulty::new(Arc::clone(&ground.store), move |op| {
                match op.n == k && op.name == "put" {
                    true if lost => Act::LoseReply,
                    true => Act::Fail(std::io::ErrorKind::TimedOut),
                    false => Act::Go,
                }
            });
            let done = staged.publish(&ground.over(passing), "r2", AFTER).await;
            assert_eq!(done.unwrap().files_written, 2, "operation {k}");
            assert_eq!(ground.files().await, bytes(&staged, AFTER));
            for (path, entry) in lake.manifest().await.unwrap().files("domain.things") {
                assert!(lake.has_content(path, entry).await.unwrap(), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_folder_say_what_to_do() {
    let staged = Staged::new();
    for (kind, fix) in [
        (
            std::io::ErrorKind::StorageFull,
            "free some space, then run again",
        ),
        (
            std::io::ErrorKind::ReadOnlyFilesystem,
            "check the folder's permissions",
        ),
    ] {
        let ground = stores::folder();
        staged.publish(&ground.lake(), "r1", BEFORE).await.unwrap();
        let full = Faulty::new(Arc::clone(&ground.store), move |op| match op.name {
            "part" => Act::Fail(kind),
            _ => Act::Go,
        });
        let error = staged.publish(&ground.over(full), "r2", AFTER).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert!(error.to_string().ends_with(fix), "{error}");
        assert_eq!(error.context("file"), Some(MAY));
        assert_eq!(ground.files().await, bytes(&staged, BEFORE));
        staged.publish(&ground.lake(), "r3", AFTER).await.unwrap();
        assert_eq!(ground.files().await, bytes(&staged, AFTER));
    }
}

#[tokio::test]
async fn a_damaged_manifest_is_an_error_that_says_what_to_do() {
    let ground = stores::folder();
    let (lake, staged) = (ground.lake(), Staged::new());
    staged.publish(&lake, "r1", BEFORE).await.unwrap();
    let path = lake.folder().unwrap().join("_bitlake/manifest.json");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 3] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = staged.publish(&lake, "r2", AFTER).await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert_eq!(error.context("file"), Some("_bitlake/manifest.json"));
        let fix = "put the newest file of _bitlake/manifests/ in its place, then run again";
        assert!(error.to_string().ends_with(fix), "{error}");
        assert_eq!(ground.files().await, bytes(&staged, BEFORE));
    }
    std::fs::copy(path.with_file_name("manifests").join("r1.json"), &path).unwrap();
    staged.publish(&lake, "r2", AFTER).await.unwrap();
    assert_eq!(ground.files().await, bytes(&staged, AFTER));
}

/// Some readers read every file of a table's folder.
#[tokio::test]
async fn nothing_grows_in_a_folder_that_is_read() {
    let ground = stores::folder();
    let (lake, staged) = (ground.lake(), Staged::new());
    staged.publish(&lake, "r1", BEFORE).await.unwrap();
    let table = lake.folder().unwrap().join("domain/things");
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let watched = Faulty::new(Arc::clone(&ground.store), move |_| {
        for month in std::fs::read_dir(&table).unwrap() {
            for file in std::fs::read_dir(month.unwrap().path()).unwrap() {
                assert_eq!(file.unwrap().file_name(), "part-0.parquet");
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
        Act::Go
    });
    staged
        .publish(&ground.over(watched), "r2", AFTER)
        .await
        .unwrap();
    assert!(seen.load(Ordering::SeqCst) > 20);
}

/// A manifest kept for a publish that never happened is no publish.
#[tokio::test]
async fn a_dead_runs_manifest_is_forgotten() {
    let ground = stores::memory();
    let (lake, staged) = (ground.lake(), Staged::new());
    staged.publish(&lake, "r1", BEFORE).await.unwrap();
    let kept = AtomicBool::new(false);
    let dying = Faulty::dies_when(Arc::clone(&ground.store), move |op| {
        let before = kept.load(Ordering::SeqCst);
        kept.fetch_or(op.path.contains("_bitlake/manifests/"), Ordering::SeqCst);
        before
    });
    staged
        .publish(&ground.over(dying), "r2", AFTER)
        .await
        .unwrap_err();
    assert!(
        lake.former_manifest("r2").await.is_ok(),
        "it was kept already"
    );
    ground.expire().await;
    staged.publish(&lake, "r3", LATER).await.unwrap();
    assert!(lake.former_manifest("r2").await.is_err());
}

#[tokio::test]
async fn the_last_hundred_publishes_are_kept() {
    let (lake, staged) = (stores::memory().lake(), Staged::new());
    staged.publish(&lake, "r000", AFTER).await.unwrap();
    for n in 1..120 {
        let path = format!("_bitlake/manifests/r{n:03}.json");
        lake.put_json(&path, &n).await.unwrap();
    }
    staged.publish(&lake, "r500", BEFORE).await.unwrap();
    let kept = lake.list("_bitlake/manifests").await.unwrap();
    assert_eq!(kept.len(), 100);
    assert!(
        kept[0].ends_with("r021.json") && kept[99].ends_with("r500.json"),
        "{kept:?}"
    );
}
