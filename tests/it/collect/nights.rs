//! Successive runs: which requests are repeated, the order of work, and concurrent collections.

use std::path::Path;

use bitlake::collect::{CollectReport, Shard, StopReason, StopSignal};
use bitlake::lake::{RepositoryState, is_lost_race};
use bitlake_sandbox::{Day, Sandbox, SyntheticWorkspace};
use chrono::TimeDelta;

use super::super::faulty::{Act, Faulty};
use super::super::stores;
use super::super::world::World;
use super::*;

fn lively() -> World {
    let mut world = World::new();
    for n in 0..54 {
        world.happen((n % 18) as u8, n / 5);
    }
    world.now += TimeDelta::days(1);
    world
}

async fn over(folder: &Path, world: &World) -> Bench {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.more = "[sync]\nsince = \"2026-01-01\"".to_owned();
    bench.now = world.now;
    bench
}

/// Open this many pull requests, one every three days.
fn months_of_pull_requests(n: usize) -> World {
    let mut world = World::new();
    for _ in 0..n {
        world.happen(0, 0);
        world.now += TimeDelta::days(3);
    }
    world
}

#[tokio::test]
async fn a_run_without_new_records_writes_nothing_and_sends_few_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = lively();
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    bench.transform(&["config"]).await.unwrap();

    world.now += TimeDelta::hours(12);
    bench.now = world.now;
    bench.sandbox.reset_requests();
    bench.complete().await;
    let published = bench.transform(&["config"]).await.unwrap().published;
    assert_eq!((published.files_written, published.files_removed), (0, 0));
    let waiting = bench.state().await.entities["pipelines"].pending.len();
    let asked: Vec<_> = bench.sandbox.requests().into_iter().collect();
    for (route, n) in &asked {
        let expected = match route.as_str() {
            route if route.ends_with("/pipelines/{pipeline_uuid}") => waiting as u64,
            _ => 1,
        };
        assert_eq!(*n, expected, "{asked:?}");
    }
    // Only lists that may have new records and unfinished pipelines; no child list.
    assert!(
        !asked
            .iter()
            .any(|(route, _)| route.contains("comments") || route.contains("steps"))
    );
    assert_eq!(bench.asked(&["/commits?"]), 0, "no head is new");
    assert!(waiting > 0 && asked.len() <= 12, "{asked:?}");
}

#[tokio::test]
async fn an_approval_is_seen_though_it_moves_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.happen(0, 0);
    world.now += TimeDelta::days(1);
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    bench.transform(&["config"]).await.unwrap();
    world.happen(3, 0);
    world.now += TimeDelta::days(1);
    world.write(folder.path());
    bench.sandbox.reload().unwrap();
    bench.now = world.now;
    bench.complete().await;
    bench.transform(&["config"]).await.unwrap();
    let approved = "SELECT participants[1]['approved'] FROM bitbucket.pull_requests";
    assert_eq!(bench.query(approved).await, ["true"]);
    assert_eq!(
        bench.asked(&["/commits", "/pullrequests/"]),
        0,
        "the graph tells its commits"
    );
    let entries = "SELECT count(*) FROM bitbucket.pull_request_activity";
    assert_eq!(bench.query(entries).await, ["2"]);
}

#[tokio::test]
async fn a_head_that_was_pushed_away_and_is_gone_is_left_out_of_the_range() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    for kind in [0, 0, 8] {
        world.happen(kind, 0);
    }
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    world.happen(9, 0);
    world.write(folder.path());
    // It can no longer be found by its hash either.
    std::fs::write(folder.path().join("acme/web/unlisted_commits.jsonl"), "").unwrap();
    bench.sandbox.reload().unwrap();
    bench.sandbox.reset_requests();
    bench.complete().await;
    assert_eq!(
        bench.asked(&["/commits?", "include="]),
        2,
        "refused once, then without it"
    );
    bench.transform(&["config"]).await.unwrap();
    let known = bench.query("SELECT hash FROM bitbucket.commits").await;
    assert!(world.reachable().iter().all(|hash| known.contains(hash)));
}

#[tokio::test]
async fn every_repository_has_its_recent_months_before_any_has_its_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let world = months_of_pull_requests(110);
    world.write(folder.path());
    let (web, shop) = (
        folder.path().join("acme/web"),
        folder.path().join("acme/shop"),
    );
    copy(&web, &shop);
    let record = std::fs::read_to_string(web.join("repository.json")).unwrap();
    let record = record
        .replace("{web}", "{shop}")
        .replace("acme/web", "acme/shop");
    let record = record.replace("\"slug\":\"web\"", "\"slug\":\"shop\"");
    std::fs::write(shop.join("repository.json"), record).unwrap();
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    let log = bench.sandbox.request_log();
    let first = |repository: &str, page: &str| {
        let list = format!("/{repository}/pullrequests?");
        log.iter()
            .position(|line| line.contains(&list) && line.contains(page))
            .unwrap()
    };
    for (one, other) in [("web", "shop"), ("shop", "web")] {
        assert!(
            first(one, "pagelen=50") < first(other, "page=2"),
            "{log:#?}"
        );
    }
    assert!(log.iter().any(|line| line.contains("page=3")), "{log:#?}");
    // No page with only older records is requested twice.
    let pages = log
        .iter()
        .filter(|line| line.contains("/web/pullrequests?"));
    assert_eq!(pages.count(), 3);
}

#[tokio::test]
async fn an_interrupted_first_load_reports_from_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let world = months_of_pull_requests(110);
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.more =
        "[sync]\nsince = \"2026-01-01\"\n[rules.default]\nentities = [\"review\"]".to_owned();
    bench.stops_after = Some(60);
    let report = bench.run().await.unwrap();
    assert_eq!(report.stopped, Some(StopReason::Deadline));
    let state = bench.state().await;
    let pull_requests = &state.entities["pull_requests"];
    assert_eq!(pull_requests.status, ListStatus::Loading);
    let from = pull_requests.complete_from.unwrap();
    assert!(from > state.since && from < world.now);
    assert!(report.requests_left > 0 && !report.is_incomplete());

    bench.stop = StopSignal::new(None);
    bench.stops_after = None;
    bench.complete().await;
    let state = bench.state().await;
    assert_eq!(
        state.entities["pull_requests"].complete_from,
        Some(state.since)
    );
    assert_eq!(state.requests_left(), 0);
}

#[tokio::test]
async fn shards_share_a_lake_and_no_repository() {
    let mut bench = Bench::new(Sandbox::builder().demo()).await;
    bench.more = "[sync]\nsince = \"2020-01-01\"".to_owned();
    let mut seen = std::collections::BTreeSet::new();
    for number in 1..=3 {
        bench.shard = Some(Shard { number, of: 3 });
        for repository in bench.complete().await.repositories {
            assert!(
                seen.insert(repository.uuid.clone()),
                "{} twice",
                repository.repository
            );
        }
    }
    let states = bench.lake.versioned_states().await.unwrap();
    assert_eq!(states.len(), seen.len());
    bench.shard = None;
    let all = bench.complete().await.repositories.len();
    assert_eq!(all, seen.len());
}

/// Add a field to the record in a file.
fn change_record(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replacen('{', "{\"changed\": true, ", 1)).unwrap();
}

/// Run twice, with a changed repository in between; before the second run's first put of the repository's state, another process
/// changes the state.
async fn beside(
    change: fn(&mut RepositoryState),
) -> (Bench, bitlake::error::Result<CollectReport>) {
    let ground = stores::memory();
    let (mut bench, web) = Bench::copy_of("approval_activity").await;
    bench.lake = ground.lake();
    bench.complete().await;
    change_record(&web.join("repository.json"));
    bench.sandbox.reload().unwrap();
    let path = bench.state().await.path();
    let (lake, happened) = (ground.lake(), std::sync::atomic::AtomicBool::new(false));
    let store = Faulty::new(ground.store.clone(), move |op| {
        let puts = op.name == "put" && op.path.ends_with(&path);
        if !puts || happened.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Act::Go;
        }
        let lake = lake.clone();
        Act::First(Box::pin(async move {
            for (mut state, version) in lake.versioned_states().await.unwrap() {
                if !state.is_workspace() {
                    change(&mut state);
                    lake.put_state(&state, Some(&version)).await.unwrap();
                }
            }
        }))
    });
    bench.lake = ground.over(store);
    let report = bench.run().await;
    bench.lake = ground.lake();
    (bench, report)
}

#[tokio::test]
async fn of_two_collections_of_one_repository_one_stops() {
    let (_, report) = beside(|state| state.collected_by = Some("rival".to_owned())).await;
    let error = report.unwrap_err();
    assert!(
        is_lost_race(&error) && error.kind().exit_code() == 5,
        "{error}"
    );
}

#[tokio::test]
async fn a_publish_beside_a_collection_is_no_rival_and_its_segments_stay_gone() {
    let (bench, report) = beside(|state| {
        state.published_as = Some("acme/web".to_owned());
        state
            .entities
            .values_mut()
            .for_each(|entity| entity.segments.clear());
    })
    .await;
    report.unwrap();
    let state = bench.state().await;
    assert_eq!(state.published_as.as_deref(), Some("acme/web"));
    let first = |path: &str| path.contains("-000001-");
    let mut left = state.entities.values().flat_map(|entity| &entity.segments);
    assert!(left.clone().count() > 0 && !left.any(|segment| first(&segment.path)));
}

#[tokio::test]
async fn a_list_that_a_rebuild_gives_up_beside_a_collection_is_read_again() {
    let (mut bench, report) = beside(|state| {
        let repositories = state.entities.get_mut("repositories").unwrap();
        repositories.start_over("given up");
        repositories.segments.clear();
    })
    .await;
    report.unwrap();
    let before = segments(&bench).await;
    bench.complete().await;
    let after = segments(&bench).await;
    let added: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
    assert!(
        matches!(&added[..], [segment] if segment.contains("/repositories/")),
        "{added:?}"
    );
}

/// The paths of all segments of `acme/web`.
async fn segments(bench: &Bench) -> Vec<String> {
    let state = bench.state().await;
    let segments = state.entities.values().flat_map(|list| &list.segments);
    segments.map(|segment| segment.path.clone()).collect()
}

#[tokio::test]
async fn a_read_of_the_same_records_adds_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    // No pipelines: unfinished ones are read by their ids.
    for kind in [0, 0, 2, 3, 4, 12, 17] {
        world.happen(kind, 0);
    }
    world.now += TimeDelta::days(1);
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    let collected = segments(&bench).await;
    assert!(collected.len() > 3, "{collected:?}");
    for published in [false, true] {
        bench.now += TimeDelta::days(1);
        bench.complete().await;
        let waiting = if published { &[][..] } else { &collected };
        assert_eq!(segments(&bench).await, waiting);
        bench.transform(&["config"]).await.unwrap();
    }

    let repository = folder.path().join("acme/web/repository.json");
    let unchanged = std::fs::read(&repository).unwrap();
    change_record(&repository);
    for added in [1, 2] {
        bench.sandbox.reload().unwrap();
        bench.complete().await;
        bench.complete().await;
        assert_eq!(segments(&bench).await.len(), added);
        std::fs::write(&repository, &unchanged).unwrap();
    }
    bench.transform(&["config"]).await.unwrap();
    let changed = "SELECT count(*) FROM bitbucket.repositories WHERE _payload LIKE '%changed%'";
    assert_eq!(
        bench.query(changed).await,
        ["0"],
        "the latest record counts"
    );
}

#[tokio::test]
async fn the_read_after_a_first_load_of_many_months_adds_no_segment() {
    let workspace = SyntheticWorkspace {
        repositories: 1,
        pull_requests: 20,
        pipelines: 500,
        past: TimeDelta::days(90),
        now: at("2026-11-23T10:00:00Z"),
        ..SyntheticWorkspace::default()
    };
    let mut bench = Bench::new(Sandbox::builder().synthetic(workspace)).await;
    bench.more = "[sync]\nsince = \"2026-08-01\"".to_owned();
    bench.now = at("2026-11-23T10:00:00Z");
    bench.complete().await;
    bench.transform(&["config"]).await.unwrap();
    bench.now = bench.sandbox.advance(&Day::default()).unwrap();
    bench.complete().await;
    let state = bench.state_of("acme/repo-000").await;
    for list in ["pipelines", "deployments"] {
        assert_eq!(state.entities[list].segments, [], "{list}");
    }
}

#[tokio::test]
async fn an_emptied_list_is_believed_when_everything_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.happen(12, 1);
    world.write(folder.path());
    let mut bench = over(folder.path(), &world).await;
    bench.complete().await;
    bench.transform(&["config"]).await.unwrap();
    let tags = "SELECT count(*) FROM bitbucket.tags";
    assert_eq!(bench.query(tags).await, ["1"]);
    std::fs::write(folder.path().join("acme/web/tags.jsonl"), "").unwrap();
    bench.sandbox.reload().unwrap();
    for (full, left) in [(false, "1"), (true, "0")] {
        bench.full = full;
        bench.complete().await;
        bench.transform(&["config"]).await.unwrap();
        assert_eq!(bench.query(tags).await, [left], "full: {full}");
    }
}

#[tokio::test]
async fn records_removed_without_a_trace_are_found_by_a_full_refresh() {
    for (full, days) in [(true, 1), (false, 31)] {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new();
        for kind in [0, 4, 4] {
            world.happen(kind, 0);
        }
        world.now += TimeDelta::days(1);
        world.write(folder.path());
        let mut bench = over(folder.path(), &world).await;
        bench.more.push_str("\nfull_every = \"30 days\"");
        bench.complete().await;
        bench.transform(&["config"]).await.unwrap();
        let comments = folder.path().join("acme/web/pull_request_comments.jsonl");
        let text = std::fs::read_to_string(&comments).unwrap();
        std::fs::write(&comments, text.lines().next().unwrap()).unwrap();
        bench.sandbox.reload().unwrap();
        let count = "SELECT count(*) FROM bitbucket.pull_request_comments";
        bench.now += TimeDelta::days(1);
        for (again, left) in [(false, "2"), (true, "1")] {
            bench.full = full && again;
            bench.now += TimeDelta::days(if again { days } else { 1 });
            bench.complete().await;
            bench.transform(&["config"]).await.unwrap();
            assert_eq!(bench.query(count).await, [left], "full: {full}");
        }
    }
}
