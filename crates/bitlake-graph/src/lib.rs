//! The commit graph of one repository: which commits does one release have that another has not, and which deployment
//! had a commit first?
//!
//! Such questions follow parents for as long as there are any, which SQL can only do by recursion over rows. Here a
//! commit is a number, and a history of a million of them is a few arrays:
//!
//! ```text
//! names.rs   hashes, sorted:   node 0, 1, 2 …        (so that the order of nodes is the order of hashes)
//! build.rs   offsets, parents: node ─▶ its parents   in their positions, first parent first
//!            generations:      1 + the largest of its parents'
//! range.rs   reachable from one end and not from the other, and in which order to tell it
//! label.rs   the first of a chain of deployments that has a commit
//! ```
//!
//! Nothing here recurses or does I/O, and nothing hangs on a circle of parents, which no git history has but a table
//! that somebody gives can have.

mod build;
mod label;
mod names;
mod range;
#[cfg(test)]
mod tests;

pub use build::GraphBuilder;
pub use label::NOT_CONTAINED;
pub use names::{CommitHash, PrefixMatch};
pub use range::RevisionRanges;

use std::collections::HashSet;

use names::HashIndex;

/// A commit: its place among the sorted hashes of its repository.
pub type CommitIndex = u32;

/// The commits of one repository and what they build on. A commit that is only named as a parent is one of them.
#[derive(Debug)]
pub struct CommitGraph {
    names: HashIndex,
    /// `parents[offsets[node]..offsets[node + 1]]`.
    offsets: Vec<u32>,
    parents: Vec<CommitIndex>,
    /// From 1; greater than that of every ancestor, unless `circular`.
    generations: Vec<u32>,
    /// When it was committed, in any unit; `i64::MIN` when that is unknown. Empty when no time is known at all.
    times: Vec<i64>,
    /// Some commit is its own ancestor, so that generations bound nothing.
    circular: bool,
}

impl CommitGraph {
    /// How many commits there are.
    pub fn len(&self) -> usize {
        self.generations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    pub fn name(&self, node: CommitIndex) -> CommitHash<'_> {
        self.names.name(node)
    }

    /// The commit with exactly this hash.
    pub fn find(&self, hash: &str) -> Option<CommitIndex> {
        self.names.find(hash)
    }

    /// The commit whose hash begins with `prefix`, if there is exactly one.
    pub fn find_prefix(&self, prefix: &str) -> PrefixMatch {
        self.names.find_prefix(prefix)
    }

    /// The commits that `node` builds on, by position: the line that was merged into is the first.
    pub fn parents(&self, node: CommitIndex) -> &[CommitIndex] {
        let at = node as usize;
        &self.parents[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    pub fn generation(&self, node: CommitIndex) -> u32 {
        self.generations[node as usize]
    }

    fn time(&self, node: CommitIndex) -> i64 {
        self.times.get(node as usize).copied().unwrap_or(i64::MIN)
    }

    /// Whether `ancestor` can be reached from `node`; a commit is its own ancestor here.
    pub fn is_ancestor(&self, ancestor: CommitIndex, node: CommitIndex) -> bool {
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
