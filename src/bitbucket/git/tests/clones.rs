//! The contents of a clone, and how it is kept usable.

use std::collections::BTreeSet;

use super::*;
use crate::bitbucket::git::clone::ObjectKind;

#[tokio::test]
async fn a_range_contains_the_ancestors_of_the_included_heads_without_those_of_the_excluded() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let first = bench.commit("first");
    let second = bench.commit("second");
    let third = bench.commit("third");
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let set = |hashes: &[&String]| hashes.iter().map(|hash| (*hash).clone()).collect();
    let gone = "f".repeat(40);
    let odd = "main".to_owned();
    let known = clone
        .existing_commits(&set(&[&first, &gone, &odd]))
        .await
        .unwrap();
    assert_eq!(known, set(&[&first]));
    let range = RevisionRange {
        include: set(&[&third]),
        exclude: set(&[&first]),
    };
    let hashes = |commits: Vec<GitCommit>| commits.into_iter().map(|c| c.hash).collect::<Vec<_>>();
    assert_eq!(hashes(read(&clone, &range).await), [&*third, &*second]);
    let mut log = clone.log(&range, 1).unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().hash, second);
    assert_eq!(log.next().await.unwrap(), None);
}

#[tokio::test]
async fn heads_are_the_commits_of_branches_and_tags() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n");
    let first = bench.commit("first");
    bench.run(&["tag", "--annotate", "-m", "a release", "v1"]);
    let second = bench.commit("second");
    bench.run(&["tag", "a-file", "HEAD:a.txt"]);
    let clone = bench.clone().await;
    clone.fetch(true).await.unwrap();
    let heads = clone.heads().await.unwrap();
    assert_eq!(heads, BTreeSet::from([first, second]));
}

#[tokio::test]
async fn contents_are_fetched_once_and_only_when_lines_are_counted() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n");
    bench.commit("root");
    bench.write("a.txt", "1\n2\n");
    bench.write("b.txt", "1\n");
    bench.commit("more");
    let blob = bench.run(&["rev-parse", "HEAD:a.txt"]);
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let kind = async || {
        let kinds = clone.object_kinds([blob.as_str()].into_iter()).await;
        kinds.unwrap()[0].1
    };
    assert_eq!(kind().await, ObjectKind::Missing);
    let mut commits = all(&clone).await;
    clone.count_lines(&mut commits[..1]).await.unwrap();
    assert_eq!(kind().await, ObjectKind::Other);
    assert_eq!(bench.git.operations(), 2);
    clone.count_lines(&mut commits).await.unwrap();
    assert_eq!(bench.git.operations(), 2, "the clone contains all contents");
    assert_eq!(
        changes(&commits[0]),
        [r#""a.txt" Modified 1/0"#, r#""b.txt" Added 1/0"#]
    );
}

#[tokio::test]
async fn a_fetch_follows_moved_deleted_and_replaced_branches() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let clone = bench.clone().await;
    assert!(clone.fetch(false).await.unwrap().is_none());
    assert_eq!(all(&clone).await, [], "an empty repository");
    let first = bench.commit("first");
    bench.run(&["branch", "topic"]);
    clone.fetch(false).await.unwrap();
    bench.run(&["branch", "-D", "topic"]);
    bench.run(&["branch", "topic/one"]);
    bench.run(&["checkout", "--quiet", "--orphan", "new"]);
    let other = bench.commit("other");
    bench.run(&["branch", "--force", "main", &other]);
    bench.run(&["branch", "-D", "topic/one"]);
    clone.fetch(false).await.unwrap();
    let hashes: Vec<_> = all(&clone).await;
    assert_eq!(hashes.len(), 1, "no branch contains {first}");
    assert_eq!(hashes[0].hash, other);
}

#[tokio::test]
async fn a_damaged_clone_is_created_again() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.commit("first");
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let folder = clone.folder.clone();
    std::fs::write(folder.join("refs/heads/main"), "no hash\n").unwrap();
    std::fs::remove_dir_all(folder.join("objects")).unwrap();
    assert!(clone.fetch(false).await.unwrap().is_none());
    assert_eq!(all(&clone).await.len(), 1);
}

#[tokio::test]
async fn a_clone_is_locked_while_it_is_used() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let first = bench.clone().await;
    let wait = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(wait, bench.clone()).await.is_err());
    drop(first);
    bench.clone().await;
}
