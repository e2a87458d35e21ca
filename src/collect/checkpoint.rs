//! The repository's state while it is collected: every checkpoint is one put of it, which names the segments that are
//! safe and where each walk goes on.

use std::collections::BTreeMap;

use super::report::EntityReport;
use crate::error::Result;
use crate::lake::{
    Lake, ListState, ListStatus, ObjectVersion, PendingRecord, RepositoryState, SegmentRef,
    is_lost_race,
};

/// Things to ask for that a page's records led to, by the table that asks.
pub(super) type FollowUps = BTreeMap<&'static str, Vec<PendingRecord>>;

pub(super) struct CheckpointStore<'a> {
    lake: &'a Lake,
    pub(super) state: RepositoryState,
    /// As it is on the lake, and in which version; nothing for a new one.
    saved: Option<(RepositoryState, ObjectVersion)>,
    /// What lists brought of other tables than their own.
    pub(super) beside: BTreeMap<&'static str, EntityReport>,
}

impl<'a> CheckpointStore<'a> {
    pub(super) fn new(
        lake: &'a Lake,
        state: RepositoryState,
        saved: Option<(RepositoryState, ObjectVersion)>,
    ) -> Self {
        Self {
            lake,
            state,
            saved,
            beside: BTreeMap::new(),
        }
    }

    pub(super) fn entity(&mut self, table: &str) -> &mut ListState {
        self.state.entities.entry(table.to_owned()).or_default()
    }

    /// How many records the entity's segments hold.
    pub(super) fn sequence(&self, table: &str) -> u64 {
        let known = self.state.entities.get(table);
        known.map_or(0, |entity| entity.sequence)
    }

    pub(super) fn ever_returned(&self, table: &str) -> bool {
        let known = self.state.entities.get(table);
        known.is_some_and(ListState::ever_returned)
    }

    /// Whether a later round, or another run, brings older records of the table: not of one that is refused.
    pub(super) fn may_come(&self, table: &str) -> bool {
        let known = self.state.entities.get(table);
        known.is_some_and(|entity| match entity.status {
            ListStatus::Complete | ListStatus::Loading => entity.deep.is_some(),
            ListStatus::Failed => true,
            ListStatus::Unavailable | ListStatus::Stale => false,
        })
    }

    pub(super) fn add(&mut self, table: &str, segment: Option<SegmentRef>) {
        let entity = self.entity(table);
        if let Some(segment) = segment {
            entity.sequence = segment.first.saturating_add(segment.rows);
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
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when another run collects the same repository.
    pub(super) async fn put(&mut self) -> Result<()> {
        loop {
            let (saved, version) = self.saved.as_ref().map(|(s, v)| (s, v)).unzip();
            if saved == Some(&self.state) {
                return Ok(());
            }
            match self.lake.put_state(&self.state, version).await {
                Ok(version) => {
                    self.saved = Some((self.state.clone(), version));
                    return Ok(());
                }
                Err(error) if is_lost_race(&error) && self.take_over().await? => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// After a lost race: a transform that published segments meanwhile is no rival, and its word is taken over.
    async fn take_over(&mut self) -> Result<bool> {
        let (id, uuid) = (self.state.connection_id, &self.state.uuid);
        let (Some((saved, _)), Some((theirs, version))) =
            (&self.saved, self.lake.state(id, uuid).await?)
        else {
            return Ok(false);
        };
        if theirs.collected_by != saved.collected_by {
            return Ok(false);
        }
        for (table, before) in &saved.entities {
            let left = theirs
                .entities
                .get(table)
                .map_or(&[][..], |entity| &entity.segments);
            let published =
                |segment: &SegmentRef| before.segments.contains(segment) && !left.contains(segment);
            let still_lost = theirs.entities.get(table).is_some_and(|it| it.is_lost);
            if let Some(entity) = self.state.entities.get_mut(table) {
                entity.segments.retain(|segment| !published(segment));
                entity.is_lost &= still_lost || !before.is_lost;
            }
        }
        self.state.published_as.clone_from(&theirs.published_as);
        self.saved = Some((theirs, version));
        Ok(true)
    }
}
