//! What is reachable from one commit and not from another: `git rev-list new ^old`.
//!
//! Both ends are coloured, and the commit of the highest generation passes its colours on to its parents, until all
//! that waits has the old end's colour: below that, everything is in both. The walk sees the commits between the ends
//! and hardly more, not the whole history.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{CommitGraph, CommitIndex};

const NEW: u8 = 1;
const OLD: u8 = 2;
const WAITS: u8 = 4;
const MEMBER: u8 = 8;

/// Walks one graph many times, with arrays that are allocated once.
pub struct RevisionRanges<'a> {
    graph: &'a CommitGraph,
    colours: Vec<u8>,
    coloured: Vec<CommitIndex>,
    waiting: BinaryHeap<(u32, CommitIndex)>,
    /// How many of those that wait have the new end's colour alone.
    fresh: usize,
    visited: usize,
    /// Of the members of a range, how many children are still to come.
    children: Vec<u32>,
}

impl<'a> RevisionRanges<'a> {
    pub fn new(graph: &'a CommitGraph) -> Self {
        Self {
            graph,
            colours: vec![0; graph.len()],
            coloured: Vec::new(),
            waiting: BinaryHeap::new(),
            fresh: 0,
            visited: 0,
            children: vec![0; graph.len()],
        }
    }

    /// `new` and its ancestors without `old` and its ancestors, in no particular order; all of the former for no `old`.
    pub fn difference(&mut self, new: CommitIndex, old: Option<CommitIndex>) -> Vec<CommitIndex> {
        self.fresh = 0;
        self.colour(new, NEW);
        if let Some(old) = old {
            self.colour(old, OLD);
        }
        let graph = self.graph;
        while self.fresh > 0 || graph.circular {
            let Some((_, node)) = self.waiting.pop() else {
                break;
            };
            let colour = self.colours[node as usize] & (NEW | OLD);
            self.colours[node as usize] = colour;
            self.fresh -= usize::from(colour == NEW);
            for &parent in graph.parents(node) {
                self.colour(parent, colour);
            }
        }
        self.waiting.clear();
        self.visited = self.coloured.len();
        let mut difference = Vec::new();
        for node in self.coloured.drain(..) {
            let colour = std::mem::take(&mut self.colours[node as usize]);
            if colour & (NEW | OLD) == NEW {
                difference.push(node);
            }
        }
        difference
    }

    /// How many commits the last difference looked at.
    pub fn visited(&self) -> usize {
        self.visited
    }

    /// Adds a colour. A commit that passed its colours on already waits again: only in a circle does that happen.
    fn colour(&mut self, node: CommitIndex, colour: u8) {
        let before = self.colours[node as usize];
        let after = before | colour | WAITS;
        if (before ^ after) & (NEW | OLD) == 0 {
            return;
        }
        if before == 0 {
            self.coloured.push(node);
        }
        if before & WAITS == 0 {
            let generation = self.graph.generation(node);
            self.waiting.push((generation, node));
        }
        self.colours[node as usize] = after;
        self.fresh += usize::from(after == NEW | WAITS);
        self.fresh -= usize::from(before == NEW | WAITS);
    }

    /// The members of a range as DevLake numbers them: depth first from the newer end, a commit before its parents,
    /// parents by hash.
    pub fn depth_first(&mut self, new: CommitIndex, members: &[CommitIndex]) -> Vec<CommitIndex> {
        self.mark(members);
        let mut order = Vec::with_capacity(members.len());
        let mut stack = vec![new];
        while let Some(node) = stack.pop() {
            if self.colours[node as usize] != MEMBER {
                continue;
            }
            self.colours[node as usize] = 0;
            order.push(node);
            let from = stack.len();
            stack.extend_from_slice(self.graph.parents(node));
            stack[from..].sort_unstable_by_key(|parent| Reverse(*parent));
        }
        self.unmark(members);
        order
    }

    /// The members of a range, children before parents; among those that are ready the one committed last, then by
    /// hash. In a circle none is ever ready: then the one committed last is taken.
    pub fn topological(&mut self, members: &[CommitIndex]) -> Vec<CommitIndex> {
        self.mark(members);
        for &node in members {
            for &parent in self.graph.parents(node) {
                self.children[parent as usize] += 1;
            }
        }
        let graph = self.graph;
        let rank = |node: CommitIndex| (graph.time(node), Reverse(node));
        let mut ready: BinaryHeap<_> = members
            .iter()
            .filter(|node| self.children[**node as usize] == 0)
            .map(|node| rank(*node))
            .collect();
        let mut by_force = Vec::new();
        if graph.circular {
            by_force = members.iter().map(|node| rank(*node)).collect();
            by_force.sort_unstable();
        }
        let mut order = Vec::with_capacity(members.len());
        while let Some((_, Reverse(node))) = ready.pop().or_else(|| by_force.pop()) {
            if self.colours[node as usize] != MEMBER {
                continue;
            }
            self.colours[node as usize] = 0;
            order.push(node);
            for &parent in graph.parents(node) {
                let children = &mut self.children[parent as usize];
                *children -= 1;
                if *children == 0 && self.colours[parent as usize] == MEMBER {
                    ready.push(rank(parent));
                }
            }
        }
        self.unmark(members);
        order
    }

    fn mark(&mut self, members: &[CommitIndex]) {
        for &node in members {
            self.colours[node as usize] = MEMBER;
        }
    }

    fn unmark(&mut self, members: &[CommitIndex]) {
        for &node in members {
            self.colours[node as usize] = 0;
        }
    }
}
