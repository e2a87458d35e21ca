//! Rebuilds a graph from its commits in the order of their nodes, without a hash table and without a traversal.

use std::error::Error;
use std::fmt;

use super::names::HashIndex;
use super::{CommitGraph, CommitNode};

/// Collects the commits of a [`CommitGraph`] in the order of their nodes.
#[derive(Debug, Default)]
pub struct SortedGraphBuilder {
    names: HashIndex,
    offsets: Vec<u32>,
    parents: Vec<CommitNode>,
    generations: Vec<u32>,
    times: Vec<i64>,
    timed: bool,
}

/// The commits are not those of a graph: a hash is not greater than the one before it, or a parent does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedGraph;

impl Error for MalformedGraph {}

impl fmt::Display for MalformedGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the commits are not in the order of their hashes, or a parent is not among them",
        )
    }
}

impl SortedGraphBuilder {
    /// Add the next commit. `parents` are ordered by position; a parent can be a commit that is added later.
    pub fn commit(
        &mut self,
        hash: &str,
        parents: impl IntoIterator<Item = CommitNode>,
        generation: u32,
        time: Option<i64>,
    ) {
        self.names.push(hash);
        self.offsets.push(self.parents.len() as u32);
        self.parents.extend(parents);
        self.generations.push(generation);
        self.times.push(time.unwrap_or(i64::MIN));
        self.timed |= time.is_some();
    }

    /// Build the graph.
    ///
    /// # Errors
    /// [`MalformedGraph`] if the commits cannot be those of a graph.
    pub fn finish(mut self) -> Result<CommitGraph, MalformedGraph> {
        let commits = self.names.len();
        let known = |parent: &CommitNode| (*parent as usize) < commits;
        if !self.names.is_sorted() || !self.parents.iter().all(known) {
            return Err(MalformedGraph);
        }
        self.offsets.push(self.parents.len() as u32);
        if !self.timed {
            self.times = Vec::new();
        }
        let mut graph = CommitGraph {
            names: self.names,
            offsets: self.offsets,
            parents: self.parents,
            generations: self.generations,
            times: self.times,
            circular: false,
        };
        // Generations increase from parent to child along every edge, unless the edge closes a cycle.
        graph.circular = (0..commits as CommitNode).any(|node| {
            let generation = graph.generation(node);
            let mut parents = graph.parents(node).iter();
            parents.any(|parent| graph.generation(*parent) >= generation)
        });
        Ok(graph)
    }
}
