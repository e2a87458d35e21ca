//! The first deployment of a chain that has a commit, for all commits at once.
//!
//! A commit that has its label passes nothing on, since all its ancestors have theirs: each is visited once per chain,
//! however many deployments there are.

use super::{CommitGraph, CommitIndex};

/// The label of a commit that no deployment has.
pub const NOT_CONTAINED: u32 = u32::MAX;

impl CommitGraph {
    /// For every commit the smallest index in `chain` from whose commit it is reachable, or [`NOT_CONTAINED`]. `None` in the
    /// chain is a deployment of a commit that the graph does not know, and labels nothing.
    pub fn first_containing(
        &self,
        chain: impl IntoIterator<Item = Option<CommitIndex>>,
    ) -> Vec<u32> {
        let mut first = vec![NOT_CONTAINED; self.len()];
        let mut stack = Vec::new();
        for (index, node) in (0..).zip(chain) {
            stack.extend(node);
            while let Some(node) = stack.pop() {
                if first[node as usize] != NOT_CONTAINED {
                    continue;
                }
                first[node as usize] = index;
                let unlabelled = |parent: &CommitIndex| first[*parent as usize] == NOT_CONTAINED;
                stack.extend(self.parents(node).iter().copied().filter(unlabelled));
            }
        }
        first
    }
}
