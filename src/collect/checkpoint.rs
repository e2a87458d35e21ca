//! Checkpoints of a repository: each is one put of its state, which names the segments collected so far and the cursor of
//! every unfinished list.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::report::EntityReport;
use crate::error::Result;
use crate::lake::{
    Lake, ListState, ListStatus, ObjectVersion, PendingRecord, RepositoryState, SegmentRef,
    is_lost_race,
};
use crate::schema::SourceTable;

/// Pending records that were found in a page, by the table that fetches them.
#[derive(Default)]
pub(super) struct PendingRecords(BTreeMap<SourceTable, Vec<PendingRecord>>);

impl PendingRecords {
    pub(super) fn add(&mut self, table: SourceTable, record: PendingRecord) {
        self.0.entry(table).or_default().push(record);
    }

    #[cfg(test)]
    pub(super) fn of(&self, table: SourceTable) -> &[PendingRecord] {
        self.0.get(&table).map_or(&[], Vec::as_slice)
    }
}

/// The state of one repository or workspace while it is collected.
pub(super) struct CheckpointStore<'a> {
    lake: &'a Lake,
    pub(super) state: RepositoryState,
    /// The text of the state as it is on the lake, with its version; `None` for a new one.
    saved: Option<(Bytes, ObjectVersion)>,
    /// Counts of records that arrived embedded in another list, by their own table.
    pub(super) embedded: BTreeMap<SourceTable, EntityReport>,
}

impl<'a> CheckpointStore<'a> {
    pub(super) fn new(
        lake: &'a Lake,
        state: RepositoryState,
        saved: Option<(RepositoryState, ObjectVersion)>,
    ) -> Self {
        // A state whose text is not known is put even if the lake has it already.
        let text = |saved: RepositoryState| saved.to_text().unwrap_or_default();
        Self {
            lake,
            state,
            saved: saved.map(|(saved, version)| (text(saved), version)),
            embedded: BTreeMap::new(),
        }
    }

    pub(super) fn list(&self, table: impl AsRef<str>) -> &ListState {
        self.state.list(table)
    }

    pub(super) fn list_mut(&mut self, table: impl AsRef<str>) -> &mut ListState {
        self.state.list_mut(table)
    }

    /// Whether a later round or run may still add older records to the table. A refused list gets none.
    pub(super) fn may_grow(&self, table: SourceTable) -> bool {
        let list = self.list(table);
        match list.status {
            ListStatus::Complete | ListStatus::Loading => list.backfill.is_some(),
            ListStatus::Failed => true,
            ListStatus::NotCollected | ListStatus::Unavailable | ListStatus::Stale => false,
        }
    }

    pub(super) fn add_segment(&mut self, table: SourceTable, segment: SegmentRef) {
        let list = self.list_mut(table);
        list.sequence = segment.first.saturating_add(segment.rows);
        list.segments.push(segment);
    }

    /// Move the pending records found since the last checkpoint into the state.
    pub(super) fn add_pending(&mut self, found: &mut PendingRecords) {
        for (table, records) in std::mem::take(&mut found.0) {
            self.list_mut(table).add_pending(records);
        }
    }

    /// Set the collected span of a child list to that of its parents, once none of them is pending for it.
    pub(super) fn inherit_span(&mut self, table: SourceTable) {
        let Some(parents) = table.parent() else {
            return;
        };
        let parents = self.list(parents);
        let (from, last_complete) = (parents.complete_from, parents.complete_through);
        let list = self.list_mut(table);
        if list.pending.is_empty() {
            list.complete_from = from;
            list.complete_through = last_complete;
        }
    }

    /// Put the state, unless the lake has it already.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when another run collects the same repository.
    pub(super) async fn put(&mut self) -> Result<()> {
        loop {
            let text = self.state.to_text()?;
            let (saved, version) = self.saved.as_ref().map(|(s, v)| (s, v)).unzip();
            if saved == Some(&text) {
                return Ok(());
            }
            let put = self.lake.put_state_text(&self.state, text.clone(), version);
            match put.await {
                Ok(version) => {
                    self.saved = Some((text, version));
                    return Ok(());
                }
                Err(error) if is_lost_race(&error) && self.merge_publish().await? => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Take over what a concurrent transform changed: it removes the segments that it published, and starts lists over
    /// whose records it gave up. Return false when the state was changed by another collecting run.
    async fn merge_publish(&mut self) -> Result<bool> {
        let (id, uuid) = (self.state.connection_id, &self.state.uuid);
        let (Some((saved, _)), Some((theirs, version))) =
            (&self.saved, self.lake.state(id, uuid).await?)
        else {
            return Ok(false);
        };
        let saved = RepositoryState::from_text(saved)?;
        if theirs.collected_by != saved.collected_by {
            return Ok(false);
        }
        for (table, before) in &saved.entities {
            let left = theirs.list(table);
            let is_published = |segment: &SegmentRef| {
                before.segments.contains(segment) && !left.segments.contains(segment)
            };
            if let Some(list) = self.state.entities.get_mut(table) {
                list.segments.retain(|segment| !is_published(segment));
                list.is_lost &= left.is_lost || !before.is_lost;
                if before.ever_returned() && !left.ever_returned() {
                    list.start_over(left.reason.as_deref().unwrap_or_default());
                }
            }
        }
        self.state.published_as.clone_from(&theirs.published_as);
        self.saved = Some((theirs.to_text()?, version));
        Ok(true)
    }
}
