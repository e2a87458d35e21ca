//! Whole runs over the lake: in a bucket as in a folder, beside others, and after one that died.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitlake::lake::{Replaces, RepositoryState, Retention, SegmentRef, layout};

use super::demo::text;
use super::faulty::{Act, Faulty};
use super::stores::{self, Ground, JUNE, MAY, Staged};
use super::support::{self, Bench};

/// The whole way over a bucket: segments, state, fold, steps and query.
#[tokio::test]
async fn a_lake_in_a_bucket_equals_one_in_a_folder() {
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
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), text(&printed))
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
    let (code, printed) = rollback(toml.clone(), "r9");
    assert_eq!(code, 2, "{printed}");
    assert!(
        printed.contains("there is no such run (run=r9)"),
        "{printed}"
    );
    let (code, printed) = rollback(toml, "r1");
    assert_eq!(code, 5, "{printed}");
    assert!(
        printed.contains("a folder keeps no former versions; nothing was changed"),
        "{printed}"
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
    let (code, printed) = rollback(toml, "r1");
    assert_eq!(code, 0, "{printed}");
    assert!(
        printed.contains("1 file written, 0 unchanged, 1 removed"),
        "{printed}"
    );
    assert_eq!(ground.bytes(MAY).await, staged.bytes(1));
    assert_eq!(ground.files().await.len(), 1);
}

const COUNT: &str = "SELECT count(*), min(_repository) FROM bitbucket.pull_requests";

/// What a collector on another machine collected while a publish went on is not lost.
#[tokio::test]
async fn cleanup_removes_only_published_segments() {
    let ground = stores::memory();
    let mut bench = Bench::quirk("superseded_pull_request").await;
    bench.lake = ground.lake();
    bench.complete().await;
    let state = bench.state().await;
    let path = layout::state_file(1, &state.uuid);
    let segment = layout::segment_file(1, &state.uuid, "commits", "later", 0);
    let later = segment.clone();
    let (lake, raced) = (ground.lake(), AtomicBool::new(false));
    let racing = Faulty::new(Arc::clone(&ground.store), move |op| {
        let is_state = op.name == "put" && op.path.ends_with(&path);
        if !is_state || raced.swap(true, Ordering::SeqCst) {
            return Act::Go;
        }
        let (lake, uuid, later) = (lake.clone(), state.uuid.clone(), later.clone());
        Act::First(Box::pin(async move {
            let (mut state, version) = lake.state(1, &uuid).await.unwrap().unwrap();
            let collected = SegmentRef {
                path: later,
                rows: 1,
                first: 0,
                replaces: Replaces::Nothing,
                schema_version: 1,
            };
            let commits = state.entities.get_mut("commits").unwrap();
            commits.segments.push(collected);
            lake.put_state(&state, Some(&version)).await.unwrap();
        }))
    });
    bench.lake = ground.over(racing);
    bench.transform(&["config"]).await.unwrap();
    let state = bench.state().await;
    assert_eq!(state.published_as.as_deref(), Some("acme/web"));
    let waiting: Vec<_> = state
        .entities
        .values()
        .flat_map(|entity| &entity.segments)
        .map(|segment| segment.path.as_str())
        .collect();
    assert_eq!(waiting, [segment]);
}

/// A repository that got another name, and the run that moved it died: after the manifest, before the state; or after
/// the old file went, before the manifest.
#[tokio::test]
async fn a_move_to_another_name_survives_a_death() {
    for before_manifest in [false, true] {
        let ground = stores::folder();
        let mut bench = Bench::quirk("superseded_pull_request").await;
        bench.lake = ground.lake();
        bench.complete().await;
        bench.transform(&["config"]).await.unwrap();
        let published = bench.query(COUNT).await;
        assert_eq!(published, ["1 | acme/web"]);

        let (mut state, version) = stored(&ground).await;
        state.full_name = "acme/shop".to_owned();
        bench.lake.put_state(&state, Some(&version)).await.unwrap();
        let dying = Faulty::dies_when(Arc::clone(&ground.store), move |op| {
            let last = match before_manifest {
                true => "_bitlake/manifests/",
                false => "_bitlake/state/",
            };
            op.name == "put" && op.path.starts_with(last)
        });
        bench.lake = ground.over(dying);
        bench.transform(&["config"]).await.unwrap_err();
        bench.lake = ground.lake();
        let manifest = bench.lake.manifest().await.unwrap();
        assert_eq!(manifest.intent.is_some(), before_manifest);
        let (state, _) = stored(&ground).await;
        assert_eq!(state.published_as.as_deref(), Some("acme/web"));

        bench.transform(&["config"]).await.unwrap();
        assert_eq!(
            bench.query(COUNT).await,
            ["1 | acme/shop"],
            "{before_manifest}"
        );
        let (state, _) = stored(&ground).await;
        assert_eq!(state.published_as.as_deref(), Some("acme/shop"));
    }
}

/// The state of the one repository.
async fn stored(ground: &Ground) -> (RepositoryState, bitlake::lake::ObjectVersion) {
    let states = ground.lake().versioned_states().await.unwrap();
    let repository = |(state, _): &(RepositoryState, _)| !state.is_workspace();
    states.into_iter().find(repository).unwrap()
}

/// What a dead run leaves below `_bitlake`, and too many reports.
#[tokio::test]
async fn leftovers_of_dead_runs_are_removed_and_files_of_others_are_kept() {
    for ground in [stores::folder(), stores::memory()] {
        let mut bench = Bench::quirk("superseded_pull_request").await;
        bench.lake = ground.lake();
        bench.complete().await;
        let named = bench.lake.list(layout::SEGMENTS).await.unwrap();
        let staged = Staged::new();
        let uuid = bench.state().await.uuid;
        let orphans = [
            layout::segment_file(1, &uuid, "commits", "20260101T000000Z-000000", 0),
            layout::segment_file(1, "{gone}", "commits", "20260101T000000Z-000000", 0),
            format!("{}/dead.json", layout::PROBES),
        ];
        for path in &orphans {
            bench
                .lake
                .put_file(&staged.file(1).path, path)
                .await
                .unwrap();
        }
        let now = support::at("2026-11-23T10:00:00Z");
        for n in 0..30_i64 {
            let began = now - chrono::TimeDelta::days(20 * n);
            let run_id = format!("{}-000000", began.format("%Y%m%dT%H%M%SZ"));
            bench
                .lake
                .put_json(&layout::run_file(&run_id), &n)
                .await
                .unwrap();
        }
        let clean = async |lake: &bitlake::lake::Lake, lock, runs: usize| {
            let retention = Retention { runs, days: 400 };
            lake.clean(&lock, retention, now).await.unwrap();
            lake.list(layout::RUNS).await.unwrap().len()
        };
        let left = async || bench.lake.list(layout::SEGMENTS).await.unwrap();
        // Beside others nothing is removed that they may be about to name.
        let beside = bench.lake.lock_shared().unwrap();
        assert_eq!(clean(&bench.lake, beside, 1000).await, 21);
        assert_eq!(left().await.len(), named.len() + 2);
        let alone = bench.lake.clone().with_lease(std::time::Duration::ZERO);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!(clean(&alone, alone.lock().unwrap(), 10).await, 10);
        assert_eq!(left().await, named);
        assert!(alone.list(layout::PROBES).await.unwrap().is_empty());
        bench.transform(&["config"]).await.unwrap();
    }
}

/// Whatever the machine of the tests has.
fn without_credentials(home: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bitlake"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("HOME", home).current_dir(home);
    command
}

#[test]
fn missing_credentials_are_reported_as_such() {
    let home = tempfile::tempdir().unwrap();
    let config = "[lake]\nurl = \"s3://bucket/lake\"\nendpoint = \"http://127.0.0.1:9\"\nallow_http = true\n\
        [[connection]]\nid = 1\nname = \"x\"\nauth = \"none\"\n";
    std::fs::write(home.path().join("bitlake.toml"), config).unwrap();
    let nowhere = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9"),
    ];
    for (name, value) in nowhere {
        for command in ["transform", "status"] {
            let mut command_line = without_credentials(home.path());
            command_line.arg(command).env(name, value);
            let output = command_line.output().unwrap();
            let printed = text(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{name} {command}: {printed}");
            assert!(
                printed.starts_with("error: no AWS credentials ("),
                "{printed}"
            );
            assert!(printed.contains("set AWS_ACCESS_KEY_ID and"), "{printed}");
            assert!(
                !printed.contains("PUT") && !printed.contains("latest/api"),
                "{printed}"
            );
        }
    }
}

#[tokio::test]
async fn the_keys_of_a_profile_open_a_bucket() {
    let Some(ground) = stores::moto("of-a-profile").await else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    std::fs::create_dir(&folder).unwrap();
    let keys = "[night]\naws_access_key_id = key\naws_secret_access_key = s3cr3t\n";
    std::fs::write(folder.join("credentials"), keys).unwrap();
    std::fs::write(folder.join("config"), "[profile sso]\nsso_session = x\n").unwrap();
    let endpoint = ground.http.as_deref().unwrap().rsplit_once('/').unwrap().0;
    let config = format!(
        "[lake]\nurl = \"s3://of-a-profile/lake\"\nendpoint = \"{endpoint}\"\nallow_http = true\n"
    );
    std::fs::write(home.path().join("bitlake.toml"), config).unwrap();
    let status = async |profile: &str| {
        let mut command = without_credentials(home.path());
        command.arg("status").env("AWS_PROFILE", profile);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, printed) = status("night").await;
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.starts_with("error: there is no lake here yet"),
        "{printed}"
    );
    let (code, printed) = status("sso").await;
    assert_eq!(code, Some(2), "{printed}");
    assert!(
        printed.contains("the AWS profile has no keys of its own"),
        "{printed}"
    );
    assert!(
        printed.contains("export-credentials --profile sso"),
        "{printed}"
    );
}
