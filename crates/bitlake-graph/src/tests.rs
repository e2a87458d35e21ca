//! Compares the graph algorithms with brute force on random histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Named commits and their parents.
#[derive(Debug, Clone)]
struct RandomHistory {
    names: Vec<String>,
    /// Each edge as child, parent and position of the parent.
    edges: Vec<(usize, usize, u32)>,
    times: Vec<Option<i64>>,
}

impl RandomHistory {
    fn graph(&self) -> CommitGraph {
        let mut builder = GraphBuilder::default();
        for (name, time) in self.names.iter().zip(&self.times) {
            builder.commit(name, *time);
        }
        for &(child, parent, position) in &self.edges {
            builder.edge(&self.names[child], &self.names[parent], position);
        }
        builder.finish()
    }

    /// Return the parents of each commit by hash.
    fn parents(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut parents: BTreeMap<_, _> = self
            .names
            .iter()
            .map(|name| (name.clone(), BTreeSet::new()))
            .collect();
        for (child, parent, _) in &self.edges {
            let parent = self.names[*parent].clone();
            parents.get_mut(&self.names[*child]).unwrap().insert(parent);
        }
        parents
    }
}

/// Name a commit `commit7`, by a full hash, or by either of them. The order of names differs from that of the history.
fn name(kind: u8, number: usize) -> String {
    let scattered = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match (kind, number % 3) {
        (0, _) | (2, 0) => format!("commit{}", scattered % 10_000),
        _ => format!("{scattered:016x}{number:024x}"),
    }
}

/// Generate histories. Up to `backwards` edges lead from a commit to a later one, so that cycles arise.
fn histories(backwards: usize) -> impl Strategy<Value = RandomHistory> {
    (2usize..24, 0u8..3).prop_flat_map(move |(size, kind)| {
        let parents = prop::collection::vec(prop::collection::vec(0usize..24, 0..4), size);
        let circles = prop::collection::vec((0..size, 0..size), 0..=backwards);
        let times = prop::collection::vec(prop::option::of(0i64..6), size);
        (parents, circles, times).prop_map(move |(parents, circles, times)| {
            let mut edges = Vec::new();
            for (child, some) in parents.into_iter().enumerate().skip(1) {
                for (position, parent) in (0..).zip(some) {
                    edges.push((child, parent % child, position));
                }
            }
            edges.extend(
                circles
                    .into_iter()
                    .map(|(child, parent)| (child, parent, 9)),
            );
            let names = (0..size).map(|number| name(kind, number)).collect();
            RandomHistory {
                names,
                edges,
                times,
            }
        })
    })
}

fn reachable(parents: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([from.to_owned()]);
    loop {
        let next: Vec<_> = all
            .iter()
            .flat_map(|name| &parents[name])
            .cloned()
            .collect();
        let before = all.len();
        all.extend(next);
        if all.len() == before {
            return all;
        }
    }
}

fn between(
    parents: &BTreeMap<String, BTreeSet<String>>,
    new: &str,
    old: Option<&str>,
) -> BTreeSet<String> {
    let excluded = old.map_or_else(BTreeSet::new, |old| reachable(parents, old));
    reachable(parents, new)
        .difference(&excluded)
        .cloned()
        .collect()
}

/// DevLake's recursive numbering.
fn pre_order(
    parents: &BTreeMap<String, BTreeSet<String>>,
    node: &str,
    left: &mut BTreeSet<String>,
    order: &mut Vec<String>,
) {
    if !left.remove(node) {
        return;
    }
    order.push(node.to_owned());
    for parent in &parents[node] {
        pre_order(parents, parent, left, order);
    }
}

fn topological(history: &RandomHistory, mut left: BTreeSet<String>) -> Vec<String> {
    let parents = history.parents();
    let times: BTreeMap<_, _> = history.names.iter().zip(&history.times).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_ready = |name: &&String| {
            !left
                .iter()
                .any(|child| child != *name && parents[child].contains(*name))
        };
        let ready = left.iter().filter(is_ready);
        let next = ready.max_by_key(|name| (times[name], std::cmp::Reverse(*name)));
        let next = next.unwrap().clone();
        left.remove(&next);
        order.push(next);
    }
    order
}

fn names(graph: &CommitGraph, nodes: &[CommitNode]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| graph.name(*node).to_owned())
        .collect()
}

/// Build a graph from the commits of another in this order.
fn rebuild(
    graph: &CommitGraph,
    nodes: impl IntoIterator<Item = CommitNode>,
) -> Result<CommitGraph, MalformedGraph> {
    let mut builder = SortedGraphBuilder::default();
    for node in nodes {
        let parents = graph.parents(node).iter().copied();
        let (name, time) = (graph.name(node), graph.time(node));
        builder.commit(&name, parents, graph.generation(node), time);
    }
    builder.finish()
}

fn set(graph: &CommitGraph, nodes: &[CommitNode]) -> BTreeSet<String> {
    let set: BTreeSet<_> = names(graph, nodes).into_iter().collect();
    assert_eq!(set.len(), nodes.len(), "a commit occurs twice");
    set
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_range_holds_the_commits_reachable_from_one_end_only(history in histories(3)) {
        let (graph, parents) = (history.graph(), history.parents());
        // All ranges share the arrays, so that a range which does not clear them changes the next.
        let mut ranges = RevisionRanges::new(&graph);
        for new in &history.names {
            for old in history.names.iter().map(Some).chain([None]) {
                let nodes = ranges.difference(
                    graph.find(new).unwrap(),
                    old.map(|old| graph.find(old).unwrap()),
                );
                let expected = between(&parents, new, old.map(String::as_str));
                prop_assert_eq!(set(&graph, &nodes), expected, "{} ^{:?}", new, old);
            }
        }
    }

    #[test]
    fn depth_first_order_equals_devlakes_recursion(history in histories(3)) {
        let (graph, parents) = (history.graph(), history.parents());
        let mut ranges = RevisionRanges::new(&graph);
        for new in &history.names {
            for old in &history.names {
                let node = graph.find(new).unwrap();
                let members = ranges.difference(node, graph.find(old));
                let order = ranges.depth_first(node, &members);
                let (mut left, mut expected) = (between(&parents, new, Some(old)), Vec::new());
                pre_order(&parents, new, &mut left, &mut expected);
                prop_assert_eq!(names(&graph, &order), expected);
            }
        }
    }

    #[test]
    fn topological_order_puts_children_first_and_prefers_the_latest(history in histories(0)) {
        let (graph, parents) = (history.graph(), history.parents());
        let mut ranges = RevisionRanges::new(&graph);
        for new in &history.names {
            for old in history.names.iter().map(Some).chain([None]) {
                let members = ranges.difference(graph.find(new).unwrap(), old.and_then(|old| graph.find(old)));
                let order = ranges.topological(&members);
                let expected = topological(&history, between(&parents, new, old.map(String::as_str)));
                prop_assert_eq!(names(&graph, &order), expected);
            }
        }
    }

    #[test]
    fn both_orders_keep_every_commit_of_a_cycle(history in histories(5)) {
        let graph = history.graph();
        let mut ranges = RevisionRanges::new(&graph);
        for new in 0..graph.len() as CommitNode {
            let members = ranges.difference(new, None);
            prop_assert_eq!(set(&graph, &ranges.depth_first(new, &members)), set(&graph, &members));
            prop_assert_eq!(set(&graph, &ranges.topological(&members)), set(&graph, &members));
        }
    }

    #[test]
    fn a_label_is_the_first_deployment_that_contains_the_commit(
        history in histories(2),
        chain in prop::collection::vec(prop::option::of(0usize..24), 0..8),
    ) {
        let (graph, parents) = (history.graph(), history.parents());
        let chain: Vec<_> = chain
            .into_iter()
            .map(|at| at.map(|at| history.names[at % history.names.len()].clone()))
            .collect();
        let labels = graph.first_containing(chain.iter().map(|name| graph.find(name.as_deref()?)));
        for name in &history.names {
            let expected = chain.iter().position(|deployed| {
                deployed.as_ref().is_some_and(|deployed| reachable(&parents, deployed).contains(name))
            });
            let label = labels[graph.find(name).unwrap() as usize];
            prop_assert_eq!(label, expected.map_or(NOT_CONTAINED, |index| index as u32));
        }
    }

    #[test]
    fn ancestors_are_the_reachable_commits(history in histories(2)) {
        let (graph, parents) = (history.graph(), history.parents());
        for node in &history.names {
            let reached = reachable(&parents, node);
            for ancestor in &history.names {
                let is = graph.is_ancestor(graph.find(ancestor).unwrap(), graph.find(node).unwrap());
                prop_assert_eq!(is, reached.contains(ancestor));
            }
        }
    }

    #[test]
    fn a_generation_is_one_above_the_largest_of_the_parents(history in histories(0)) {
        let graph = history.graph();
        for node in 0..graph.len() as CommitNode {
            let largest = graph.parents(node).iter().map(|parent| graph.generation(*parent)).max();
            prop_assert_eq!(graph.generation(node), 1 + largest.unwrap_or(0));
        }
    }

    #[test]
    fn the_order_of_rows_does_not_change_the_graph(history in histories(1), seed in any::<u64>()) {
        let mut shuffled = history.clone();
        let mix = |n: usize| (n as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7;
        let mut at: Vec<_> = (0..history.edges.len()).collect();
        at.sort_by_key(|n| mix(*n));
        shuffled.edges = at.into_iter().map(|n| history.edges[n]).collect();
        let (one, other) = (history.graph(), shuffled.graph());
        prop_assert_eq!(format!("{:?}", one.parents), format!("{:?}", other.parents));
        prop_assert_eq!(one.offsets, other.offsets);
    }

    #[test]
    fn a_graph_is_rebuilt_from_its_commits_in_order(history in histories(2)) {
        let graph = history.graph();
        let rebuilt = rebuild(&graph, 0..graph.len() as CommitNode);
        prop_assert_eq!(format!("{:?}", rebuilt.unwrap()), format!("{graph:?}"));
    }

    #[test]
    fn commits_in_another_order_are_rejected(history in histories(0), at in any::<prop::sample::Index>()) {
        let graph = history.graph();
        let mut nodes: Vec<_> = (0..graph.len() as CommitNode).collect();
        prop_assume!(nodes.len() > 1);
        let at = at.index(nodes.len() - 1);
        nodes.swap(at, at + 1);
        prop_assert_eq!(rebuild(&graph, nodes).err(), Some(MalformedGraph));
    }

    #[test]
    fn an_abbreviated_hash_finds_the_only_commit_with_it(
        words in prop::collection::btree_set("[ab]{1,5}|[ab]{39,41}", 1..20),
        prefix in "[ab]{0,6}",
    ) {
        let mut builder = GraphBuilder::default();
        for word in &words {
            builder.commit(word, None);
        }
        let graph = builder.finish();
        for (node, word) in words.iter().enumerate() {
            prop_assert_eq!(&*graph.name(node as CommitNode), word, "indices are in the order of hashes");
            prop_assert_eq!(graph.find(word), Some(node as CommitNode));
        }
        prop_assert_eq!(graph.find(&prefix).is_some(), words.contains(&prefix));
        let having: Vec<_> = words.iter().filter(|word| word.starts_with(&prefix)).collect();
        let expected = match having.as_slice() {
            _ if prefix.is_empty() => PrefixMatch::None,
            [] => PrefixMatch::None,
            [one] => PrefixMatch::One(graph.find(one).unwrap()),
            _ if words.contains(&prefix) => PrefixMatch::One(graph.find(&prefix).unwrap()),
            _ => PrefixMatch::Ambiguous,
        };
        prop_assert_eq!(graph.find_prefix(&prefix), expected);
    }
}

#[test]
fn parents_keep_their_position_and_duplicates_count_once() {
    let mut builder = GraphBuilder::default();
    builder.edge("merge", "side", 1);
    builder.edge("merge", "trunk", 0);
    builder.edge("merge", "side", 2);
    builder.edge("merge", "merge", 3);
    let graph = builder.finish();
    let merge = graph.find("merge").unwrap();
    assert_eq!(names(&graph, graph.parents(merge)), ["trunk", "side"]);
    assert_eq!(graph.len(), 3, "commits that occur only as parents count");
}

#[test]
fn a_parent_that_is_not_among_the_commits_is_rejected() {
    let mut builder = SortedGraphBuilder::default();
    builder.commit("a", [1], 2, None);
    assert_eq!(builder.finish().err(), Some(MalformedGraph));
}

#[test]
fn hashes_are_case_sensitive() {
    let mut builder = GraphBuilder::default();
    let hash = "abcdef0123abcdef0123abcdef0123abcdef0123";
    builder.edge(hash, &hash.to_uppercase(), 0);
    let graph = builder.finish();
    assert_eq!(graph.len(), 2);
    assert_eq!(*graph.name(1), *hash, "upper case sorts before lower case");
}

#[test]
fn a_long_history_does_not_recurse() {
    let mut builder = GraphBuilder::default();
    let name = |n: u32| format!("{n:040x}");
    for n in 1..200_000 {
        builder.edge(&name(n), &name(n - 1), 0);
    }
    for side in ["x", "y"] {
        builder.edge(side, &name(199_999), 0);
    }
    let graph = builder.finish();
    let (first, last) = (
        graph.find(&name(0)).unwrap(),
        graph.find(&name(199_999)).unwrap(),
    );
    assert_eq!(graph.generation(last), 200_000);
    let mut ranges = RevisionRanges::new(&graph);
    let before = graph.find(&name(199_990));
    assert_eq!(ranges.difference(last, before).len(), 9);
    assert!(
        ranges.visited() < 20,
        "the search does not stop where both ends meet"
    );
    for (new, old) in [("x", "y"), ("y", "x")] {
        let new = graph.find(new).unwrap();
        assert_eq!(ranges.difference(new, graph.find(old)), [new]);
        let visited = ranges.visited();
        assert!(visited < 5, "the search does not stop where the sides meet");
    }
    let all = ranges.difference(last, None);
    assert_eq!(ranges.depth_first(last, &all), ranges.topological(&all));
    assert!(graph.is_ancestor(first, last) && !graph.is_ancestor(last, first));
    assert_eq!(
        graph.first_containing([Some(first), Some(last)])[last as usize],
        1
    );
}
