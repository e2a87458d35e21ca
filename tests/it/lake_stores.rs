//! What the lake counts on, on every store: memory, local disk, an S3 in this process (s3s) and moto's S3.

use std::sync::Arc;

use bitlake::error::ErrorKind;
use bitlake::lake::{EntityState, EntityStatus, FORMAT_VERSION, Lake, State, is_lost_race, layout};
use object_store::ObjectStoreExt;

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
    let staged = Staged::new();
    let mut file = staged.large();
    let large = std::fs::read(&file.path).unwrap();
    // What is there is never taken for what was to be put.
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
    let entity = EntityState {
        status: EntityStatus::Complete,
        ..EntityState::default()
    };
    let mut state = State {
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
