//! Tables of which only some repositories or projects are made are those that a full transform makes.

use std::collections::BTreeSet;
use std::path::Path;

use bitlake_sandbox::Sandbox;
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::kept::{CONFIG, Copied};
use super::support::*;
use super::world::World;

/// A workspace of several repositories, the second of which is a fork of the first one.
fn worlds() -> Vec<World> {
    let mut web = World::new();
    (0..60).for_each(|n| web.happen(n, usize::from(n)));
    let fork = web.fork("fork", 1 << 24);
    let others = ["api", "app", "cli", "doc", "lib", "old", "ops"];
    let others = others.into_iter().zip(2..);
    let mut worlds: Vec<_> = others
        .map(|(slug, n)| World::named(slug, n << 24))
        .collect();
    for (n, world) in worlds.iter_mut().enumerate() {
        // acme/doc has no incident, unlike the repositories of the other projects.
        let kinds = (0..40).filter(|kind| n != 3 || !is_issue(*kind));
        kinds.for_each(|kind| world.happen(kind, n + usize::from(kind)));
    }
    worlds.splice(0..0, [web, fork]);
    worlds
}

/// The configuration of a lake of these worlds: several projects, two of which have a repository in common, and a team.
fn configuration(folder: &Path) -> String {
    let write = |key: &str, text: &str| {
        let path = folder.join(format!("{key}.csv"));
        std::fs::write(&path, text).unwrap();
        format!("{key} = {:?}\n", path.to_str().unwrap())
    };
    let people = [
        write("users", "Id,Name,Email,TeamIds\nu1,Ada,,t1\n"),
        write(
            "teams",
            "Id,Name,Alias,ParentId,SortingIndex\nt1,Payments,,,1\n",
        ),
        write(
            "user_account_mapping",
            "Id,FullName,UserName,UserId\nbitbucket:BitbucketAccount:1:a1,,,u1\n",
        ),
    ];
    let project = |name: &str, repositories: &str| {
        format!("[[project]]\nname = {name:?}\nrepositories = [{repositories}]\n")
    };
    let own = CONFIG.split("[[project]]").next().unwrap();
    let own = own.replace("steps =", "issue_type = { bug = \"INCIDENT\" }\nsteps =");
    let projects = [
        project("shop", "\"acme/web\", \"acme/fork\""),
        project("tools", "\"acme/api\", \"acme/app\""),
        project("more", "\"acme/app\""),
        project("docs", "\"acme/doc\""),
        project("base", "\"acme/lib\", \"acme/old\""),
    ];
    format!("{own}[org]\n{}{}", people.concat(), projects.concat())
}

fn is_issue(kind: u8) -> bool {
    kind % 18 == 17
}

/// What happens until the next run.
#[derive(Debug, Clone, Default)]
struct Night {
    hours: i64,
    /// The events of some repositories.
    events: Vec<(usize, Vec<(u8, usize)>)>,
    /// A repository in which somebody new appears.
    newcomer: Option<usize>,
    /// The stored base tables are lost.
    loses_bases: bool,
}

impl Night {
    fn of(repository: usize, events: &[(u8, usize)]) -> Self {
        Self {
            hours: 24,
            events: vec![(repository, events.to_vec())],
            ..Self::default()
        }
    }
}

/// Live several nights, check the lake after each, and return the tables that were made in parts.
async fn live(nights: &[Night]) -> BTreeSet<String> {
    let workspace = tempfile::tempdir().unwrap();
    let mut worlds = worlds();
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(workspace.path())).await;
    bench.now = at("2026-04-01T12:00:00Z");
    let mut in_parts = BTreeSet::new();
    for night in std::iter::once(&Night::default()).chain(nights) {
        bench.now += TimeDelta::hours(night.hours);
        for (n, events) in &night.events {
            let count = worlds.len();
            let world = &mut worlds[n % count];
            world.now = bench.now - TimeDelta::hours(9);
            for (kind, pick) in events {
                world.happen(*kind, *pick);
            }
        }
        if let Some(n) = night.newcomer {
            let count = worlds.len();
            worlds[n % count].join();
        }
        for world in &worlds {
            world.write(workspace.path());
        }
        bench.sandbox.reload().unwrap();
        bench.complete().await;
        let folder = bench.folder.path().to_owned();
        let lake = Copied {
            config: configuration(&folder),
            folder,
            now: bench.now,
            _temporary: None,
        };
        if night.loses_bases {
            std::fs::remove_dir_all(lake.root().join("_bitlake/base")).unwrap();
        }
        let made = lake.changes().await.made.into_iter();
        let made = made.filter(|(_, reason)| reason.contains(" of "));
        in_parts.extend(made.map(|(table, _)| table));
    }
    in_parts
}

/// The published tables whose steps declare that they can be made in parts.
fn declared() -> BTreeSet<String> {
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let native = [
        "domain.commits_diffs",
        "domain.ref_commits",
        "dora.commit_deployments",
    ];
    let mut declared = BTreeSet::from(native.map(str::to_owned));
    for layer in ["domain", "dora", "metrics"] {
        for entry in std::fs::read_dir(queries.join(layer)).unwrap() {
            let path = entry.unwrap().path();
            let sql = std::fs::read_to_string(&path).unwrap();
            if sql.contains("\n-- incremental: ") {
                let table = path.file_stem().unwrap().to_str().unwrap();
                declared.insert(format!("{layer}.{table}"));
            }
        }
    }
    declared
}

#[tokio::test]
async fn every_declared_table_is_made_in_parts_as_it_is_made_whole() {
    let usual: Vec<_> = (0..54).map(|n| (n, usize::from(n) * 7)).collect();
    let without_incidents = usual.iter().copied().filter(|(kind, _)| !is_issue(*kind));
    let without_incidents: Vec<_> = without_incidents.collect();
    let week = [
        Night::of(3, &usual),
        // The next run of the same day, so that no period has changed.
        Night {
            hours: 1,
            ..Night::of(5, &without_incidents)
        },
        // The fork and the repository that it comes from have commits in common.
        Night::of(1, &[(8, 0), (9, 1), (10, 2)]),
        Night {
            loses_bases: true,
            ..Night::of(2, &[(17, 0), (2, 5)])
        },
    ];
    let in_parts = live(&week).await;
    let missing: Vec<_> = declared().difference(&in_parts).cloned().collect();
    assert_eq!(missing, [""; 0]);
}

fn night() -> impl Strategy<Value = Night> {
    let events = prop::collection::vec((any::<u8>(), any::<usize>()), 1..24);
    let repositories = prop::collection::vec((0..9_usize, events), 0..3);
    let newcomer = prop::option::weighted(0.3, 0..9_usize);
    let hours = prop_oneof![Just(1), Just(24), Just(24 * 20)];
    (hours, repositories, newcomer, prop::bool::weighted(0.1)).prop_map(
        |(hours, events, newcomer, loses_bases)| Night {
            hours,
            events,
            newcomer,
            loses_bases,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), rng_seed: seed(), max_shrink_iters: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_nights_leave_the_lake_of_a_full_transform(nights in prop::collection::vec(night(), 3..4)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(&nights));
    }
}

/// Run one case on every change, always the same one, so that a failure belongs to the change; `CASES_PARTS` runs that many
/// others.
fn cases() -> u32 {
    by_hand().unwrap_or(1)
}

fn seed() -> RngSeed {
    match by_hand() {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(2026),
    }
}

fn by_hand() -> Option<u32> {
    std::env::var("CASES_PARTS").ok()?.parse().ok()
}
