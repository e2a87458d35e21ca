//! Published files that vanish or break without bitlake: the next run ends in the bytes of an undamaged lake, or says with
//! exit 5 which file it cannot make again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bitlake::lake::{Damage, InventoryDepth, ListStatus, layout};
use bitlake_sandbox::{Fault, Sandbox};
use object_store::{ObjectStoreExt, PutPayload};

use super::killed::{self, workspace};
use super::program::ProgramOutput;
use super::stores::{self, Ground, MAY, Staged, on_every_store};
use super::world::World;

/// What can happen to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Removed,
    Truncated,
    Flipped,
    Emptied,
}

const HARMS: [Harm; 4] = [Harm::Removed, Harm::Truncated, Harm::Flipped, Harm::Emptied];

impl Ground {
    async fn harm(&self, path: &str, harm: Harm) {
        if harm == Harm::Removed {
            return self.lake().remove(path).await.unwrap();
        }
        let mut bytes = self.bytes(path).await;
        match harm {
            Harm::Truncated => bytes.truncate(bytes.len() / 2),
            Harm::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Harm::Emptied | Harm::Removed => bytes.clear(),
        }
        self.overwrite(path, bytes).await;
    }

    async fn overwrite(&self, path: &str, bytes: Vec<u8>) {
        let object = object_store::path::Path::parse(self.object(path)).unwrap();
        let payload = PutPayload::from(bytes);
        self.store.put(&object, payload).await.unwrap();
    }
}

on_every_store!(
    damage_is_seen_in_the_listing,
    a_file_that_looks_changed_is_read_once,
    what_nobody_names_is_removed_and_a_damaged_file_is_put_again,
    without_its_manifest_nothing_of_a_lake_is_touched,
);

async fn damage_is_seen_in_the_listing(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let paths: Vec<_> = (0..4)
        .map(|n| MAY.replace("2026-05", &format!("2026-0{}", n + 1)))
        .collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), 20)).collect();
    staged.publish(&lake, "r1", &files).await.unwrap();
    let whole = lake.inventory(InventoryDepth::Content).await.unwrap();
    assert!(whole.damaged.is_empty() && whole.unnamed.is_empty());
    for (path, harm) in paths.iter().zip(HARMS) {
        ground.harm(path, harm).await;
    }
    let found = lake
        .inventory(InventoryDepth::Listing)
        .await
        .unwrap()
        .damaged;
    let published = staged.file(20).bytes;
    let expected = [
        Damage::Missing,
        Damage::Size {
            found: published / 2,
            published,
        },
        Damage::Content,
        Damage::Empty,
    ];
    let expected: BTreeMap<_, _> = paths.into_iter().zip(expected).collect();
    assert_eq!(found, expected);
}

/// As after a copy, which gives files other times and ETags.
async fn a_file_that_looks_changed_is_read_once(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let files = [(MAY, 20)];
    staged.publish(&lake, "r1", &files).await.unwrap();
    ground.overwrite(MAY, staged.bytes(20)).await;
    let inventory = lake.inventory(InventoryDepth::Listing).await.unwrap();
    assert!(inventory.damaged.is_empty(), "{:?}", inventory.damaged);
    let published = staged.publish(&lake, "r2", &files).await.unwrap();
    assert_eq!((published.files_written, published.files_removed), (0, 0));
    let reads = super::faulty::Faulty::new(ground.store.clone(), |_| super::faulty::Act::Go);
    let counted = ground.over(reads.clone());
    counted.manifest().await.unwrap();
    let of_manifest = reads.operations();
    let inventory = counted.inventory(InventoryDepth::Listing).await.unwrap();
    assert!(inventory.damaged.is_empty());
    let layers = bitlake::schema::LAYERS.len() + 1;
    assert!(
        reads.operations() <= 2 * of_manifest + layers + 1,
        "the file is not read again"
    );
}

async fn what_nobody_names_is_removed_and_a_damaged_file_is_put_again(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    let files = [(MAY, 20)];
    staged.publish(&lake, "r1", &files).await.unwrap();
    let stray = "domain/things/created_month=2026-05/part-1.parquet";
    let marker = "domain/things/_SUCCESS";
    for harm in HARMS {
        ground.harm(MAY, harm).await;
        ground.overwrite(stray, Vec::new()).await;
        ground.overwrite(marker, Vec::new()).await;
        let published = staged.publish(&lake, "r2", &files).await.unwrap();
        assert_eq!(
            (published.files_written, published.files_removed),
            (1, 1),
            "{harm:?}"
        );
        let kept: Vec<_> = ground.files().await.into_keys().collect();
        assert_eq!(kept, [marker, MAY], "{harm:?}");
        assert_eq!(ground.bytes(MAY).await, staged.bytes(20), "{harm:?}");
    }
}

async fn without_its_manifest_nothing_of_a_lake_is_touched(ground: &Ground) {
    let (lake, staged) = (ground.lake(), Staged::new());
    // A lake beside files that are not its own.
    let foreign = "domain/others/part-0.parquet";
    ground.overwrite(foreign, staged.bytes(3)).await;
    staged.publish(&lake, "r1", &[(MAY, 20)]).await.unwrap();
    staged.publish(&lake, "r2", &[(MAY, 21)]).await.unwrap();
    lake.remove(layout::MANIFEST).await.unwrap();
    let error = lake.inventory(InventoryDepth::Listing).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    let printed = error.to_string();
    assert!(
        printed.starts_with("the manifest is missing (file=_bitlake/manifest.json)"),
        "{printed}"
    );
    assert!(
        printed.contains("put the newest file of _bitlake/manifests/ in its place"),
        "{printed}"
    );
    assert_eq!(ground.bytes(MAY).await, staged.bytes(21));
    assert_eq!(ground.bytes(foreign).await, staged.bytes(3));
}

/// The tables of the source layer, each damaged alone in every way.
async fn every_source_table(ground: Ground, harms: &[Harm]) {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let mut bench = killed::bench(folder.path(), &world, ground.lake()).await;
    assert!(killed::run(&mut bench).await);
    assert!(killed::run(&mut bench).await);
    let expected = killed::source(&ground).await;
    let tables: BTreeSet<_> = expected
        .keys()
        .map(|path| layout::table_folder(path).to_owned())
        .collect();
    assert!(tables.len() >= 14, "{tables:?}");
    for (table, harm) in tables
        .iter()
        .flat_map(|table| harms.iter().map(move |harm| (table, *harm)))
    {
        let when = format!("{table}: {harm:?}");
        for path in expected
            .keys()
            .filter(|path| layout::table_folder(path) == table)
        {
            ground.harm(path, harm).await;
        }
        let alone = bench.transform(&["config"]).await;
        // A table without rows is made by every transform.
        let has_rows = expected
            .keys()
            .any(|path| path.starts_with(table) && path.contains('='));
        assert_eq!(alone.is_err(), has_rows, "{when}");
        if let Err(error) = alone {
            assert_eq!(error.kind().exit_code(), 5, "{when}: {error}");
            assert!(error.to_string().contains(table), "{when}: {error}");
        }
        let report = bench.run().await.unwrap();
        let left: Vec<_> = report.incomplete().collect();
        assert!(left.is_empty(), "{when}: {left:?}");
        bench.transform(&["config"]).await.unwrap();
        killed::same(&expected, &killed::source(&ground).await);
        let states = bench.lake.versioned_states().await.unwrap();
        let lost = states.iter().flat_map(|(state, _)| state.entities.values());
        assert!(!lost.clone().any(|known| known.is_lost), "{when}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_source_table_of_a_folder_is_collected_again() {
    every_source_table(stores::folder(), &HARMS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_source_table_of_a_bucket_is_collected_again() {
    every_source_table(stores::memory(), &[Harm::Removed, Harm::Flipped]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_vanished_is_collected_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let undisturbed = stores::folder();
    let mut bench = killed::bench(folder.path(), &world, undisturbed.lake()).await;
    assert!(killed::run(&mut bench).await);
    let expected = killed::source(&undisturbed).await;

    for harm in [Harm::Removed, Harm::Emptied] {
        let ground = stores::folder();
        let mut bench = killed::bench(folder.path(), &world, ground.lake()).await;
        bench.run().await.unwrap();
        for path in bench.lake.list(layout::SEGMENTS).await.unwrap() {
            ground.harm(&path, harm).await;
        }
        let error = bench.transform(&["config"]).await.unwrap_err();
        assert_eq!(error.kind().exit_code(), 5, "{error}");
        assert!(error.to_string().contains("_bitlake/segments/"), "{error}");
        assert!(killed::run(&mut bench).await);
        killed::same(&expected, &killed::source(&ground).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_file_that_cannot_be_collected_again_fails_the_run_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let ground = stores::folder();
    let mut bench = killed::bench(folder.path(), &world, ground.lake()).await;
    assert!(killed::run(&mut bench).await);
    let issues = bench.state().await.source_file("issues");
    ground.harm(&issues, Harm::Truncated).await;
    bench.sandbox.inject(Fault::on("/issues").status(404));
    let error = match bench.run().await {
        Ok(_) => bench.transform(&["config"]).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind().exit_code(), 5, "{error}");
    assert!(error.to_string().contains(&issues), "{error}");
    assert!(error.to_string().contains("--accept-loss"), "{error}");
    let given_up = bitlake::transform::TransformOptions {
        accept_loss: true,
        ..Default::default()
    };
    bench.transform_with(&["config"], given_up).await.unwrap();
    bench.sandbox.clear_faults();
    bench.full = true;
    assert!(killed::run(&mut bench).await);
    assert!(ground.files().await.contains_key(&issues));
}

/// Files of the layers that every run makes, and some that it collects.
const MADE: [&str; 6] = [
    "bitbucket/pull_requests/",
    "bitbucket/commits/",
    "config/projects/",
    "domain/pull_requests/",
    "dora/project_pr_metrics/",
    "metrics/dora/",
];

async fn through_the_program(ground: &Ground, lake: &str) {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let sandbox = sandbox(folder.path(), &world).await;
    let config = folder.path().join("bitlake.toml");
    killed::configuration(&config, &sandbox, lake);
    let text = std::fs::read_to_string(&config).unwrap();
    let project = "[[project]]\nname = \"shop\"\nrepositories = [\"acme/*\"]\n";
    std::fs::write(&config, format!("{text}{project}")).unwrap();
    let run = async |args: &[&str]| {
        let mut command = killed::bitlake(&config, args[0]);
        command
            .args(&args[1..])
            .stderr(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        ProgramOutput {
            code: output.status.code().unwrap(),
            stdout: super::demo::text(&output.stdout),
            stderr: super::demo::text(&output.stderr),
        }
    };
    let good = async |args: &[&str], when: &str| {
        let finished = run(args).await;
        assert_eq!(
            finished.code, 0,
            "{when}: {}{}",
            finished.stdout, finished.stderr
        );
        finished
    };
    good(&["run"], "first").await;
    good(&["run"], "second").await;
    let expected = ground.files().await;
    let path_of = |folder: &str| {
        let path = expected.keys().find(|path| path.starts_with(folder));
        path.unwrap_or_else(|| panic!("no {folder}")).clone()
    };
    // Each file is damaged in another way in each round.
    for round in [0, 2] {
        for (n, folder) in MADE.iter().enumerate() {
            let harm = HARMS[(n + round) % HARMS.len()];
            ground.harm(&path_of(folder), harm).await;
        }
        let stray = "domain/repos/part-1.parquet";
        ground.overwrite(stray, Vec::new()).await;
        let checked = run(&["check"]).await;
        assert_eq!(checked.code, 5, "{}{}", checked.stdout, checked.stderr);
        for folder in MADE {
            assert!(
                checked.stdout.contains(&path_of(folder)),
                "{}",
                checked.stdout
            );
        }
        let finished = good(&["run"], "damaged").await;
        assert!(
            finished
                .stdout
                .contains("repaired    6 missing or damaged files"),
            "{}",
            finished.stdout
        );
        killed::same(&expected, &ground.files().await);
    }

    // What grows from what was published cannot be made again.
    let history = path_of("metrics/history/");
    let whole = ground.bytes(&history).await;
    ground.harm(&history, Harm::Emptied).await;
    let finished = run(&["run"]).await;
    assert_eq!(finished.code, 5, "{}", finished.stderr);
    assert!(finished.stderr.contains(&history), "{}", finished.stderr);
    ground.overwrite(&history, whole).await;
    good(&["transform"], "restored").await;
    killed::same(&expected, &ground.files().await);
    ground.harm(&history, Harm::Removed).await;
    good(&["rebuild", "--accept-loss"], "given up").await;
    good(&["check", "--deep"], "all is whole").await;
}

async fn sandbox(folder: &Path, world: &World) -> Sandbox {
    let sandbox = Sandbox::builder().workspace_dir(folder);
    let sandbox = sandbox.start(0).await.unwrap();
    sandbox.set_date(world.now);
    sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_repairs_damaged_files_in_a_folder() {
    let ground = stores::folder();
    let lake = format!("url = {:?}", ground.lake().url());
    through_the_program(&ground, &lake).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_repairs_damaged_files_in_a_bucket() {
    let Some(ground) = stores::moto("damaged").await else {
        return;
    };
    let endpoint = ground.http.as_deref().unwrap().rsplit_once('/').unwrap().0;
    let lake = format!(
        "url = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true\nlease = \"5 seconds\"",
        ground.lake().url()
    );
    through_the_program(&ground, &lake).await;
}

/// Same size, same time: only reading tells.
#[tokio::test]
async fn bytes_that_rot_silently_are_found_by_a_deep_look() {
    let (ground, staged) = (stores::folder(), Staged::new());
    let lake = ground.lake();
    staged.publish(&lake, "r1", &[(MAY, 20)]).await.unwrap();
    let file = lake.folder().unwrap().join(MAY);
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    ground.harm(MAY, Harm::Flipped).await;
    let handle = std::fs::File::options().write(true).open(&file).unwrap();
    handle.set_modified(before).unwrap();
    let seen = |inventory: bitlake::lake::Inventory| inventory.damaged.into_values().next();
    assert_eq!(
        seen(lake.inventory(InventoryDepth::Listing).await.unwrap()),
        None
    );
    let deep = lake.inventory(InventoryDepth::Content).await.unwrap();
    assert_eq!(seen(deep), Some(Damage::Content));
}

/// Not the table without rows that DataFusion takes it for.
#[tokio::test]
async fn a_query_over_an_empty_or_missing_file_fails() {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let ground = stores::folder();
    let mut bench = killed::bench(folder.path(), &world, ground.lake()).await;
    assert!(killed::run(&mut bench).await);
    let path = bench.state().await.source_file("commits");
    let lake = ground.lake().url();
    let whole = ground.bytes(&path).await;
    for harm in [Harm::Emptied, Harm::Removed, Harm::Truncated] {
        ground.overwrite(&path, whole.clone()).await;
        ground.harm(&path, harm).await;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bitlake"))
            .args([
                "--lake",
                &lake,
                "query",
                "--sql",
                "SELECT count(*) FROM bitbucket.commits",
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let printed = super::demo::text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{harm:?}: {printed}");
        assert!(printed.contains(&path), "{harm:?}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_collected_again_in_parts_is_loading_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let ground = stores::folder();
    let mut bench = killed::bench(folder.path(), &world, ground.lake()).await;
    assert!(killed::run(&mut bench).await);
    let expected = killed::source(&ground).await;
    let path = bench.state().await.source_file("pipelines");
    ground.harm(&path, Harm::Removed).await;
    bench.stops_after = Some(0);
    bench.run().await.unwrap();
    let status = bench.state().await.entities["pipelines"].status;
    assert_ne!(status, ListStatus::Complete);
    bench.stops_after = None;
    bench.stop = bitlake::collect::StopSignal::new(None);
    assert!(killed::run(&mut bench).await);
    killed::same(&expected, &killed::source(&ground).await);
}
