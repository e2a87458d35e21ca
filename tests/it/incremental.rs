//! Many small steps end where one full load does, whatever happens between them and however often a run is cut short.

use bitlake::collect::Stop;
use bitlake::sandbox::Sandbox;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::support::*;
use super::world::World;

/// What happens before a run, and where that run is cut short.
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

/// The source layer's files and what is in them.
fn source(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let root = bench.folder.path().join("lake");
    let mut files = Vec::new();
    let mut open = vec![root.join("bitbucket")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    files.push((name, std::fs::read(&path).unwrap()));
                }
            }
        }
    }
    files.sort();
    files
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
        steps.stop = Stop::new(None);
        steps.stops_after = night.stops_after;
        steps.run().await.unwrap();
        if night.publishes {
            steps.transform(&[]).await.unwrap();
        }
    }
    // One run that nobody disturbs.
    steps.stop = Stop::new(None);
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
    // A commit that was force-pushed away stays, since deployments name it.
    let listed = of_steps
        .iter()
        .filter(|line| reachable.contains(&line[..40]));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        whole.query(commits).await.iter().collect::<Vec<_>>()
    );
    let differ = |(one, other): (&(String, Vec<u8>), &(String, Vec<u8>))| one != other;
    let (of_steps, of_whole) = (source(&steps), source(&whole));
    let names = |files: &[(String, Vec<u8>)]| {
        files
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    if names(&of_steps) != names(&of_whole) {
        let (one, other) = (names(&of_steps), names(&of_whole));
        panic!(
            "{:?}",
            one.iter()
                .chain(&other)
                .filter(|name| !one.contains(name) || !other.contains(name))
                .collect::<Vec<_>>()
        );
    }
    let differing: Vec<_> = of_steps
        .iter()
        .zip(&of_whole)
        .filter(|pair| differ(*pair))
        .collect();
    for (one, _) in differing {
        if one.0.contains("/commits/") {
            continue;
        }
        let table = one.0.split('/').nth(1).unwrap().to_owned();
        let all = format!("SELECT _key, _payload FROM bitbucket.{table} ORDER BY _key");
        let (one, other) = (steps.query(&all).await, whole.query(&all).await);
        let only: Vec<_> = one.iter().filter(|line| !other.contains(line)).collect();
        let missing: Vec<_> = other.iter().filter(|line| !one.contains(line)).collect();
        panic!("{table}: steps alone have {only:#?}, and lack {missing:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 12, ..ProptestConfig::default() })]

    #[test]
    fn many_steps_end_where_one_full_load_does(nights in prop::collection::vec(night(), 1..7)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(nights));
    }
}

/// A handful on every change; as many as one likes by hand.
fn cases() -> u32 {
    std::env::var("CASES_INCREMENTAL")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8)
}

#[tokio::test]
async fn a_run_that_is_cut_short_again_and_again_asks_for_little_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    for n in 0..60 {
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
        cut.stop = Stop::new(None);
        cut.stops_after = Some(14);
        let report = cut.run().await.unwrap();
        if report.stopped.is_none() {
            break;
        }
        assert_eq!(report.stopped.as_deref(), Some("the deadline has passed"));
        assert!(runs > 1 || report.requests_left > 0);
        assert!(runs < 100, "no progress");
    }
    // Each run lists the workspace and looks for what is new; a walk goes on where it was.
    let asked = cut.sandbox.request_log().len();
    assert!(
        runs > 3 && asked < undisturbed + runs * 16,
        "{runs} runs: {asked} against {undisturbed}"
    );
    whole.transform(&[]).await.unwrap();
    cut.transform(&[]).await.unwrap();
    assert_eq!(source(&cut), source(&whole));
}
