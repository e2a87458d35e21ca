//! The commit graph of one repository.
//!
//! It answers two questions: which commits does one release contain that another does not, and which deployment was the
//! first to contain a commit. SQL could answer them only by recursion over rows. Here a commit is an index into a few
//! arrays, so a history of a million commits is traversed in memory:
//!
//! ```text
//! names.rs   hashes, sorted:   index 0, 1, 2 …        (the order of indices is the order of hashes)
//! build.rs   offsets, parents: index ─▶ its parents   ordered by position, first parent first
//!            generations:      1 + the largest generation of the parents
//! sorted.rs  the same arrays, from a graph that was written down
//! range.rs   commits reachable from one revision and not from another, and their order
//! label.rs   the first deployment of a series that contains a commit
//! ```
//!
//! The crate does no I/O and does not recurse. Cycles of parents, which git cannot produce but a hand-written table can
//! contain, do not hang any function.

// Every index is a `CommitNode` that the same graph has given out, or a position in an array of the same length.
#![allow(clippy::indexing_slicing)]

mod build;
mod label;
mod names;
mod range;
mod sorted;
#[cfg(test)]
mod tests;

pub use build::GraphBuilder;
pub use label::NOT_CONTAINED;
pub use names::{CommitHash, PrefixMatch};
pub use range::RevisionRanges;
pub use sorted::{MalformedGraph, SortedGraphBuilder};

use std::collections::HashSet;

use names::HashIndex;

/// A commit, as the position of its hash among the sorted hashes of its repository.
pub type CommitNode = u32;

/// The commits of one repository and their parents. A commit that occurs only as a parent is part of the graph.
///
/// A method that takes a [`CommitNode`] panics if another, larger graph has given it out.
#[derive(Debug)]
pub struct CommitGraph {
    names: HashIndex,
    /// The parents of a commit are `parents[offsets[node]..offsets[node + 1]]`.
    offsets: Vec<u32>,
    parents: Vec<CommitNode>,
    /// Start at 1. The generation of a commit exceeds that of every ancestor, unless `circular`.
    generations: Vec<u32>,
    /// Commit times in any unit, `i64::MIN` where unknown. Empty when no time is known at all.
    times: Vec<i64>,
    /// Some commit is its own ancestor, so generations give no bound.
    circular: bool,
}

impl CommitGraph {
    /// Return the number of commits.
    pub fn len(&self) -> usize {
        self.generations.len()
    }

    /// Return whether the graph has no commits.
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Return the commits, in the order of their hashes.
    pub fn nodes(&self) -> std::ops::Range<CommitNode> {
        0..self.len() as CommitNode
    }

    /// Return the hash of a commit.
    pub fn name(&self, node: CommitNode) -> CommitHash<'_> {
        self.names.name(node)
    }

    /// Find the commit with exactly this hash.
    pub fn find(&self, hash: &str) -> Option<CommitNode> {
        self.names.find(hash)
    }

    /// Find the only commit whose hash starts with `prefix`.
    pub fn find_prefix(&self, prefix: &str) -> PrefixMatch {
        self.names.find_prefix(prefix)
    }

    /// Return the parents of a commit, ordered by position: the branch that was merged into comes first.
    pub fn parents(&self, node: CommitNode) -> &[CommitNode] {
        let at = node as usize;
        &self.parents[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// Return the length of the longest path from the commit to a root, counted in commits.
    pub fn generation(&self, node: CommitNode) -> u32 {
        self.generations[node as usize]
    }

    /// Return the commit time, if it is known.
    pub fn time(&self, node: CommitNode) -> Option<i64> {
        let time = self.times.get(node as usize).copied();
        time.filter(|time| *time != i64::MIN)
    }

    /// Return whether `ancestor` is reachable from `node`. A commit is its own ancestor.
    pub fn is_ancestor(&self, ancestor: CommitNode, node: CommitNode) -> bool {
        let lowest = if self.circular {
            0
        } else {
            self.generation(ancestor)
        };
        let mut seen = HashSet::from([node]);
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            if node == ancestor {
                return true;
            }
            for &parent in self.parents(node) {
                if self.generation(parent) >= lowest && seen.insert(parent) {
                    stack.push(parent);
                }
            }
        }
        false
    }
}
