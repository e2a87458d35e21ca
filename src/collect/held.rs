//! Records that arrive inside those of another list, on their way to their own table: the comments that the activity
//! feed shows whole.

use serde_json::Value;
use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::entity::{Entity, Holds};
use super::report::EntityReport;
use super::repository::Site;
use super::sink::Sink;
use crate::error::Result;
use crate::lake::Replaces;
use crate::schema::Parent;

/// What arrived since the last checkpoint.
pub(super) struct Held {
    holds: Option<&'static Holds>,
    records: Vec<(Parent, Box<RawValue>)>,
}

impl Held {
    pub(super) fn of(entity: &Entity) -> Self {
        Self {
            holds: entity.holds,
            records: Vec::new(),
        }
    }

    /// Looks into a record that is kept.
    pub(super) fn see(&mut self, record: &Value) {
        let Some((parent, inner)) = self.holds.and_then(|holds| (holds.inner)(record)) else {
            return;
        };
        if let Ok(raw) = serde_json::value::to_raw_value(&inner) {
            self.records.push((Parent::Id(parent), raw));
        }
    }

    /// Part of the checkpoint that saves the records they were in.
    pub(super) async fn save(
        &mut self,
        site: &Site<'_>,
        checkpoints: &mut CheckpointStore<'_>,
    ) -> Result<()> {
        let Some(holds) = self.holds.filter(|_| !self.records.is_empty()) else {
            return Ok(());
        };
        let table = holds.entity.table;
        let mut sink = Sink::open(site, holds.entity, checkpoints.sequence(table))?;
        let mut report = EntityReport::default();
        for of_one in self.records.chunk_by(|(a, _), (b, _)| a == b) {
            if let Some((parent, _)) = of_one.first() {
                let records: Vec<_> = of_one.iter().map(|(_, record)| record.clone()).collect();
                sink.take(&records, Some(parent), &mut report, |_| {})?;
            }
        }
        self.records.clear();
        let segment = sink.finish(Replaces::Nothing).await?;
        checkpoints.add(table, segment);
        checkpoints.beside.entry(table).or_default().add(report);
        Ok(())
    }
}
