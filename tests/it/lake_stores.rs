//! One suite for every store: what the lake counts on, and what it promises, on memory, local disk, an S3 in this
//! process (s3s) and moto's S3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bitlake::error::ErrorKind;
use bitlake::lake::{
    EntityState, EntityStatus, FORMAT_VERSION, Lake, State, is_lost_race, layout, rollback,
};
use chrono::{TimeDelta, Utc};
use object_store::ObjectStoreExt;

use super::demo::text;
use super::faulty::{Act, Faulty};
use super::stores::{self, Ground, Staged};
use super::support::Bench;

macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() {
            super::$name(&super::stores::memory()).await;
        })* }
        mod folder { $(#[tokio::test] async fn $name() {
            super::$name(&super::stores::folder()).await;
        })* }
        mod s3s { $(#[tokio::test] async fn $name() {
            super::$name(&super::stores::s3s()).await;
        })* }
        mod moto { $(#[tokio::test] async fn $name() {
            let bucket = stringify!($name).replace('_', "-");
            if let Some(ground) = super::stores::moto(&bucket).await {
                super::$name(&ground).await;
            }
        })* }
    };
}

on_every_store!(
    objects_move_from_version_to_version,
    one_of_many_writers_wins,
    many_writers_lose_nothing,
    files_are_listed_and_removed,
    a_file_is_put_over_the_version_expected,
    a_large_file_goes_whole_or_leaves_nothing,
    a_publish_is_what_its_manifest_says,
    a_dead_runs_intent_is_taken_over,
    a_live_runs_intent_is_respected,
    a_run_that_lost_its_lease_puts_nothing_more,
    a_publish_keeps_its_lease_as_long_as_it_takes,
    a_publish_from_an_older_manifest_is_refused,
    a_foreign_change_stops_one_run_and_is_healed_by_the_next,
    a_former_publish_is_put_back,
    a_state_moves_with_its_version,
    hostile_names_stay_inside_and_read_back,
    a_probe_leaves_nothing,
);

const MAY: &str = "domain/things/created_month=2026-05/part-0.parquet";
const JUNE: &str = "domain/things/created_month=2026-06/part-0.parquet";
const JULY: &str = "domain/things/created_month=2026-07/part-0.parquet";

async fn objects_move_from_version_to_version(ground: &Ground) {
    let lake = ground.lake();
    let path = "_bitlake/state/1/x.json";
    assert!(lake.get_versioned::<u32>(path).await.unwrap().is_none());
    let first = lake.put_versioned(path, &1, None).await.unwrap();
    let again = lake.put_versioned(path, &2, None).await.unwrap_err();
    assert!(is_lost_race(&again), "{again}");
    assert_eq!(again.kind().exit_code(), 5);
    let second = lake.put_versioned(path, &2, Some(&first)).await.unwrap();
    let stale = lake
        .put_versioned(path, &3, Some(&first))
        .await
        .unwrap_err();
    assert!(is_lost_race(&stale), "{stale}");
    let (value, version) = lake.get_versioned::<u32>(path).await.unwrap().unwrap();
    assert_eq!(value, 2);
    lake.put_versioned(path, &4, Some(&version)).await.unwrap();
    assert_ne!(first, second);
    lake.remove(path).await.unwrap();
    let gone = lake.put_versioned(path, &5, Some(&version)).await;
    assert!(is_lost_race(&gone.unwrap_err()));
}

async fn one_of_many_writers_wins(ground: &Ground) {
    if !ground.is_atomic {
        return;
    }
    let lake = ground.lake();
    let path = "_bitlake/race.json";
    let mut version = None;
    for round in 0..5_usize {
        let writers = (0..16).map(|n| {
            let (lake, version) = (lake.clone(), version.clone());
            tokio::spawn(async move {
                let value = (round, n);
                lake.put_versioned(path, &value, version.as_ref()).await
            })
        });
        let mut won = Vec::new();
        for writer in futures::future::join_all(writers).await {
            match writer.unwrap() {
                Ok(version) => won.push(version),
                Err(error) => assert!(is_lost_race(&error), "{error}"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        version = won.pop();
    }
}

async fn many_writers_lose_nothing(ground: &Ground) {
    if !ground.is_atomic {
        return;
    }
    let lake = ground.lake();
    let path = "_bitlake/count.json";
    lake.put_versioned(path, &(0, 0), None).await.unwrap();
    let writers = (0..8).map(|writer| {
        let lake = lake.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                loop {
                    let found = lake.get_versioned::<(u32, u32)>(path).await.unwrap();
                    let ((n, _), version) = found.unwrap();
                    let next = (n + 1, writer);
                    match lake.put_versioned(path, &next, Some(&version)).await {
                        Err(error) if is_lost_race(&error) => {}
                        put => break drop(put.unwrap()),
                    }
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let counted = lake.get_json::<(u32, u32)>(path).await.unwrap();
    assert_eq!(counted.unwrap().0, 40);
}

async fn files_are_listed_and_removed(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let file = staged.file(1).path;
    for path in [
        "domain/things/b.parquet",
        "domain/things/a=1/x.parquet",
        "domain/things2/c.parquet",
    ] {
        lake.put_file(&file, path).await.unwrap();
    }
    let listed = lake.list("domain/things").await.unwrap();
    assert_eq!(
        listed,
        ["domain/things/a=1/x.parquet", "domain/things/b.parquet"]
    );
    assert!(lake.list("dora").await.unwrap().is_empty());
    for _ in 0..2 {
        lake.remove("domain/things/b.parquet").await.unwrap();
    }
    let listed = lake.list("domain").await.unwrap();
    assert_eq!(
        listed,
        ["domain/things/a=1/x.parquet", "domain/things2/c.parquet"]
    );
}

async fn a_file_is_put_over_the_version_expected(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let first = lake.put_data(&staged.file(1), MAY, None).await.unwrap();
    if ground.is_conditional {
        let other = lake.put_data(&staged.file(2), MAY, None).await.unwrap_err();
        assert!(is_lost_race(&other), "{other}");
        // As after a lost reply: what is there is what was to be put.
        let same = lake.put_data(&staged.file(1), MAY, None).await.unwrap();
        assert_eq!(same, first);
    }
    lake.put_data(&staged.file(2), MAY, Some(&first))
        .await
        .unwrap();
    if ground.is_conditional {
        let stale = lake.put_data(&staged.file(3), MAY, Some(&first)).await;
        assert!(is_lost_race(&stale.unwrap_err()));
    }
    assert_eq!(ground.bytes(MAY).await, staged.bytes(2));
}

async fn a_large_file_goes_whole_or_leaves_nothing(ground: &Ground) {
    let folder = tempfile::tempdir().unwrap();
    let mut file = Staged::new().file(1);
    file.path = folder.path().join("large");
    // No Parquet, but as many bytes as take five parts, and no two of them alike.
    let large: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file.path, &large).unwrap();
    file.sha256 = "another".to_owned();

    let dying = Faulty::new(Arc::clone(&ground.store), |op| match (op.name, op.n) {
        ("part", 4..) => Act::Fail(std::io::ErrorKind::ConnectionReset),
        _ => Act::Go,
    });
    let error = ground.over(dying).put_data(&file, MAY, None).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Lake);
    assert!(ground.files().await.is_empty());

    let lake = ground.lake();
    let version = lake.put_data(&file, MAY, None).await.unwrap();
    assert_eq!(ground.bytes(MAY).await, large);
    if ground.is_conditional {
        let other = lake.put_data(&file, MAY, None).await.unwrap_err();
        assert!(is_lost_race(&other), "{other}");
        lake.put_data(&file, MAY, Some(&version)).await.unwrap();
        let stale = lake.put_data(&file, MAY, None).await;
        assert!(is_lost_race(&stale.unwrap_err()));
    }
    if let Some(bucket) = ground.http.as_ref().filter(|_| ground.is_versioned) {
        let uploads = reqwest::get(format!("{bucket}?uploads")).await.unwrap();
        let uploads = uploads.text().await.unwrap();
        assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
        assert!(!uploads.contains("<Upload>"), "{uploads}");
    }
}

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
        assert!(lake.holds(path, entry).await.unwrap(), "{path}");
        assert_eq!(entry.etag.is_some(), ground.is_conditional);
        assert_eq!(entry.version.is_some(), ground.is_versioned);
    }
    let (_, other) = files[1];
    assert!(!lake.holds(MAY, other).await.unwrap());
    assert_eq!(lake.former_manifest("r2").await.unwrap(), manifest);
    let former = lake.former_manifest("r1").await.unwrap();
    assert!(former.files("domain.things").any(|(path, _)| path == JUNE));

    // A run that published nothing stands for the last one before it that did.
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

/// A run that dies when it comes to July.
async fn die(ground: &Ground, staged: &Staged, run: &str, files: &[(&str, usize)]) {
    let dead = AtomicBool::new(false);
    let dying = Faulty::new(Arc::clone(&ground.store), move |op| {
        if op.path.ends_with(JULY) {
            dead.store(true, Ordering::SeqCst);
        }
        match dead.load(Ordering::SeqCst) {
            true => Act::Fail(std::io::ErrorKind::NotConnected),
            false => Act::Go,
        }
    });
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
    lake.ensure_free(Utc::now()).await.unwrap();
    staged.publish(&lake, "r3", &[(MAY, 1)]).await.unwrap();
    let files = ground.files().await;
    assert_eq!(files.keys().collect::<Vec<_>>(), [MAY]);
    assert_eq!(files[MAY], staged.bytes(1));
    let manifest = lake.manifest().await.unwrap();
    assert!(manifest.intent.is_none());
    for (path, entry) in manifest.files("domain.things") {
        assert!(lake.holds(path, entry).await.unwrap());
    }
}

async fn a_live_runs_intent_is_respected(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    die(ground, &staged, "r1", &[(MAY, 1), (JULY, 2)]).await;
    if !ground.is_conditional {
        // Whoever has the file lock knows that the other is dead.
        staged.publish(&lake, "r2", &[(MAY, 5)]).await.unwrap();
        return;
    }
    let before = ground.files().await;
    let asked = lake.ensure_free(Utc::now()).await.unwrap_err();
    let refused = staged.publish(&lake, "r2", &[(MAY, 5)]).await.unwrap_err();
    for error in [asked, refused] {
        assert_eq!(error.kind().exit_code(), 5);
        let said = "another run is publishing to this lake (lake=";
        assert!(error.to_string().starts_with(said), "{error}");
        assert_eq!(error.context("run"), Some("r1"));
    }
    assert_eq!(ground.files().await, before);
    lake.ensure_free(Utc::now() + TimeDelta::minutes(11))
        .await
        .unwrap();
}

/// A process that stands still for longer than its lease, while another takes over.
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
        lake.ensure_free(Utc::now()).await
    };
    let (published, free) =
        tokio::join!(staged.publish(&slow, "r1", &[(MAY, 1), (JUNE, 2)]), watch);
    assert_eq!(published.unwrap().files_written, 2);
    assert_eq!(free.is_err(), ground.is_conditional);
}

async fn a_publish_from_an_older_manifest_is_refused(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let base = lake.manifest().await.unwrap();
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
    lake.put_file(&staged.file(9).path, MAY).await.unwrap();
    lake.put_file(&staged.file(9).path, JULY).await.unwrap();
    for next in [[(MAY, 2), (JUNE, 1)], [(JUNE, 1), (JULY, 2)]] {
        let error = staged.publish(&lake, "r2", &next).await.unwrap_err();
        let said = "something else than bitlake has changed a file of the lake";
        assert!(error.to_string().starts_with(said), "{error}");
        assert_eq!(error.kind().exit_code(), 5);
        staged.publish(&lake, "r3", &next).await.unwrap();
        for (path, n) in next {
            assert_eq!(ground.bytes(path).await, staged.bytes(n), "{path}");
        }
        assert_eq!(ground.files().await.len(), 2);
        lake.put_file(&staged.file(9).path, JULY).await.unwrap();
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

    // Nothing differs: nothing is needed of the store.
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
    // And forth again.
    rollback(&lake, &lock, "r4", Utc::now(), "r2")
        .await
        .unwrap();
    assert_eq!(ground.files().await, before);
    let unknown = rollback(&lake, &lock, "r5", Utc::now(), "r9")
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Usage);
}

async fn a_state_moves_with_its_version(ground: &Ground) {
    let lake = ground.lake();
    let entity = EntityState {
        status: EntityStatus::Complete,
        reason: None,
        complete_from: None,
        complete_through: None,
        stale_since: None,
        segments: Vec::new(),
    };
    let mut state = State {
        format_version: FORMAT_VERSION,
        connection_id: 1,
        uuid: "{ab-1}".to_owned(),
        full_name: "acme/web".to_owned(),
        published_as: None,
        bitbucket_project: None,
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        since_setting: "2026-01-01".to_owned(),
        missing_since: None,
        deleted: false,
        entities: [("commits".to_owned(), entity)].into(),
    };
    lake.put_state(&state, None).await.unwrap();
    let (found, version) = lake.state(1, "{ab-1}").await.unwrap().unwrap();
    assert_eq!(found, state);
    assert_eq!(lake.states().await.unwrap(), [(found, version.clone())]);
    state.deleted = true;
    lake.put_state(&state, Some(&version)).await.unwrap();
    state.full_name.push_str("-2");
    let stale = lake.put_state(&state, Some(&version)).await.unwrap_err();
    assert!(is_lost_race(&stale), "{stale}");
}

async fn hostile_names_stay_inside_and_read_back(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let long = "ü".repeat(127);
    let names = [
        "..",
        ".",
        "a/../../b",
        "a=b",
        "100%",
        "%2E%2E",
        "a b ",
        "🦀/🦀",
        "C:\\x",
        "a\nb",
        "*?[x]",
        "'quoted\"",
        "#1",
        "~",
        long.as_str(),
    ];
    // s3s keeps a file's particulars under the whole path in one name, which a long one makes too long.
    let is_s3s = ground.http.is_some() && !ground.is_versioned;
    let names = &names[..names.len() - usize::from(is_s3s)];
    let contract = stores::contract();
    let mut paths = Vec::new();
    for name in names {
        let full_name = format!("{name}/{name}");
        paths.push(layout::source_file("commits", 1, &full_name));
        paths.push(layout::segment_file(1, name, "commits", "run"));
    }
    let by_name = bitlake::schema::Contracts::bundled().unwrap();
    let pulls = by_name.require("domain", "pull_requests").unwrap();
    paths.extend(
        names
            .iter()
            .map(|name| layout::table_file(pulls, Some(name))),
    );
    for (n, path) in paths.iter().enumerate() {
        lake.put_file(&staged.file(n).path, path).await.unwrap();
    }
    let distinct: std::collections::BTreeSet<_> = paths.iter().collect();
    assert_eq!(distinct.len(), paths.len(), "no two names share a file");
    let mut listed = Vec::new();
    for folder in ["bitbucket", "domain", "_bitlake/segments"] {
        listed.extend(lake.list(folder).await.unwrap());
    }
    listed.sort();
    assert_eq!(
        listed.iter().collect::<Vec<_>>(),
        distinct.into_iter().collect::<Vec<_>>()
    );

    // All of them are below the lake, and the engine reads them by their address.
    let all: Vec<_> = futures::TryStreamExt::try_collect(ground.store.list(None))
        .await
        .unwrap();
    assert_eq!(all.len(), paths.len());
    let engine = bitlake::engine::Engine::new(None).unwrap();
    if let Some((url, store)) = lake.engine_store() {
        engine.add_store(url, store);
    }
    for (n, path) in paths.iter().enumerate() {
        let files = [lake.file_url(path).unwrap()];
        engine.register(&contract, &files).unwrap();
        let rows = super::support::lines_of(&engine, "SELECT count(*) FROM domain.things").await;
        assert_eq!(rows.unwrap(), [n.to_string()], "{path}");
    }
}

async fn a_probe_leaves_nothing(ground: &Ground) {
    ground.lake().probe().await.unwrap();
    assert!(
        ground
            .lake()
            .list("_bitlake")
            .await
            .unwrap()
            .iter()
            .all(|path| !path.contains("probe"))
    );
    let refusing = Faulty::new(Arc::clone(&ground.store), |op| match op.name {
        "put" => Act::Fail(std::io::ErrorKind::PermissionDenied),
        _ => Act::Go,
    });
    let error = ground.over(refusing).probe().await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("check the folder's permissions"),
        "{error}"
    );
}

/// As the configuration names it: the address alone finds bucket and prefix.
#[tokio::test]
async fn a_lake_is_found_by_its_address() {
    let Some(ground) = stores::moto("addressed").await else {
        return;
    };
    let endpoint = ground
        .http
        .as_deref()
        .unwrap()
        .trim_end_matches("/addressed");
    let options = stores::options(endpoint);
    let url = "s3://addressed/a/deep%20place/";
    let missing = Lake::open(url, &options).await.unwrap_err();
    assert!(
        missing.to_string().starts_with("there is no lake here yet"),
        "{missing}"
    );
    let lake = Lake::create(url, &options).unwrap();
    assert_eq!(lake.url(), "s3://addressed/a/deep place");
    lake.put_json("_bitlake/x.json", &1).await.unwrap();
    let lake = Lake::open(url, &options).await.unwrap();
    assert_eq!(
        lake.get_json::<u32>("_bitlake/x.json").await.unwrap(),
        Some(1)
    );
    let found = ground
        .store
        .head(&"a/deep place/_bitlake/x.json".into())
        .await;
    assert!(found.is_ok(), "{found:?}");
    let no_bucket = Lake::create("s3://no-such-bucket/x", &options).unwrap();
    let error = no_bucket.probe().await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5, "{error}");
}

/// The whole way over a bucket: segments, state, fold, steps and query.
#[tokio::test]
async fn a_lake_in_a_bucket_holds_what_one_in_a_folder_does() {
    let Some(ground) = stores::moto("whole-way").await else {
        return;
    };
    let mut lakes = Vec::new();
    for lake in [None, Some(ground.lake())] {
        let mut bench = Bench::quirk("superseded_pull_request").await;
        bench.lake = lake.unwrap_or(bench.lake);
        bench.complete().await;
        let state = bench.state().await;
        assert!(!state.entities["pull_requests"].segments.is_empty());
        bench.transform(&["config"]).await.unwrap();
        let state = bench.state().await;
        assert!(state.entities["pull_requests"].segments.is_empty());
        assert!(
            bench
                .lake
                .list("_bitlake/segments")
                .await
                .unwrap()
                .is_empty()
        );
        let rows = bench
            .query("SELECT count(*) FROM bitbucket.pull_requests")
            .await;
        let manifest = bench.lake.manifest().await.unwrap();
        let files = manifest.tables.into_values().flat_map(|table| table.files);
        let files = files.map(|(path, entry)| (path, entry.sha256));
        // The address of the sandbox is a setting, and another for each.
        let files = files.filter(|(path, _)| !path.starts_with("config/"));
        lakes.push((rows, files.collect::<Vec<_>>()));

        // Nothing new: nothing is put.
        bench.complete().await;
        let again = bench.transform(&["config"]).await.unwrap().published;
        assert_eq!((again.files_written, again.files_removed), (0, 0));
    }
    assert!(lakes[0].1.len() > 10);
    assert_eq!(lakes[0], lakes[1]);
}

/// Through the program: the configuration's keys, the environment's credentials, the exit codes.
#[tokio::test]
async fn rollback_puts_back_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bitlake.toml");
    let rollback = |toml: String, run: &str| {
        std::fs::write(&config, format!("[lake]\n{toml}")).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bitlake"))
            .args(["--config", config.to_str().unwrap(), "rollback", run])
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), text(&said))
    };
    let staged = Staged::new();
    let ground = stores::folder();
    staged
        .publish(&ground.lake(), "r1", &[(MAY, 1)])
        .await
        .unwrap();
    staged
        .publish(&ground.lake(), "r2", &[(MAY, 2)])
        .await
        .unwrap();
    let toml = format!("url = {:?}\n", ground.lake().url());
    let (code, said) = rollback(toml.clone(), "r9");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no such run (run=r9)"), "{said}");
    let (code, said) = rollback(toml, "r1");
    assert_eq!(code, 5, "{said}");
    assert!(
        said.contains("a folder keeps no former versions; nothing was changed"),
        "{said}"
    );
    assert_eq!(ground.bytes(MAY).await, staged.bytes(2));

    let Some(ground) = stores::moto("through-the-program").await else {
        return;
    };
    staged
        .publish(&ground.lake(), "r1", &[(MAY, 1)])
        .await
        .unwrap();
    staged
        .publish(&ground.lake(), "r2", &[(MAY, 2), (JUNE, 3)])
        .await
        .unwrap();
    let endpoint = ground.http.as_deref().unwrap().rsplit_once('/').unwrap().0;
    let toml = format!(
        "url = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true\nlease = \"30 seconds\"\n",
        ground.lake().url()
    );
    let (code, said) = rollback(toml, "r1");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("1 files written, 0 unchanged, 1 removed"),
        "{said}"
    );
    assert_eq!(ground.bytes(MAY).await, staged.bytes(1));
    assert_eq!(ground.files().await.len(), 1);
}
