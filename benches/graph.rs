//! Time the commit graph of a million commits with ten thousand deployments.
//!
//! `cargo bench --bench graph`. For comparison, some pairs are also computed as DevLake does: a set of the hashes of all
//! ancestors of the older end, rebuilt for each pair.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::time::{Duration, Instant};

use bitlake_graph::{
    CommitGraph, CommitNode, GraphBuilder, NOT_CONTAINED, RevisionRanges, SortedGraphBuilder,
};

/// The number of commits and deployments; a debug build only shows that the benchmark runs.
const SIZE: (usize, usize) = if cfg!(debug_assertions) {
    (20_000, 200)
} else {
    (1_000_000, 10_000)
};
const SAMPLES: usize = 5;

/// A random generator with the same numbers on every machine (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

struct GeneratedHistory {
    hashes: Vec<String>,
    /// The parents of each commit, first parent first; parents precede their children.
    parents: Vec<Vec<usize>>,
    /// The commits of the deployed branch.
    trunk: Vec<usize>,
}

/// Generate a trunk with merged branches of one to eight commits, each starting at one of the trunk's last fifty commits.
fn history(commits: usize, numbers: &mut Numbers) -> GeneratedHistory {
    let hashes = (0..commits)
        .map(|_| {
            format!(
                "{:016x}{:016x}{:08x}",
                numbers.next(),
                numbers.next(),
                numbers.next() as u32
            )
        })
        .collect();
    let mut parents = vec![Vec::new()];
    let mut trunk = vec![0];
    while parents.len() < commits {
        let head = trunk[trunk.len() - 1];
        let mut others = Vec::new();
        if numbers.below(4) == 0 {
            let mut tip = trunk[trunk.len() - 1 - numbers.below(trunk.len().min(50))];
            for _ in 0..1 + numbers.below(8) {
                parents.push(vec![tip]);
                tip = parents.len() - 1;
            }
            others.push(tip);
        }
        parents.push([vec![head], others].concat());
        trunk.push(parents.len() - 1);
    }
    parents.truncate(commits);
    trunk.retain(|commit| *commit < commits);
    GeneratedHistory {
        hashes,
        parents,
        trunk,
    }
}

/// Generate deployments along the trunk; two of a hundred go back by a few commits, one of a hundred deploys a very old one.
fn deployments(history: &GeneratedHistory, count: usize, numbers: &mut Numbers) -> Vec<usize> {
    let last = history.trunk.len() - 1;
    (0..count)
        .map(|n| {
            let at = last * (n + 1) / count;
            let back = match numbers.below(100) {
                0 | 1 => 1 + numbers.below(200),
                2 => numbers.below(5_000),
                _ => 0,
            };
            history.trunk[at.saturating_sub(back)]
        })
        .collect()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = black_box(work());
    let took = start.elapsed();
    println!("{what:<58} {took:>12.2?}");
    (done, took)
}

fn intern(history: &GeneratedHistory) -> CommitGraph {
    let mut builder = GraphBuilder::default();
    for (commit, parents) in history.parents.iter().enumerate() {
        builder.commit(&history.hashes[commit], Some(commit as i64));
        for (position, parent) in (0..).zip(parents) {
            builder.edge(&history.hashes[commit], &history.hashes[*parent], position);
        }
    }
    builder.finish()
}

/// Rebuild a graph from its commits in order, as the native steps read them.
fn rebuild(graph: &CommitGraph) -> CommitGraph {
    let mut builder = SortedGraphBuilder::default();
    for node in graph.nodes() {
        let parents = graph.parents(node).iter().copied();
        let (name, time) = (graph.name(node), graph.time(node));
        builder.commit(&name, parents, graph.generation(node), time);
    }
    builder.finish().expect("a graph")
}

/// Compute ranges as DevLake does.
fn ranges_by_ancestor_sets<'a>(
    parents: &HashMap<&'a str, Vec<&'a str>>,
    new: &'a str,
    old: &'a str,
) -> usize {
    let mut seen: HashSet<String> = HashSet::new();
    let mut counted = 0;
    for (from, counts) in [(old, 0), (new, 1)] {
        let mut stack = vec![from];
        while let Some(hash) = stack.pop() {
            if seen.insert(hash.to_owned()) {
                counted += counts;
                stack.extend(parents.get(hash).into_iter().flatten());
            }
        }
    }
    counted
}

fn main() {
    let mut numbers = Numbers(1);
    let (commits, count) = SIZE;
    let history = history(commits, &mut numbers);
    let deployed = deployments(&history, count, &mut numbers);
    let edges: usize = history.parents.iter().map(Vec::len).sum();
    println!("{commits} commits, {edges} edges, {count} deployments");

    let (graph, interning) = timed("hashes into a graph, with generations", || intern(&history));
    let (graph, _) = timed("the same graph again, from its commits in order", || {
        rebuild(&graph)
    });
    let chain: Vec<CommitNode> = deployed
        .iter()
        .filter_map(|commit| graph.find(&history.hashes[*commit]))
        .collect();
    let (labels, labelling) = timed("first deployment of every commit", || {
        graph.first_containing(chain.iter().map(|node| Some(*node)))
    });
    println!(
        "  labelled: {}",
        labels
            .iter()
            .filter(|label| **label != NOT_CONTAINED)
            .count()
    );

    let mut ranges = RevisionRanges::new(&graph);
    let mut visited = 0;
    let (sizes, set_time) = timed("commits between successive deployments, all pairs", || {
        let mut sizes = Vec::new();
        for pair in chain.windows(2) {
            sizes.push(ranges.difference(pair[1], Some(pair[0])).len());
            visited += ranges.visited();
        }
        sizes
    });
    println!(
        "  rows: {}, commits looked at: {visited}",
        sizes.iter().sum::<usize>()
    );
    let (_, ordering) = timed("the same, and both orders of each", || {
        for pair in chain.windows(2) {
            let members = ranges.difference(pair[1], Some(pair[0]));
            black_box(ranges.depth_first(pair[1], &members));
            black_box(ranges.topological(&members));
        }
    });

    let parents: HashMap<&str, Vec<&str>> = history
        .hashes
        .iter()
        .zip(&history.parents)
        .map(|(hash, parents)| {
            let parents = parents
                .iter()
                .map(|parent| history.hashes[*parent].as_str());
            (hash.as_str(), parents.collect())
        })
        .collect();
    let (_, sampled) = timed("by ancestor sets of texts, a few pairs", || {
        for sample in 0..SAMPLES {
            let at = (count - 2) * (sample + 1) / SAMPLES;
            let [old, new] = [at, at + 1].map(|at| history.hashes[deployed[at]].as_str());
            assert_eq!(
                ranges_by_ancestor_sets(&parents, new, old),
                sizes[at],
                "the ranges disagree"
            );
        }
    });
    let all = sampled / SAMPLES as u32 * (count as u32 - 1);
    println!("{:<58} {all:>12.2?}", "  extrapolated to all pairs");
    let ratio = |one: Duration| all.as_secs_f64() / one.as_secs_f64();
    println!("ranges of the pairs: {:.0} times faster", ratio(set_time));
    println!("with both orders: {:.0} times faster", ratio(ordering));
    println!(
        "from text to pairs: {:.0} times faster",
        ratio(interning + set_time)
    );
    println!(
        "from text to labels: {:.0} times faster",
        ratio(interning + labelling)
    );
}
