//! The guarantees that the lake requires of every store: memory, local disk, an S3 in this process (s3s), moto's S3,
//! gcp-storage-emulator and Azurite.

use std::sync::Arc;

use bitlake::error::ErrorKind;
use bitlake::lake::{
    FORMAT_VERSION, Lake, ListState, ListStatus, RepositoryState, is_lost_race, layout,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::faulty::{Act, Faulty};
use super::stores::{self, Ground, MAY, Staged, on_every_store};

on_every_store!(
    objects_move_from_version_to_version,
    one_of_many_writers_wins,
    many_writers_lose_nothing,
    files_are_listed_and_removed,
    a_file_is_put_over_the_version_expected,
    a_large_file_goes_whole_or_leaves_nothing,
    a_state_moves_with_its_version,
    hostile_names_stay_inside_and_read_back,
    a_probe_leaves_nothing,
    a_probe_whose_own_object_is_in_the_way_takes_another,
    a_conflict_is_tried_again_with_the_same_condition,
    a_store_that_ignores_conditions_is_refused,
    paths_from_outside_do_not_leave_the_lake,
);

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
        // As after a lost reply, the object already has the new content.
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
    let staged = Staged::new();
    let mut file = staged.large();
    let large = std::fs::read(&file.path).unwrap();
    // An object with other content is never taken for the new content.
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

async fn a_state_moves_with_its_version(ground: &Ground) {
    let lake = ground.lake();
    let entity = ListState {
        status: ListStatus::Complete,
        ..ListState::default()
    };
    let mut state = RepositoryState {
        format_version: FORMAT_VERSION,
        connection_id: 1,
        uuid: "{ab-1}".to_owned(),
        full_name: "acme/web".to_owned(),
        published_as: None,
        collected_by: None,
        bitbucket_project: None,
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        since_setting: "2026-01-01".to_owned(),
        refs_as_of: None,
        last_visit: None,
        missing_since: None,
        deleted: false,
        entities: [("commits".to_owned(), entity)].into(),
    };
    lake.put_state(&state, None).await.unwrap();
    let (found, version) = lake.state(1, "{ab-1}").await.unwrap().unwrap();
    assert_eq!(found, state);
    assert_eq!(
        lake.versioned_states().await.unwrap(),
        [(found, version.clone())]
    );
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
    // s3s stores metadata in a file named by the whole path, which a long path makes too long.
    let is_s3s = ground.http.is_some() && !ground.is_versioned;
    let names = &names[..names.len() - usize::from(is_s3s)];
    let contract = stores::contract();
    let mut paths = Vec::new();
    for name in names {
        let full_name = format!("{name}/{name}");
        paths.push(layout::source_file("commits", 1, &full_name));
        paths.push(layout::segment_file(1, name, "commits", "run", 0));
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

    // All of them are below the lake, and the engine reads them by address.
    let all: Vec<_> = futures::TryStreamExt::try_collect(ground.store.list(None))
        .await
        .unwrap();
    assert_eq!(all.len(), paths.len());
    let engine = bitlake::engine::Engine::new(None).unwrap();
    if let Some((url, store)) = lake.engine_store() {
        engine.add_store(url, store);
    }
    for (n, path) in paths.iter().enumerate() {
        let files = [lake.file_url(path).unwrap().into()];
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

/// The reply to the first create is lost, and the store refuses the one that the client sends again.
async fn a_probe_whose_own_object_is_in_the_way_takes_another(ground: &Ground) {
    let store = Arc::clone(&ground.store);
    let repeated = Faulty::new(Arc::clone(&ground.store), move |op| match (op.name, op.n) {
        ("put", 1) => {
            let (store, path) = (Arc::clone(&store), Path::from(op.path));
            Act::First(Box::pin(async move {
                store.put(&path, "sent before".into()).await.unwrap();
            }))
        }
        _ => Act::Go,
    });
    ground.over(repeated).probe().await.unwrap();
    let left = ground.lake().list("_bitlake/probe").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    if ground.is_conditional {
        let always = Faulty::new(Arc::clone(&ground.store), |op| match op.name {
            "put" => Act::Conflict,
            _ => Act::Go,
        });
        let error = ground.over(always).probe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake, "{error}");
    }
}

/// S3 replies 409 during another request for the same object, also to the first create.
async fn a_conflict_is_tried_again_with_the_same_condition(ground: &Ground) {
    if !ground.is_conditional {
        return;
    }
    let staged = Staged::new();
    let busy = || {
        Faulty::new(Arc::clone(&ground.store), |op| match (op.name, op.n) {
            ("put", 1..=6) => Act::Conflict,
            _ => Act::Go,
        })
    };
    let path = "_bitlake/conflict.json";
    let first = ground.over(busy()).put_versioned(path, &1, None).await;
    let first = first.unwrap();
    let second = ground.over(busy());
    second.put_versioned(path, &2, Some(&first)).await.unwrap();
    let lake = ground.lake();
    assert_eq!(lake.get_json::<u32>(path).await.unwrap(), Some(2));
    // A concurrent write in between is still detected.
    let stale = ground.over(busy());
    let stale = stale.put_versioned(path, &3, Some(&first)).await;
    let stale = stale.unwrap_err();
    assert!(is_lost_race(&stale), "{stale}");
    let taken = ground.over(busy()).put_versioned(path, &3, None).await;
    assert!(is_lost_race(&taken.unwrap_err()));

    let file = ground
        .over(busy())
        .put_data(&staged.file(1), MAY, None)
        .await;
    file.unwrap();
    ground
        .over(busy())
        .put_file(&staged.file(2).path, "_bitlake/x")
        .await
        .unwrap();
    assert_eq!(ground.bytes(MAY).await, staged.bytes(1));
    // A store that always replies 409 is not a lost race.
    let always = Faulty::new(Arc::clone(&ground.store), |op| match op.name {
        "put" => Act::Conflict,
        _ => Act::Go,
    });
    let error = ground
        .over(always)
        .put_versioned("_bitlake/new.json", &1, None)
        .await;
    let error = error.unwrap_err();
    assert!(
        !is_lost_race(&error) && error.kind() == ErrorKind::Lake,
        "{error}"
    );
}

/// The same over HTTP, with the store's client.
#[tokio::test]
async fn a_409_is_tried_again() {
    let ground = stores::s3s_busy(6);
    let lake = ground.lake();
    let version = lake.put_versioned("_bitlake/x.json", &1, None).await;
    let version = version.unwrap();
    lake.put_versioned("_bitlake/x.json", &2, Some(&version))
        .await
        .unwrap();
    let found = lake.get_json::<u32>("_bitlake/x.json").await.unwrap();
    assert_eq!(found, Some(2));
}

async fn a_store_that_ignores_conditions_is_refused(ground: &Ground) {
    let lake = ground.lake();
    lake.ensure_conditional().await.unwrap();
    if !ground.is_conditional {
        return;
    }
    // The result for an address is cached.
    let counted = Faulty::new(Arc::clone(&ground.store), |_| Act::Go);
    ground
        .over(counted.clone())
        .ensure_conditional()
        .await
        .unwrap();
    assert_eq!(counted.operations(), 1);

    lake.remove(layout::STORE).await.unwrap();
    let careless = Faulty::new(Arc::clone(&ground.store), |_| Act::IgnoreCondition);
    let error = ground
        .over(careless)
        .ensure_conditional()
        .await
        .unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    let printed = error.to_string();
    assert!(
        printed.starts_with("the store does not honour the condition of a put"),
        "{printed}"
    );
    let [create, update] = ground.conditions();
    assert!(
        printed.contains(&format!("condition={create})")),
        "{printed}"
    );
    // A store that honours the first condition only.
    let half = Faulty::new(Arc::clone(&ground.store), |op| match (op.name, op.n) {
        ("put", 4) => Act::IgnoreCondition,
        _ => Act::Go,
    });
    let error = ground.over(half).probe().await.unwrap_err();
    let named = format!("condition={update})");
    assert!(error.to_string().contains(&named), "{error}");
    let left = lake.list("_bitlake").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

async fn paths_from_outside_do_not_leave_the_lake(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    staged.publish(&lake, "r1", &[(MAY, 1)]).await.unwrap();
    let manifest = lake.manifest().await.unwrap();
    for hostile in [
        "/etc/passwd",
        "../outside.parquet",
        "domain/things/../../../outside.parquet",
        "domain/others/part-0.parquet",
        "_bitlake/state/1/x.json",
        "",
    ] {
        let mut changed = manifest.clone();
        let files = &mut changed.tables.get_mut("domain.things").unwrap().files;
        let entry = files.remove(MAY).unwrap();
        files.insert(hostile.to_owned(), entry);
        lake.put_json(layout::MANIFEST, &changed).await.unwrap();
        let error = lake
            .inventory(bitlake::lake::InventoryDepth::Listing)
            .await
            .unwrap_err();
        assert_eq!(error.kind().exit_code(), 5, "{hostile}: {error}");
        let printed = error.to_string();
        assert!(printed.contains("file=_bitlake/manifest.json"), "{printed}");
    }
    let own = layout::segment_file(1, "{ab-1}", "commits", "run", 0);
    let path = layout::state_file(1, "{ab-1}");
    let state = |uuid: &str, since: &str, segment: &str| {
        serde_json::json!({"format_version": 1, "connection_id": 1, "uuid": uuid, "full_name": "acme/web",
            "bitbucket_project": null, "since": since, "since_setting": "", "entities": {"commits": {
                "status": "complete", "complete_from": null, "complete_through": null,
                "segments": [{"path": segment, "rows": u64::MAX}], "sequence": u64::MAX}}})
    };
    let good = "2026-01-01T00:00:00Z";
    lake.put_json(&path, &state("{ab-1}", good, &own))
        .await
        .unwrap();
    let states = lake.versioned_states().await.unwrap();
    assert_eq!(states[0].0.requests_left(), 0);
    for hostile in [
        state("{other}", good, &own),
        state("{ab-1}", "-262143-01-01T00:00:00Z", &own),
        state(
            "{ab-1}",
            good,
            "_bitlake/segments/1/ab-1/../../../manifest.json",
        ),
        state(
            "{ab-1}",
            good,
            "_bitlake/segments/1/other/commits/run-0.parquet",
        ),
        state("{ab-1}", good, "domain/things/part-0.parquet"),
    ] {
        lake.put_json(&path, &hostile).await.unwrap();
        let error = lake.versioned_states().await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5, "{error}");
        assert!(error.to_string().contains(&path), "{error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_does_not_lead_out_of_a_folder() {
    let (ground, staged) = (stores::folder(), Staged::new());
    let lake = ground.lake();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("part-0.parquet");
    std::fs::write(&victim, "precious").unwrap();
    staged.publish(&lake, "r1", &[(MAY, 1)]).await.unwrap();
    let file = lake.folder().unwrap().join(MAY);
    let folder = file.parent().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder).unwrap();
    let error = staged.publish(&lake, "r2", &[(MAY, 2)]).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    let printed = error.to_string();
    assert!(
        printed.starts_with("a symbolic link leads out of the lake"),
        "{printed}"
    );
    assert!(printed.contains(MAY), "{printed}");
    assert!(lake.file_url(MAY).is_err() && lake.remove(MAY).await.is_err());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

/// A state or manifest with any value replaced is read or refused, without a panic.
#[tokio::test]
async fn damaged_states_and_manifests_are_read_or_refused_without_a_panic() {
    let (ground, staged) = (stores::memory(), Staged::new());
    let lake = ground.lake();
    staged.publish(&lake, "r1", &[(MAY, 1)]).await.unwrap();
    let manifest: serde_json::Value = lake.get_json(layout::MANIFEST).await.unwrap().unwrap();
    let walk = serde_json::json!({"started": "2026-01-01T00:00:00Z", "border": null, "next": "x", "pages_left": 3});
    let state = serde_json::json!({"format_version": 1, "connection_id": 1, "uuid": "{ab-1}", "full_name": "acme/web",
        "bitbucket_project": null, "since": "2026-01-01T00:00:00Z", "since_setting": "", "last_visit":
        {"on": "2026-01-01T00:00:00Z", "requests": 1, "quiet": true}, "entities": {"commits": {"status": "loading",
        "complete_from": null, "complete_through": "2026-01-01T00:00:00Z", "sequence": 5, "refresh": walk, "deep": walk,
        "queue": [{"id": "1", "created_on": "2026-01-01T00:00:00Z"}], "segments": [{"path":
        "_bitlake/segments/1/ab-1/commits/run-0.parquet", "rows": 5, "replaces": {"parents": [1]}}]}}});
    let odd = [
        serde_json::json!(null),
        serde_json::json!(u64::MAX),
        serde_json::json!(i64::MIN),
        serde_json::json!("../../x"),
        serde_json::json!("+262142-12-31T23:59:59Z"),
        serde_json::json!("-262143-01-01T00:00:00Z"),
        serde_json::json!([]),
        serde_json::json!({"a/../b": {}}),
    ];
    let state_path = layout::state_file(1, "{ab-1}");
    let (mut read, mut refused) = (Vec::new(), 0);
    for (path, whole) in [(layout::MANIFEST, &manifest), (&state_path, &state)] {
        let mut pointers = Vec::new();
        collect_pointers(whole, String::new(), &mut pointers);
        assert!(pointers.len() > 15, "{pointers:?}");
        for pointer in &pointers {
            for value in &odd {
                let mut changed = whole.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                lake.put_json(path, &changed).await.unwrap();
                match lake.versioned_states().await {
                    // Sums of absurd counts saturate.
                    Ok(states) => read.extend(states.iter().map(|(it, _)| it.requests_left())),
                    Err(error) => {
                        assert_eq!(error.kind().exit_code(), 5, "{pointer}: {error}");
                        refused += 1;
                    }
                }
                if let Err(error) = lake.inventory(bitlake::lake::InventoryDepth::Listing).await {
                    assert_eq!(error.kind().exit_code(), 5, "{pointer}: {error}");
                    refused += 1;
                }
            }
        }
        lake.put_json(path, whole).await.unwrap();
        lake.versioned_states().await.unwrap();
        lake.manifest().await.unwrap();
    }
    assert!(read.len() > 20 && refused > 100, "{} {refused}", read.len());
    assert!(read.contains(&u64::MAX));
}

fn collect_pointers(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                collect_pointers(value, format!("{at}/{}", escape(key)), found);
            }
        }
        serde_json::Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                collect_pointers(value, format!("{at}/{n}"), found);
            }
        }
        _ => {}
    }
    found.push(at);
}

/// The address of the configuration alone determines bucket and prefix.
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
