//! The guarantees of a publish on every store: one run at a time, known files only, and rollback.

use std::sync::Arc;
use std::time::Duration;

use bitlake::error::ErrorKind;
use bitlake::lake::{InventoryDepth, Lake, LakeLocation, is_lost_race, layout, rollback};
use chrono::{TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use super::faulty::{Act, Faulty};
use super::stores::{self, Ground, JULY, JUNE, MAY, Staged, on_every_store};

on_every_store!(
    a_publish_is_what_its_manifest_says,
    a_dead_runs_intent_is_taken_over,
    a_live_runs_intent_is_respected,
    a_run_that_lost_its_lease_puts_nothing_more,
    a_publish_keeps_its_lease_as_long_as_it_takes,
    a_publish_from_an_older_manifest_is_refused,
    a_foreign_change_stops_one_run_and_is_healed_by_the_next,
    a_former_publish_is_put_back,
    a_copied_lake_is_published_to,
);

async fn a_publish_is_what_its_manifest_says(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    staged
        .publish(&lake, "r1", &[(MAY, 1), (JUNE, 2)])
        .await
        .unwrap();
    let done = staged
        .publish(&lake, "r2", &[(MAY, 1), (JULY, 3)])
        .await
        .unwrap();
    assert_eq!(
        (done.files_written, done.files_unchanged, done.files_removed),
        (1, 1, 1)
    );
    let idle = staged
        .publish(&lake, "r3", &[(MAY, 1), (JULY, 3)])
        .await
        .unwrap();
    assert_eq!((idle.files_written, idle.files_unchanged), (0, 2));

    let manifest = lake.manifest().await.unwrap();
    assert_eq!(manifest.run_id.as_deref(), Some("r2"));
    assert_eq!(manifest.table("domain.things").unwrap().rows, 4);
    let files: Vec<_> = manifest.files("domain.things").collect();
    assert_eq!(files.len(), 2);
    for (path, entry) in &files {
        assert!(lake.has_content(path, entry).await.unwrap(), "{path}");
        assert_eq!(entry.etag.is_some(), ground.is_conditional);
        assert_eq!(entry.version.is_some(), ground.is_versioned);
    }
    let (_, other) = files[1];
    assert!(!lake.has_content(MAY, other).await.unwrap());
    assert_eq!(lake.former_manifest("r2").await.unwrap(), manifest);
    let former = lake.former_manifest("r1").await.unwrap();
    assert!(former.files("domain.things").any(|(path, _)| path == JUNE));

    // A run that published nothing refers to the last run before it that did.
    let missing = lake.former_manifest("r3").await.unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("there is no such run (run=r3)"),
        "{missing}"
    );
    for run in ["r0", "r3"] {
        lake.put_json(&layout::run_file(run), &()).await.unwrap();
    }
    assert_eq!(lake.former_manifest("r3").await.unwrap(), manifest);
    let early = lake.former_manifest("r0").await.unwrap_err();
    assert!(early.to_string().contains("not kept any more"), "{early}");
}

/// A run that dies at the file of July.
async fn die(ground: &Ground, staged: &Staged, run: &str, files: &[(&str, usize)]) {
    let dying = Faulty::dies_when(Arc::clone(&ground.store), |op| op.path.ends_with(JULY));
    let error = staged.publish(&ground.over(dying), run, files).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Lake);
    let manifest = ground.lake().manifest().await.unwrap();
    assert_eq!(manifest.intent.unwrap().run_id, run);
}

async fn a_dead_runs_intent_is_taken_over(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    staged.publish(&lake, "r1", &[(MAY, 1)]).await.unwrap();
    die(ground, &staged, "r2", &[(MAY, 2), (JUNE, 2), (JULY, 2)]).await;
    ground.expire().await;
    lake.ensure_no_other_publish(Utc::now()).await.unwrap();
    staged.publish(&lake, "r3", &[(MAY, 1)]).await.unwrap();
    let files = ground.files().await;
    assert_eq!(files.keys().collect::<Vec<_>>(), [MAY]);
    assert_eq!(files[MAY], staged.bytes(1));
    let manifest = lake.manifest().await.unwrap();
    assert!(manifest.intent.is_none());
    for (path, entry) in manifest.files("domain.things") {
        assert!(lake.has_content(path, entry).await.unwrap());
    }
}

async fn a_live_runs_intent_is_respected(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    die(ground, &staged, "r1", &[(MAY, 1), (JULY, 2)]).await;
    if !ground.is_conditional {
        // The holder of the file lock knows that the other run is dead.
        staged.publish(&lake, "r2", &[(MAY, 5)]).await.unwrap();
        return;
    }
    let before = ground.files().await;
    let asked = lake.ensure_no_other_publish(Utc::now()).await.unwrap_err();
    let refused = staged.publish(&lake, "r2", &[(MAY, 5)]).await.unwrap_err();
    for error in [asked, refused] {
        assert_eq!(error.kind().exit_code(), 5);
        let printed = "another run is publishing to this lake (lake=";
        assert!(error.to_string().starts_with(printed), "{error}");
        assert_eq!(error.context("run"), Some("r1"));
    }
    assert_eq!(ground.files().await, before);
    // The interrupted run reports the conflict itself.
    lake.release_lease("r9").await.unwrap();
    lake.ensure_no_other_publish(Utc::now()).await.unwrap_err();
    lake.ensure_no_other_publish(Utc::now() + TimeDelta::minutes(11))
        .await
        .unwrap();
    lake.release_lease("r1").await.unwrap();
    staged.publish(&lake, "r2", &[(MAY, 5)]).await.unwrap();
}

/// A process pauses for longer than its lease while another takes over.
async fn a_run_that_lost_its_lease_puts_nothing_more(ground: &Ground) {
    if !ground.is_conditional {
        return;
    }
    let staged = Arc::new(Staged::new());
    let lease = Duration::from_millis(600);
    staged
        .publish(&ground.lake(), "r1", &[(MAY, 1)])
        .await
        .unwrap();
    let (lake, other) = (ground.elsewhere(), Arc::clone(&staged));
    let sleeping = Faulty::new(Arc::clone(&ground.store), move |op| {
        if op.name != "put" || !op.path.ends_with(JUNE) {
            return Act::Go;
        }
        let (lake, staged) = (lake.clone(), Arc::clone(&other));
        let standing = std::thread::spawn(move || {
            std::thread::sleep(lease + Duration::from_millis(100));
            let files = [(MAY, 5), (JUNE, 6)];
            let other = staged.publish(&lake, "r3", &files);
            stores::on_its_own(other).unwrap();
        });
        standing.join().unwrap();
        Act::Go
    });
    let sleeper = ground.over(sleeping).with_lease(lease);
    let files = [(MAY, 2), (JUNE, 3), (JULY, 4)];
    let error = staged.publish(&sleeper, "r2", &files).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5, "{error}");
    let files = ground.files().await;
    assert_eq!(files.keys().collect::<Vec<_>>(), [MAY, JUNE]);
    assert_eq!(files[MAY], staged.bytes(5));
    assert_eq!(files[JUNE], staged.bytes(6));
    let manifest = ground.lake().manifest().await.unwrap();
    assert_eq!(manifest.run_id.as_deref(), Some("r3"));
    assert!(manifest.intent.is_none());
}

async fn a_publish_keeps_its_lease_as_long_as_it_takes(ground: &Ground) {
    let staged = Staged::new();
    let slow = Faulty::new(Arc::clone(&ground.store), |op| match op.path {
        path if path.ends_with(JUNE) && ["put", "rename"].contains(&op.name) => {
            Act::First(Box::pin(tokio::time::sleep(Duration::from_millis(1500))))
        }
        _ => Act::Go,
    });
    let slow = ground.over(slow).with_lease(Duration::from_millis(500));
    let lake = ground.lake();
    let watch = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        lake.ensure_no_other_publish(Utc::now()).await
    };
    let (published, free) =
        tokio::join!(staged.publish(&slow, "r1", &[(MAY, 1), (JUNE, 2)]), watch);
    assert_eq!(published.unwrap().files_written, 2);
    assert_eq!(free.is_err(), ground.is_conditional);
}

async fn a_publish_from_an_older_manifest_is_refused(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let base = lake.inventory(InventoryDepth::Listing).await.unwrap();
    staged.publish(&lake, "r1", &[(MAY, 1)]).await.unwrap();
    let lock = lake.lock().unwrap();
    let tables = staged.tables(&[(MAY, 2)]);
    let error = bitlake::lake::publish(&lake, &lock, "r2", Utc::now(), &base, tables).await;
    assert!(is_lost_race(&error.unwrap_err()));
    assert_eq!(ground.bytes(MAY).await, staged.bytes(1));
}

async fn a_foreign_change_stops_one_run_and_is_healed_by_the_next(ground: &Ground) {
    if !ground.is_conditional {
        return;
    }
    let (lake, staged) = (ground.lake(), Staged::new());
    staged
        .publish(&lake, "r1", &[(MAY, 1), (JUNE, 1)])
        .await
        .unwrap();
    for next in [[(MAY, 2), (JUNE, 1)], [(JUNE, 1), (JULY, 2)]] {
        // After the run has listed the store.
        let base = lake.inventory(InventoryDepth::Listing).await.unwrap();
        for path in [MAY, JULY] {
            lake.put_file(&staged.file(9).path, path).await.unwrap();
        }
        let lock = lake.lock().unwrap();
        let tables = staged.tables(&next);
        let error = bitlake::lake::publish(&lake, &lock, "r2", Utc::now(), &base, tables).await;
        let error = error.unwrap_err();
        let printed = "something else than bitlake has changed a file of the lake";
        assert!(error.to_string().starts_with(printed), "{error}");
        assert_eq!(error.kind().exit_code(), 5);
        staged.publish(&lake, "r3", &next).await.unwrap();
        for (path, n) in next {
            assert_eq!(ground.bytes(path).await, staged.bytes(n), "{path}");
        }
        assert_eq!(ground.files().await.len(), 2);
    }
}

async fn a_former_publish_is_put_back(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let former = [(MAY, 1), (JUNE, 2)];
    staged.publish(&lake, "r1", &former).await.unwrap();
    staged
        .publish(&lake, "r2", &[(MAY, 3), (JULY, 4)])
        .await
        .unwrap();
    let before = ground.files().await;
    let lock = lake.lock().unwrap();

    // Nothing differs, so nothing is requested of the store.
    let same = rollback(&lake, &lock, "r3", Utc::now(), "r2")
        .await
        .unwrap();
    assert_eq!((same.files_written, same.files_removed), (0, 0));

    let put_back = rollback(&lake, &lock, "r3", Utc::now(), "r1").await;
    if !ground.is_versioned {
        let error = put_back.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert!(
            error.to_string().ends_with("nothing was changed"),
            "{error}"
        );
        assert_eq!(error.context("files"), Some("2"));
        assert_eq!(ground.files().await, before);
        assert!(lake.manifest().await.unwrap().intent.is_none());
        return;
    }
    let done = put_back.unwrap();
    assert_eq!((done.files_written, done.files_removed), (2, 1));
    let files = ground.files().await;
    assert_eq!(files.len(), 2);
    for (path, n) in former {
        assert_eq!(files[path], staged.bytes(n), "{path}");
    }
    // And forward again.
    rollback(&lake, &lock, "r4", Utc::now(), "r2")
        .await
        .unwrap();
    assert_eq!(ground.files().await, before);
    // An implausible kept manifest is detected before anything is touched.
    let kept = layout::manifest_file("r1");
    let mut manifest: serde_json::Value = lake.get_json(&kept).await.unwrap().unwrap();
    manifest["tables"]["domain.things"]["files"][MAY]["sha256"] = "another".into();
    lake.put_json(&kept, &manifest).await.unwrap();
    let error = rollback(&lake, &lock, "r5", Utc::now(), "r1")
        .await
        .unwrap_err();
    let printed = "a former file is not what its manifest says";
    assert!(error.to_string().starts_with(printed), "{error}");
    assert_eq!(ground.files().await, before);
    let unknown = rollback(&lake, &lock, "r5", Utc::now(), "r9")
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Usage);
}

/// A copy has the contents of the published files, but not their versions.
async fn a_copied_lake_is_published_to(ground: &Ground) {
    let LakeLocation::Bucket { url, prefix } = &ground.place else {
        return;
    };
    let staged = Staged::new();
    let files = [(MAY, 1), (JUNE, 2), (JULY, 3)];
    staged.publish(&ground.lake(), "r1", &files).await.unwrap();
    // The versions that another kind of store gave, if any.
    for (copy, version) in [("copy", None), ("other", Some("3sL4kqtJlcpXroDTDmJ"))] {
        let all: Vec<_> = ground.store.list(None).try_collect().await.unwrap();
        for from in all.into_iter().map(|object| object.location) {
            let Some(rest) = from.prefix_match(prefix) else {
                continue;
            };
            let to = ObjectPath::from_iter([copy.into()].into_iter().chain(rest));
            let bytes = ground
                .store
                .get(&from)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            ground.store.put(&to, bytes.into()).await.unwrap();
        }
        let place = LakeLocation::Bucket {
            url: url.clone(),
            prefix: copy.into(),
        };
        let lake = Lake::new(place, Arc::clone(&ground.store));
        if let Some(version) = version {
            let mut manifest = lake.manifest().await.unwrap();
            let table = manifest.tables.get_mut("domain.things").unwrap();
            for file in table.files.values_mut() {
                file.version = Some(version.to_owned());
            }
            lake.put_json(layout::MANIFEST, &manifest).await.unwrap();
        }
        let changed = [(MAY, 1), (JUNE, 4), (JULY, 5)];
        let done = staged.publish(&lake, "r2", &changed).await.unwrap();
        assert_eq!((done.files_written, done.files_unchanged), (2, 1), "{copy}");
        let idle = staged.publish(&lake, "r3", &changed).await.unwrap();
        assert_eq!((idle.files_written, idle.files_unchanged), (0, 3), "{copy}");
        let more = staged
            .publish(&lake, "r4", &[(MAY, 6), (JUNE, 4)])
            .await
            .unwrap();
        assert_eq!((more.files_written, more.files_removed), (1, 1), "{copy}");
    }
}

/// Server errors, also within a multipart upload, and error replies to executed requests.
#[tokio::test]
async fn a_server_that_fails_now_and_then_is_asked_again() {
    for nth in [3, 4, 5] {
        let (ground, staged) = (stores::s3s_failing(nth), Staged::new());
        let lake = ground.lake();
        staged
            .publish(&lake, "r1", &[(MAY, 1), (JUNE, 2)])
            .await
            .unwrap();
        let large = staged.large();
        let version = lake.current_version(MAY).await.unwrap();
        lake.put_data(&large, MAY, version.as_ref()).await.unwrap();
        assert!(ground.bytes(MAY).await == std::fs::read(&large.path).unwrap());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_an_error_that_says_so() {
    // One server accepts connections and never replies, the other does not accept them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [silent.local_addr().unwrap(), gone.local_addr().unwrap()];
    drop(gone);
    for address in ports {
        let mut options = stores::options(&format!("http://{address}"));
        options.insert("timeout".to_owned(), "200ms".to_owned());
        let lake = bitlake::lake::Lake::create("s3://away/x", &options).unwrap();
        let error = lake.manifest().await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert_eq!(error.context("file"), Some("_bitlake/manifest.json"));
        let fix = "check `lake.url` and that the store can be reached, then run again";
        assert!(error.to_string().ends_with(fix), "{error}");
    }
}

#[tokio::test]
async fn a_manifest_from_before_etags_were_recorded_is_gone_on_with() {
    let (ground, staged) = (stores::memory(), Staged::new());
    let lake = ground.lake();
    staged
        .publish(&lake, "r1", &[(MAY, 1), (JUNE, 2)])
        .await
        .unwrap();
    let mut old: serde_json::Value = lake.get_json(layout::MANIFEST).await.unwrap().unwrap();
    old.as_object_mut().unwrap().remove("epoch").unwrap();
    let files = &mut old["tables"]["domain.things"]["files"];
    for path in [MAY, JUNE] {
        files[path].as_object_mut().unwrap().remove("etag").unwrap();
    }
    lake.put_json(layout::MANIFEST, &old).await.unwrap();
    staged
        .publish(&lake, "r2", &[(MAY, 3), (JUNE, 2)])
        .await
        .unwrap();
    assert_eq!(ground.bytes(MAY).await, staged.bytes(3));
    let manifest = lake.manifest().await.unwrap();
    let files: Vec<_> = manifest.files("domain.things").collect();
    assert!(files[0].1.etag.is_some() && files[0].1.former_etag.is_some());
}
