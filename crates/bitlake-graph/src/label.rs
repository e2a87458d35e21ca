//! The first deployment of a chain that has a commit, for all commits at once.
//!
//! A commit that has its label passes nothing on, since all its ancestors have theirs: each is visited once per chain,
//! however many deployments there are.

use super::{Graph, Node};

/// The label of a commit that no deployment has.
pub const NEVER: u32 = u32::MAX;

impl Graph {
    /// For every commit the smallest index in `chain` from whose commit it is reachable, or [`NEVER`]. `None` in the
    /// chain is a deployment of a commit that the graph does not know, and labels nothing.
    pub fn first_containing(&self, chain: impl IntoIterator<Item = Option<Node>>) -> Vec<u32> {
        let mut first = vec![NEVER; self.len()];
        let mut stack = Vec::new();
        for (index, node) in (0..).zip(chain) {
            stack.extend(node);
            while let Some(node) = stack.pop() {
                if first[node as usize] != NEVER {
                    continue;
                }
                first[node as usize] = index;
                let unlabelled = |parent: &Node| first[*parent as usize] == NEVER;
                stack.extend(self.parents(node).iter().copied().filter(unlabelled));
            }
        }
        first
    }
}
