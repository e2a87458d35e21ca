//! Many incremental runs end in the same lake as one full load, whatever changes between them and however often a run is
//! interrupted.

use std::collections::BTreeMap;

use bitlake::collect::{StopReason, StopSignal};
use bitlake::transform::open_published;
use bitlake_sandbox::Sandbox;
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::support::*;
use super::world::World;

/// The changes before a run, and where the run is interrupted.
#[derive(Debug, Clone)]
struct Night {
    happens: Vec<(u8, usize)>,
    hours: i64,
    stops_after: Option<usize>,
    publishes: bool,
    full: bool,
}

fn night() -> impl Strategy<Value = Night> {
    let happens = prop::collection::vec((any::<u8>(), 0usize..97), 0..25);
    let stops_after = prop::option::weighted(0.3, 0usize..30);
    (
        happens,
        1i64..240,
        stops_after,
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(happens, hours, stops_after, publishes, full)| Night {
            happens,
            hours,
            stops_after,
            publishes,
            full,
        })
}

/// Return the tables that a query over the source layer needs.
async fn made(bench: &Bench) -> Tables {
    let engine = open_published(&bench.lake, None).await.unwrap();
    Tables::over(engine, Default::default()).unwrap()
}

async fn bench(folder: &std::path::Path) -> Bench {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.more = "[sync]\nsince = \"2026-01-01\"".to_owned();
    bench
}

async fn live(nights: Vec<Night>) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.write(folder.path());
    let mut steps = bench(folder.path()).await;
    for night in &nights {
        for (kind, pick) in &night.happens {
            world.happen(*kind, *pick);
        }
        world.now += TimeDelta::hours(night.hours);
        world.write(folder.path());
        steps.sandbox.reload().unwrap();
        steps.now = world.now;
        steps.full = night.full;
        steps.stop = StopSignal::new(None);
        steps.stops_after = night.stops_after;
        steps.run().await.unwrap();
        if night.publishes {
            steps.transform(&[]).await.unwrap();
        }
    }
    // One uninterrupted run.
    steps.stop = StopSignal::new(None);
    steps.stops_after = None;
    steps.full = false;
    steps.complete().await;
    steps.transform(&[]).await.unwrap();

    let mut whole = bench(folder.path()).await;
    whole.now = world.now;
    whole.complete().await;
    whole.transform(&[]).await.unwrap();

    let reachable = world.reachable();
    let commits = "SELECT hash, _payload FROM bitbucket.commits ORDER BY hash";
    let of_steps = steps.query(commits).await;
    // A commit removed by a force-push is kept, because deployments name it.
    let listed = of_steps
        .iter()
        .filter(|line| reachable.contains(&line[..40]));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        whole.query(commits).await.iter().collect::<Vec<_>>()
    );
    // Some lists were read before a merge made them superfluous; the resulting tables are the same.
    let own_commits =
        "SELECT pull_request_id, commit_sha FROM domain.pull_request_commits ORDER BY 1, 2";
    assert_eq!(
        made(&steps).await.query(own_commits).await.unwrap(),
        made(&whole).await.query(own_commits).await.unwrap()
    );
    let (of_steps, of_whole) = (steps.source(), whole.source());
    let only = |one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>| {
        let compared = |path: &&String| !path.contains("/pull_request_commits/");
        let paths = one.keys().filter(compared);
        let paths = paths.filter(|path| !other.contains_key(*path));
        paths.cloned().collect::<Vec<_>>()
    };
    assert_eq!(only(&of_steps, &of_whole), [""; 0], "of steps alone");
    assert_eq!(only(&of_whole, &of_steps), [""; 0], "steps lack");
    for (path, bytes) in &of_steps {
        if path.contains("commits/") || of_whole[path] == *bytes {
            continue;
        }
        let table = path.split('/').nth(1).unwrap();
        // An entry of the feed is read once; a later change of its comment belongs to the comment.
        let what = match table {
            "pull_request_activity" => "_key",
            _ => "_key, _payload",
        };
        let all = format!("SELECT {what} FROM bitbucket.{table} ORDER BY _key");
        let (one, other) = (steps.query(&all).await, whole.query(&all).await);
        let more: Vec<_> = one.iter().filter(|line| !other.contains(line)).collect();
        let less: Vec<_> = other.iter().filter(|line| !one.contains(line)).collect();
        assert!(
            one == other,
            "{table}: steps alone have {more:#?}, and lack {less:#?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), rng_seed: seed(), max_shrink_iters: 12, ..ProptestConfig::default() })]

    #[test]
    fn many_steps_end_where_one_full_load_does(nights in prop::collection::vec(night(), 1..7)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(nights));
    }
}

/// Run a few cases on every change, always the same ones, so that a failure belongs to the change; `CASES_INCREMENTAL`
/// runs that many others.
fn cases() -> u32 {
    by_hand().unwrap_or(8)
}

fn seed() -> RngSeed {
    match by_hand() {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(2026),
    }
}

fn by_hand() -> Option<u32> {
    std::env::var("CASES_INCREMENTAL").ok()?.parse().ok()
}

#[tokio::test]
async fn a_repeatedly_interrupted_run_repeats_few_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    for n in 0..240 {
        world.happen((n % 18) as u8, n);
    }
    world.now += TimeDelta::days(1);
    world.write(folder.path());
    let mut whole = bench(folder.path()).await;
    whole.now = world.now;
    whole.complete().await;
    let undisturbed = whole.sandbox.request_log().len();

    let mut cut = bench(folder.path()).await;
    cut.now = world.now;
    let mut runs = 0;
    loop {
        runs += 1;
        cut.stop = StopSignal::new(None);
        cut.stops_after = Some(10);
        let report = cut.run().await.unwrap();
        if report.stopped.is_none() {
            break;
        }
        assert_eq!(report.stopped, Some(StopReason::Deadline));
        assert!(runs > 1 || report.requests_left > 0);
        assert!(runs < 100, "no progress");
    }
    // Each run lists the workspace and looks for new records; an unfinished list continues at its cursor.
    let asked = cut.sandbox.request_log().len();
    assert!(
        runs > 3 && asked < undisturbed + runs * 16,
        "{runs} runs: {asked} against {undisturbed}"
    );
    whole.transform(&[]).await.unwrap();
    cut.transform(&[]).await.unwrap();
    assert_eq!(cut.source(), whole.source());
}

#[tokio::test]
async fn changes_during_an_interrupted_incremental_read_belong_to_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.happen(0, 0);
    world.write(folder.path());
    let mut bench = bench(folder.path()).await;
    bench
        .more
        .push_str("\n[rules.default]\nentities = [\"review\"]");
    bench.now = world.now;
    bench.complete().await;
    // An incremental read of three pages, interrupted after the first.
    for _ in 0..110 {
        world.happen(0, 0);
    }
    world.now += TimeDelta::hours(1);
    world.write(folder.path());
    bench.sandbox.reload().unwrap();
    bench.now = world.now;
    bench.stops_after = Some(1);
    assert!(bench.run().await.unwrap().stopped.is_some());
    let refresh = bench.state().await.entities["pull_requests"]
        .incremental
        .clone();
    assert!(
        refresh.is_some_and(|walk| walk.next.is_some()),
        "cut short elsewhere"
    );
    // Meanwhile a pull request that was read already changes.
    world.happen(2, 110);
    world.now += TimeDelta::hours(1);
    world.write(folder.path());
    bench.sandbox.reload().unwrap();
    bench.now = world.now;
    bench.stop = StopSignal::new(None);
    bench.stops_after = None;
    bench.complete().await;
    bench.transform(&[]).await.unwrap();
    let edited = "SELECT count(*), count(CASE WHEN title LIKE '%edition%' THEN 1 END) FROM bitbucket.pull_requests";
    assert_eq!(bench.query(edited).await, ["111 | 1"]);
}

#[tokio::test]
async fn a_failed_list_does_not_count_as_complete_when_it_is_not_attempted() {
    let mut bench = Bench::quirk("html_instead_of_json").await;
    bench.run().await.unwrap();
    let failed = bench.state().await.entities["pull_requests"].clone();
    bench.stop = StopSignal::new(Some(std::time::Duration::ZERO));
    bench.run().await.unwrap();
    let after = bench.state().await.entities["pull_requests"].clone();
    assert_eq!((after.status, after.reason), (failed.status, failed.reason));
}
