//! Tables whose inputs did not change are kept, and the lake is the one that a full transform makes.

use std::collections::BTreeMap;
use std::path::Path;

use bitlake::lake::{Lake, LakeLock, layout};
use bitlake::transform::{TransformOptions, TransformReport};
use bitlake_sandbox::Sandbox;
use chrono::TimeDelta;
use serde_json::Value;

use super::support::*;
use super::world::World;

const ALL: [&str; 3] = ["domain", "dora", "metrics"];

/// Return the published files by path.
fn published(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for layer in ["bitbucket", "config", "domain", "dora", "metrics"] {
        let mut open = vec![root.join(layer)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(root).unwrap().display().to_string();
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

fn root(bench: &Bench) -> std::path::PathBuf {
    bench.lake.folder().unwrap().to_owned()
}

/// A lake over a small living workspace, with a project and a team.
async fn lively(world: &World, folder: &Path) -> Bench {
    world.write(folder);
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.more = "[sync]\nsince = \"2026-01-01\"\n[[project]]\nname = \"shop\"\nrepositories = [\"acme/*\"]".to_owned();
    bench.now = world.now;
    bench
}

#[tokio::test]
async fn a_transform_with_nothing_new_makes_nothing_and_reports_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    (0..60).for_each(|n| world.happen(n, usize::from(n)));
    let mut bench = lively(&world, folder.path()).await;
    bench.complete().await;
    let first = bench.transform(&ALL).await.unwrap();
    assert!(first.made.len() > 60, "{:?}", first.made);
    assert!(first.made.values().all(|reason| reason == "not published yet"));
    let manifest = bench.lake.manifest().await.unwrap();
    let before = published(&root(&bench));

    let again = bench.transform(&ALL).await.unwrap();
    assert_eq!(again.made, BTreeMap::new());
    assert_eq!((again.published.files_written, again.published.files_removed), (0, 0));
    assert_eq!(again.published.tables, first.published.tables);
    assert_eq!(bench.lake.manifest().await.unwrap(), manifest);
    assert_eq!(published(&root(&bench)), before);
    let without = |report: TransformReport| TransformReport {
        made: BTreeMap::new(),
        published: Default::default(),
        ..report
    };
    assert!(!first.rows.is_empty() && !first.notices.is_empty());
    assert_eq!(without(again), without(first));
}
