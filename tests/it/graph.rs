//! The commit graph compared with git: on a generated history, and on any repository that `BITLAKE_GIT_REPOSITORY` names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bitlake_graph::{CommitGraph, GraphBuilder, RevisionRanges};

const REPOSITORY: &str = "BITLAKE_GIT_REPOSITORY";

/// Return git's output, in lines.
fn git(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {printed}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn is_there() -> bool {
    let answer = Command::new("git").arg("--version").output();
    answer.is_ok_and(|output| output.status.success())
}

fn graph_of(folder: &Path) -> CommitGraph {
    let mut builder = GraphBuilder::default();
    for line in git(folder, &["log", "--all", "--format=%H %ct %P"]) {
        let mut words = line.split_whitespace();
        let hash = words.next().unwrap();
        builder.commit(hash, words.next().unwrap().parse().ok());
        for (position, parent) in (0..).zip(words) {
            builder.edge(hash, parent, position);
        }
    }
    builder.finish()
}

/// Return the tags in git's version order, as `(name, commit)`.
fn tags_of(folder: &Path) -> Vec<(String, String)> {
    let format = "--format=%(objecttype) %(*objecttype) %(objectname) %(*objectname) %(refname)";
    let lines = git(
        folder,
        &["for-each-ref", "--sort=v:refname", format, "refs/tags"],
    );
    let tags = lines.iter().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["commit", hash, name] | ["tag", "commit", _, hash, name] => {
                Some(((*name).to_owned(), (*hash).to_owned()))
            }
            _ => None, // a tag of a tree or of another tag
        }
    });
    tags.collect()
}

/// Compare every pair of successive tags, in both directions, with git; return the number of rows.
fn compare(folder: &Path, in_order: bool) -> usize {
    let graph = graph_of(folder);
    let mut ranges = RevisionRanges::new(&graph);
    let tags = tags_of(folder);
    let mut rows = 0;
    for pair in tags.windows(2) {
        for [(old_name, old), (new_name, new)] in [[&pair[0], &pair[1]], [&pair[1], &pair[0]]] {
            let (from, to) = (graph.find(new).unwrap(), graph.find(old));
            let members = ranges.difference(from, to);
            let ours: Vec<_> = ranges
                .topological(&members)
                .iter()
                .map(|node| graph.name(*node).to_owned())
                .collect();
            let gits = git(
                folder,
                &["rev-list", "--date-order", new, &format!("^{old}")],
            );
            rows += gits.len();
            if in_order {
                assert_eq!(ours, gits, "{new_name} ^{old_name}");
            }
            let [ours, mut gits] =
                [ours, gits].map(|list| list.into_iter().collect::<BTreeSet<_>>());
            if ours != gits {
                // With clocks far wrong git stops too early and says too much. Without an older end it cannot.
                println!("{new_name} ^{old_name}: asking git for the ends one by one");
                let [new, old] = [new, old].map(|end| git(folder, &["rev-list", end]));
                gits = new.into_iter().collect();
                gits.retain(|hash| !old.contains(hash));
            }
            assert!(
                ours == gits,
                "{new_name} ^{old_name}: {} and not {}",
                ours.len(),
                gits.len()
            );
            let merged = git(folder, &["merge-base", "--all", new, old]);
            let is_ancestor = graph.is_ancestor(to.unwrap(), from);
            assert_eq!(
                is_ancestor,
                merged.contains(old),
                "{old_name} and {new_name}"
            );
        }
    }
    println!(
        "{} commits, {} tags, {rows} rows as git has them",
        graph.len(),
        tags.len()
    );
    rows
}

/// What `git fast-import` reads: branches off, merges of two and three, and a tag at every seventh commit.
fn stream(commits: usize) -> String {
    let mut state = 7_usize;
    let mut below = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut text = String::new();
    for mark in 1..=commits {
        // No two of one time, so that git's order is settled; now and then a clock that was a few minutes late.
        let skew = if below(20) == 0 { 211 } else { 0 };
        let time = 1_700_000_000 + mark * 60 - skew;
        write!(text, "commit refs/heads/c{mark}\nmark :{mark}\ncommitter A <a@b.example> {time} +0000\ndata 1\nx\n").unwrap();
        let mut parents = BTreeSet::new();
        if mark > 1 && below(200) != 0 {
            for _ in 0..1 + below(9).saturating_sub(6) {
                parents.insert(mark - 1 - below((mark - 1).min(30)));
            }
        }
        for (n, parent) in parents.iter().rev().enumerate() {
            let word = if n == 0 { "from" } else { "merge" };
            writeln!(text, "{word} :{parent}").unwrap();
        }
        text.push('\n');
        if mark % 7 == 0 {
            write!(text, "reset refs/tags/v1.{mark}\nfrom :{mark}\n\n").unwrap();
        }
    }
    text
}

#[test]
fn ranges_are_those_of_git_on_a_made_up_history() {
    if !is_there() {
        assert!(std::env::var("CI").is_err(), "git is missing");
        println!("SKIPPED: git is missing");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "--bare"]);
    let mut import = Command::new("git")
        .arg("-C")
        .arg(folder.path())
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import
        .stdin
        .take()
        .unwrap()
        .write_all(stream(600).as_bytes())
        .unwrap();
    assert!(import.wait().unwrap().success());
    assert!(compare(folder.path(), true) > 1_000);
}

#[test]
fn ranges_are_those_of_git_on_a_given_history() {
    let Ok(folder) = std::env::var(REPOSITORY) else {
        println!("SKIPPED: {REPOSITORY} names no repository");
        return;
    };
    // Commits of one second are in git's order of discovery there, so that only the sets are compared.
    compare(Path::new(&folder), false);
}
