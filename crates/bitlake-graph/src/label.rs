//! Finds, for all commits at once, the first deployment of a series that contains them.
//!
//! The traversal stops at labelled commits, because all their ancestors are labelled too. So every commit is visited
//! once per series, however many deployments the series has.

use super::{CommitGraph, CommitNode};

/// The label of a commit that no deployment contains.
pub const NOT_CONTAINED: u32 = u32::MAX;

impl CommitGraph {
    /// Return for every commit the smallest index in `chain` whose commit has it as an ancestor, or [`NOT_CONTAINED`].
    /// `None` in the chain is a deployment of a commit outside the graph. It labels nothing.
    pub fn first_containing(
        &self,
        chain: impl IntoIterator<Item = Option<CommitNode>>,
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
                let unlabelled = |parent: &CommitNode| first[*parent as usize] == NOT_CONTAINED;
                stack.extend(self.parents(node).iter().copied().filter(unlabelled));
            }
        }
        first
    }
}
