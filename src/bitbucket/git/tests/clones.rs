//! What a clone holds, and how it stays usable.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn a_range_is_what_the_new_heads_have_and_the_known_ones_have_not() {
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
async fn heads_are_the_commits_behind_branches_and_tags() {
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
async fn a_clone_has_no_contents_until_lines_are_counted_and_each_is_fetched_once() {
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
        clone.objects([blob.as_str()].into_iter()).await.unwrap()[0]
            .1
            .clone()
    };
    assert_eq!(kind().await, "missing");
    let mut commits = all(&clone).await;
    clone.count_lines(&mut commits[..1]).await.unwrap();
    assert_eq!(kind().await, "blob");
    assert_eq!(bench.git.operations(), 2);
    clone.count_lines(&mut commits).await.unwrap();
    assert_eq!(bench.git.operations(), 2, "all contents were here");
    assert_eq!(
        changes(&commits[0]),
        [r#""a.txt" Modified 1/0"#, r#""b.txt" Added 1/0"#]
    );
}

#[tokio::test]
async fn branches_move_vanish_and_turn_into_folders() {
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
    assert_eq!(hashes.len(), 1, "{first} is on no branch any more");
    assert_eq!(hashes[0].hash, other);
}

#[tokio::test]
async fn a_broken_clone_is_made_anew() {
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
async fn two_do_not_use_one_clone_at_the_same_time() {
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
