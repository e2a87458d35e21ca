//! Records that arrive embedded in those of another list, such as the comments in the activity feed, on their way to their
//! own table.

use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::entity::{EmbeddedTable, Entity};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::sink::Sink;
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::Replaces;
use crate::schema::Parent;

/// Embedded records that arrived since the last checkpoint.
pub(super) struct EmbeddedRecords {
    table: Option<&'static EmbeddedTable>,
    /// The records of each parent; a parent may return.
    records: Vec<(Parent, Vec<Box<RawValue>>)>,
}

impl EmbeddedRecords {
    pub(super) fn of(entity: &Entity) -> Self {
        Self {
            table: entity.embeds,
            records: Vec::new(),
        }
    }

    /// Take the embedded record out of a record that is kept.
    pub(super) fn extract(&mut self, record: JsonValue<'_>) {
        let Some((parent, inner)) = self.table.and_then(|table| (table.extract)(record)) else {
            return;
        };
        if let Ok(raw) = serde_json::value::to_raw_value(&inner) {
            let parent = Parent::Id(parent);
            match self.records.last_mut() {
                Some((last, records)) if *last == parent => records.push(raw),
                _ => self.records.push((parent, vec![raw])),
            }
        }
    }

    /// Write the records as part of the checkpoint that saves the embedding records.
    pub(super) async fn save(
        &mut self,
        repository: &RepositoryContext<'_>,
        checkpoints: &mut CheckpointStore<'_>,
    ) -> Result<()> {
        let Some(table) = self.table.filter(|_| !self.records.is_empty()) else {
            return Ok(());
        };
        let mut sink = Sink::new(repository, table.entity, checkpoints)?;
        let mut report = EntityReport::default();
        for (parent, records) in self.records.drain(..) {
            sink.take(&records, Some(&parent), &mut report, |_| {})?;
        }
        sink.save(checkpoints, Replaces::Nothing).await?;
        let counts = checkpoints.embedded.entry(table.entity.table).or_default();
        counts.add(report);
        Ok(())
    }
}
