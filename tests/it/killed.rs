//! A run that is killed at any moment costs only time: the runs after it end in the bytes of an undisturbed run.
//!
//! Two kinds of death: the store dies at its k-th operation, for many k, before or after the operation's effect; and the
//! program is killed by SIGKILL at many moments, over a folder and over a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bitlake::lake::Lake;
use bitlake_sandbox::{Fault, Sandbox};

use super::faulty::Faulty;
use super::stores::{self, Ground};
use super::support::*;
use super::world::World;

pub fn workspace(folder: &Path) -> World {
    let mut world = World::new();
    for n in 0..54 {
        world.happen((n % 18) as u8, n / 5);
    }
    world.now += chrono::TimeDelta::days(1);
    world.write(folder);
    world
}

pub async fn bench(folder: &Path, world: &World, lake: Lake) -> Bench {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.more = "[sync]\nsince = \"2026-01-01\"".to_owned();
    bench.now = world.now;
    bench.lake = lake;
    bench
}

/// Collect and publish the source layer; return false when the store died.
pub async fn run(bench: &mut Bench) -> bool {
    bench.run().await.is_ok() && bench.transform(&["config"]).await.is_ok()
}

/// Compare without the settings, which contain the sandbox's address.
pub async fn source(ground: &Ground) -> BTreeMap<String, Vec<u8>> {
    let mut files = ground.files().await;
    files.retain(|path, _| path.starts_with("bitbucket/"));
    files
}

/// Check that a glob over a table finds each key once.
async fn no_key_is_doubled(bench: &Bench) {
    for table in ["pull_requests", "commits", "pipelines"] {
        let doubled = format!(
            "SELECT count(*) FROM bitbucket.{table} GROUP BY _repository_uuid, _key HAVING count(*) > 1"
        );
        assert_eq!(bench.query(&doubled).await, [""; 0], "{table}");
    }
}

async fn every_death(ground: fn() -> Ground, every: usize) {
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let undisturbed = ground();
    let counter = Faulty::new(undisturbed.store.clone(), |_| super::faulty::Act::Go);
    let mut whole = bench(folder.path(), &world, undisturbed.over(counter.clone())).await;
    assert!(run(&mut whole).await);
    let (expected, operations) = (source(&undisturbed).await, counter.operations());
    assert!(expected.len() > 10 && operations > 60, "{operations}");

    for k in (1..=operations).step_by(every) {
        let ground = ground();
        let dying = Faulty::dies_at(ground.store.clone(), k, k % 2 == 0);
        let mut bench = bench(folder.path(), &world, ground.over(dying)).await;
        run(&mut bench).await;
        ground.expire().await;
        bench.lake = ground.lake();
        no_key_is_doubled(&bench).await;
        assert!(run(&mut bench).await, "after a death at operation {k}");
        let found = source(&ground).await;
        let paths =
            |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(
            paths(&found),
            paths(&expected),
            "after a death at operation {k}"
        );
        let differing: Vec<_> = found
            .iter()
            .filter(|(path, bytes)| expected[*path] != **bytes)
            .map(|(path, _)| path)
            .collect();
        assert!(
            differing.is_empty(),
            "after a death at operation {k}: {differing:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_at_an_operation_of_a_bucket_costs_nothing_but_time() {
    every_death(stores::memory, stride()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_at_an_operation_of_a_folder_costs_nothing_but_time() {
    every_death(stores::folder, stride()).await;
}

/// Choose some of the operations; `DEATHS=all` chooses every one.
fn stride() -> usize {
    match std::env::var("DEATHS").as_deref() {
        Ok("all") => 1,
        _ => 13,
    }
}

/// Return how often to kill the program: `KILLS`, or a few times.
fn kills() -> u64 {
    std::env::var("KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10)
}

pub fn bitlake(config: &Path, command: &str) -> Command {
    let mut bitlake = Command::new(env!("CARGO_BIN_EXE_bitlake"));
    bitlake
        .args([
            "--config",
            config.to_str().unwrap(),
            "--no-progress",
            command,
        ])
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("TOKEN", "t")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    bitlake
}

pub fn configuration(path: &Path, sandbox: &Sandbox, lake: &str) {
    let text = format!(
        "[lake]\n{lake}\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\nauth = \"access-token\"\n\
         token = {{ env = \"TOKEN\" }}\n[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n\
         [sync]\nsince = \"2026-01-01\"\n",
        sandbox.endpoint()
    );
    std::fs::write(path, text).unwrap();
}

/// Kill collections and a few transforms, then let one of each finish; return the lake's files.
async fn killed(
    ground: &Ground,
    sandbox: &Sandbox,
    lake: &str,
    kills: u64,
) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bitlake.toml");
    configuration(&config, sandbox, lake);
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let bitlake = |config: &Path, command: &str| {
        let mut command = bitlake(config, command);
        command.env("TMPDIR", &temporary);
        command
    };
    let mut longest = Duration::from_millis(1500);
    for n in 0..kills {
        // A transform mostly plans and publishes only briefly, so most kills hit the collection.
        let command = if n % 8 == 7 { "transform" } else { "collect" };
        let begun = Instant::now();
        let mut process = bitlake(&config, command).spawn().unwrap();
        // Multiples of the golden ratio spread the moments evenly without random numbers.
        let part = (n as f64 * 0.618_033_988_75).fract();
        std::thread::sleep(longest.mul_f64(part));
        let finished = process.try_wait().unwrap().is_some();
        process.kill().ok();
        process.wait().unwrap();
        if finished && command == "collect" {
            longest = begun.elapsed().min(longest).max(Duration::from_millis(200));
        }
        ground.expire().await;
    }
    if kills > 0 && ground.lake().folder().is_none() {
        // In a bucket, leftovers of a dead run are removed after its lease has expired.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for command in ["collect", "transform"] {
        let mut finished = bitlake(&config, command);
        assert_eq!(finished.status().unwrap().code(), Some(0), "{command}");
    }
    let left = std::fs::read_dir(&temporary).unwrap().count();
    assert_eq!(left, 0, "TMPDIR is as it was");
    let private = private(ground).await;
    let expected = [
        "base",
        "base.json",
        "budget",
        "checks.json",
        "manifest.json",
        "manifests",
        "runs",
        "state",
    ];
    assert_eq!(private, expected.map(str::to_owned).into());
    let mut files = ground.files().await;
    files.retain(|path, _| !path.starts_with("metrics/history/"));
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_killed_at_random_ends_in_the_bytes_of_an_undisturbed_run() {
    let workspace_folder = tempfile::tempdir().unwrap();
    let world = workspace(workspace_folder.path());
    let sandbox = Sandbox::builder().workspace_dir(workspace_folder.path());
    let sandbox = sandbox.start(0).await.unwrap();
    sandbox.set_date(world.now);

    let undisturbed = stores::folder();
    let lake = format!("url = {:?}", undisturbed.lake().url());
    let expected = killed(&undisturbed, &sandbox, &lake, 0).await;
    assert!(expected.len() > 60);
    let disturbed = stores::folder();
    let lake = format!("url = {:?}", disturbed.lake().url());
    same(
        &expected,
        &killed(&disturbed, &sandbox, &lake, kills()).await,
    );

    let Some(bucket) = stores::moto("killed").await else {
        return;
    };
    let endpoint = bucket.http.as_deref().unwrap().rsplit_once('/').unwrap().0;
    let lake = format!(
        "url = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true\nlease = \"1 second\"",
        bucket.lake().url()
    );
    let found = killed(&bucket, &sandbox, &lake, kills()).await;
    same(&expected, &found);
}

/// Return the kinds of files below `_bitlake` except locks and the store's description. On local disk every file counts,
/// including files that the lake does not list.
async fn private(ground: &Ground) -> BTreeSet<String> {
    let lake = ground.lake();
    let mut paths = lake.list("_bitlake").await.unwrap();
    if let Some(folder) = lake.folder() {
        let half_written = |path: &str| path.rsplit('/').next().unwrap().contains('#');
        let all = files_below(&folder.join("_bitlake"));
        paths.extend(all.into_iter().filter(|path| half_written(path)));
        for folder in ["segments", "incoming"] {
            let folder = lake.folder().unwrap().join("_bitlake").join(folder);
            let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
            assert_eq!(left, 0, "no folder is left");
        }
    }
    let name = |path: String| {
        let below = path.rsplit_once("_bitlake/").unwrap().1.to_owned();
        below.split('/').next().unwrap().to_owned()
    };
    let names = paths.into_iter().map(name);
    let aside = ["lock", "objects.lock", "store.json"];
    names
        .filter(|name| !aside.contains(&name.as_str()))
        .collect()
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files
}

pub fn same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    let differing: Vec<_> = found
        .iter()
        .filter(|(path, bytes)| expected.get(*path) != Some(bytes))
        .map(|(path, _)| path)
        .collect();
    assert!(
        differing.is_empty() && found.len() == expected.len(),
        "{differing:?}"
    );
}

/// Delay replies so that a collection is at its pull requests' commits when it is interrupted.
async fn slow(folder: &Path) -> Sandbox {
    let world = workspace(folder);
    let slow = Fault::on("/pullrequests/")
        .and("/commits")
        .delay(Duration::from_millis(700));
    let sandbox = Sandbox::builder().workspace_dir(folder).faults([slow]);
    let sandbox = sandbox.start(0).await.unwrap();
    sandbox.set_date(world.now);
    sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_and_a_deadline_save_and_exit_with_4_and_the_next_run_goes_on() {
    let workspace_folder = tempfile::tempdir().unwrap();
    let sandbox = slow(workspace_folder.path()).await;
    let ground = stores::folder();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bitlake.toml");
    configuration(
        &config,
        &sandbox,
        &format!("url = {:?}", ground.lake().url()),
    );
    // Without the repository's commits there is no graph, and the commits of pull requests are requested.
    let text = std::fs::read_to_string(&config).unwrap();
    let review = "[rules.default]\nentities = [\"review\"]\n";
    std::fs::write(&config, format!("{text}{review}")).unwrap();

    let mut collect = bitlake(&config, "collect").spawn().unwrap();
    wait_for(&sandbox, "/commits?").await;
    let id = collect.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(sent.success());
    let begun = Instant::now();
    assert_eq!(collect.wait().unwrap().code(), Some(4));
    assert!(begun.elapsed() < Duration::from_secs(15));
    let loading =
        |state: &bitlake::lake::RepositoryState| !state.is_workspace() && state.requests_left() > 0;
    let states = ground.lake().versioned_states().await.unwrap();
    assert!(states.iter().any(|(state, _)| loading(state)), "{states:?}");

    let mut run = bitlake(&config, "run");
    assert_eq!(
        run.args(["--deadline", "1s"]).status().unwrap().code(),
        Some(4)
    );
    let manifest = ground.lake().manifest().await.unwrap();
    let rows = manifest.table("domain.pull_requests").unwrap().rows;
    assert!(rows > 0, "what is complete is published");

    sandbox.clear_faults();
    assert_eq!(
        bitlake(&config, "collect").status().unwrap().code(),
        Some(0)
    );
    let states = ground.lake().versioned_states().await.unwrap();
    assert!(!states.iter().any(|(state, _)| loading(state)));
}

/// Wait until a pull request's commits were requested.
async fn wait_for(sandbox: &Sandbox, what: &str) {
    let asked = || {
        sandbox
            .request_log()
            .iter()
            .any(|line| line.contains("/pullrequests/") && line.contains(what))
    };
    for _ in 0..600 {
        if asked() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never asked for {what}");
}
