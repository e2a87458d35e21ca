//! Builds the graph from rows. The order of the rows does not change the result.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::names::{HashIndex, Packed, PackedHasher, pack};
use super::{CommitGraph, CommitNode};

/// Collects the rows of a history and builds a [`CommitGraph`] from them.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    packed: HashMap<Packed, u32, BuildHasherDefault<PackedHasher>>,
    others: HashMap<Box<str>, u32>,
    /// Each edge as child, parent and position of the parent.
    edges: Vec<(u32, u32, u32)>,
    times: Vec<i64>,
    timed: bool,
}

impl GraphBuilder {
    /// Add a commit, and its commit time if that is known.
    pub fn commit(&mut self, hash: &str, time: Option<i64>) {
        let number = self.number(hash);
        if let Some(time) = time {
            self.times[number as usize] = time;
            self.timed = true;
        }
    }

    /// Add a commit and one of its parents. A repeated edge counts once, at its smallest position.
    pub fn edge(&mut self, child: &str, parent: &str, position: u32) {
        let child = self.number(child);
        let parent = self.number(parent);
        if child != parent {
            self.edges.push((child, parent, position));
        }
    }

    fn number(&mut self, hash: &str) -> u32 {
        let next = self.times.len() as u32;
        let number = match pack(hash) {
            Some(packed) => *self.packed.entry(packed).or_insert(next),
            None => match self.others.get(hash) {
                Some(number) => *number,
                None => *self.others.entry(hash.into()).or_insert(next),
            },
        };
        if number == next {
            self.times.push(i64::MIN);
        }
        number
    }

    /// Sort the commits and edges that were added into a graph.
    pub fn finish(self) -> CommitGraph {
        let (names, nodes) = HashIndex::sort(self.packed, self.others);
        let node = |number: u32| nodes[number as usize];
        let mut edges = self.edges;
        for (child, parent, _) in &mut edges {
            (*child, *parent) = (node(*child), node(*parent));
        }
        edges.sort_unstable();
        edges.dedup_by_key(|(child, parent, _)| (*child, *parent));
        edges.sort_unstable_by_key(|(child, parent, position)| (*child, *position, *parent));

        let mut offsets = vec![0; nodes.len() + 1];
        for (child, ..) in &edges {
            offsets[*child as usize + 1] += 1;
        }
        for at in 1..offsets.len() {
            offsets[at] += offsets[at - 1];
        }
        let mut times = Vec::new();
        if self.timed {
            times = vec![i64::MIN; nodes.len()];
            for (number, time) in self.times.into_iter().enumerate() {
                times[nodes[number] as usize] = time;
            }
        }
        let mut graph = CommitGraph {
            names,
            offsets,
            parents: edges.into_iter().map(|(_, parent, _)| parent).collect(),
            generations: Vec::new(),
            times,
            circular: false,
        };
        graph.number_generations(nodes.len());
        graph
    }
}

impl CommitGraph {
    /// Number the generations depth first with an explicit stack. A parent that is still on the stack closes a cycle
    /// and is ignored.
    fn number_generations(&mut self, nodes: usize) {
        const OPEN: u32 = u32::MAX;
        let mut generations = vec![0; nodes];
        let mut stack: Vec<(CommitNode, usize)> = Vec::new();
        for start in 0..nodes as CommitNode {
            if generations[start as usize] != 0 {
                continue;
            }
            generations[start as usize] = OPEN;
            stack.push((start, 0));
            while let Some((node, next)) = stack.pop() {
                let parents = self.parents(node);
                if let Some(&parent) = parents.get(next) {
                    stack.push((node, next + 1));
                    match &mut generations[parent as usize] {
                        unseen @ 0 => {
                            *unseen = OPEN;
                            stack.push((parent, 0));
                        }
                        &mut OPEN => self.circular = true,
                        _ => {}
                    }
                    continue;
                }
                let known = parents.iter().map(|parent| generations[*parent as usize]);
                let largest = known.filter(|generation| *generation != OPEN).max();
                generations[node as usize] = 1 + largest.unwrap_or_default();
            }
        }
        self.generations = generations;
    }
}
