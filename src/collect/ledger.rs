//! The repository's state while it is collected: every checkpoint is one put of it, which names the segments that are
//! safe and where each walk goes on.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lake::{EntityState, Lake, Queued, SegmentRef, State};

/// Things to ask for that a page's records led to, by the table that asks.
pub(super) type FollowUps = BTreeMap<&'static str, Vec<Queued>>;

pub(super) struct Ledger<'a> {
    lake: &'a Lake,
    pub(super) state: State,
    /// As it was put last.
    saved: Option<State>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(lake: &'a Lake, state: State) -> Self {
        Self {
            lake,
            state,
            saved: None,
        }
    }

    pub(super) fn entity(&mut self, table: &str) -> &mut EntityState {
        self.state.entities.entry(table.to_owned()).or_default()
    }

    /// How many records the entity's segments hold.
    pub(super) fn sequence(&self, table: &str) -> u64 {
        let known = self.state.entities.get(table);
        known.map_or(0, |entity| entity.sequence)
    }

    pub(super) fn ever_returned(&self, table: &str) -> bool {
        let known = self.state.entities.get(table);
        known.is_some_and(EntityState::ever_returned)
    }

    pub(super) fn add(&mut self, table: &str, segment: Option<SegmentRef>) {
        let entity = self.entity(table);
        if let Some(segment) = segment {
            entity.sequence = segment.first + segment.rows;
            entity.segments.push(segment);
        }
    }

    pub(super) fn follow(&mut self, more: &mut FollowUps) {
        for (table, queued) in std::mem::take(more) {
            self.entity(table).enqueue(queued);
        }
    }

    /// Children are complete as far as their parents are, once none is queued.
    pub(super) fn inherit(&mut self, table: &str, parents: &str) {
        let of = self.entity(parents);
        let (from, through) = (of.complete_from, of.complete_through);
        let entity = self.entity(table);
        if entity.queue.is_empty() {
            entity.complete_from = from;
            entity.complete_through = through;
        }
    }

    /// Puts the state, if it is not there already.
    pub(super) async fn put(&mut self) -> Result<()> {
        if self.saved.as_ref() != Some(&self.state) {
            self.lake.put_state(&self.state).await?;
            self.saved = Some(self.state.clone());
        }
        Ok(())
    }
}
