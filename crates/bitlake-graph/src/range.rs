//! Revision ranges: the commits reachable from one commit and not from another, as in `git rev-list new ^old`.
//!
//! Both ends are coloured and form the first frontier. The commit of the highest generation leaves the frontier and
//! passes its colours on to its parents, which enter it. The search ends when every commit in the frontier has the
//! colour of the old end, because all their ancestors are reachable from both ends. It visits the commits between the
//! two ends and few others, not the whole history.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{CommitGraph, CommitNode};

const NEW: u8 = 1;
const OLD: u8 = 2;
const IN_FRONTIER: u8 = 4;
const MEMBER: u8 = 8;

/// Computes revision ranges of one graph, reusing its arrays between calls.
pub struct RevisionRanges<'a> {
    graph: &'a CommitGraph,
    colours: Vec<u8>,
    coloured: Vec<CommitNode>,
    frontier: BinaryHeap<(u32, CommitNode)>,
    /// The number of commits in the frontier that have only the colour of the new end.
    fresh: usize,
    visited: usize,
    /// For each member of a range, the number of children not yet in the order.
    children: Vec<u32>,
}

impl<'a> RevisionRanges<'a> {
    /// Allocate the arrays for a graph.
    pub fn new(graph: &'a CommitGraph) -> Self {
        Self {
            graph,
            colours: vec![0; graph.len()],
            coloured: Vec::new(),
            frontier: BinaryHeap::new(),
            fresh: 0,
            visited: 0,
            children: vec![0; graph.len()],
        }
    }

    /// Return `new` and its ancestors without `old` and its ancestors, in no particular order. Without `old`, return
    /// all ancestors of `new`.
    pub fn difference(&mut self, new: CommitNode, old: Option<CommitNode>) -> Vec<CommitNode> {
        self.fresh = 0;
        self.colour(new, NEW);
        if let Some(old) = old {
            self.colour(old, OLD);
        }
        let graph = self.graph;
        while self.fresh > 0 || graph.circular {
            let Some((_, node)) = self.frontier.pop() else {
                break;
            };
            let colour = self.colours[node as usize] & (NEW | OLD);
            self.colours[node as usize] = colour;
            self.fresh -= usize::from(colour == NEW);
            for &parent in graph.parents(node) {
                self.colour(parent, colour);
            }
        }
        self.frontier.clear();
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

    /// Return the number of commits that the last call of [`difference`](Self::difference) visited.
    pub fn visited(&self) -> usize {
        self.visited
    }

    /// Add a colour to a commit. A commit with a new colour enters the frontier; only in a cycle does it enter twice.
    fn colour(&mut self, node: CommitNode, colour: u8) {
        let before = self.colours[node as usize];
        let after = before | colour | IN_FRONTIER;
        if (before ^ after) & (NEW | OLD) == 0 {
            return;
        }
        if before == 0 {
            self.coloured.push(node);
        }
        if before & IN_FRONTIER == 0 {
            let generation = self.graph.generation(node);
            self.frontier.push((generation, node));
        }
        self.colours[node as usize] = after;
        self.fresh += usize::from(after == NEW | IN_FRONTIER);
        self.fresh -= usize::from(before == NEW | IN_FRONTIER);
    }

    /// Order the members of a range as DevLake numbers them: depth first from the newer end, a commit before its
    /// parents, parents by hash.
    pub fn depth_first(&mut self, new: CommitNode, members: &[CommitNode]) -> Vec<CommitNode> {
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

    /// Order the members of a range topologically, children before parents. Among the commits whose children are all
    /// ordered, the latest commit time comes first, then the smallest hash. When a cycle leaves no such commit, the
    /// latest is taken.
    pub fn topological(&mut self, members: &[CommitNode]) -> Vec<CommitNode> {
        self.mark(members);
        for &node in members {
            for &parent in self.graph.parents(node) {
                self.children[parent as usize] += 1;
            }
        }
        let graph = self.graph;
        let rank = |node: CommitNode| (graph.time(node), Reverse(node));
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

    fn mark(&mut self, members: &[CommitNode]) {
        for &node in members {
            self.colours[node as usize] = MEMBER;
        }
    }

    fn unmark(&mut self, members: &[CommitNode]) {
        for &node in members {
            self.colours[node as usize] = 0;
        }
    }
}
