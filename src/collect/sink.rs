//! The way of a page of records into a segment: cut by `since`, drop drafts, remove secrets, key, decode, write.
//!
//! Records are written in batches of bounded size, so a list of any length needs the memory of one batch and one page.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::context::CollectEvent;
use super::entity::{Entity, prefix};
use super::read_digest::ReadDigest;
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use crate::error::{Error, ErrorKind, Result};
use crate::json::JsonValue;
use crate::lake::{ListState, Replaces, SegmentWriter};
use crate::redaction::{ReadQuality, ReceivedRecord, Redactor};
use crate::schema::{
    Contract, Contracts, Decoder, Parent, RecordEnvelope, SourceRecord, SourceTable, content_key,
};

/// The size from which a batch is written. In smaller ones, the cost of a batch would be more than that of its records.
const BATCH_ROWS: usize = 1024;
/// As [`BATCH_ROWS`], in bytes of JSON.
const BATCH_BYTES: usize = 1 << 20;

/// Writes the records of one table into segments: one for each checkpoint.
pub(super) struct Sink<'a> {
    repository: &'a RepositoryContext<'a>,
    entity: &'static Entity,
    contract: &'static Arc<Contract>,
    redactor: Redactor,
    decoder: Decoder,
    /// The sequence number of the next segment's first record.
    first: u64,
    /// The segment under way; opened by its first batch.
    writer: Option<SegmentWriter>,
    read: ReadDigest,
    /// Every record so far is older than this time, at which an earlier read of the list stopped. `None` if this read begins
    /// with the newest records, or repeats a record of the earlier read.
    older_than: Option<DateTime<Utc>>,
}

/// The times of one page's records, in their order.
#[derive(Debug, Default)]
pub(super) struct PageTimes {
    pub(super) times: Vec<DateTime<Utc>>,
    /// Whether the last record has a time: otherwise nothing is known about the records that follow.
    pub(super) ends_dated: bool,
}

impl PageTimes {
    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.times.iter().max().copied()
    }

    /// Count the records that are not older than `time`.
    pub(super) fn count_since(&self, time: DateTime<Utc>) -> u64 {
        self.times.iter().filter(|one| **one >= time).count() as u64
    }

    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.times.iter().min().copied()
    }

    /// Return whether all of `records` records are older than `time`.
    fn are_all_before(&self, time: DateTime<Utc>, records: usize) -> bool {
        self.times.len() == records && self.newest().is_none_or(|newest| newest < time)
    }
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        repository: &'a RepositoryContext<'a>,
        entity: &'static Entity,
        checkpoints: &CheckpointStore<'_>,
    ) -> Result<Self> {
        let contract = Contracts::bundled()?.require(SourceTable::LAYER, entity.table.as_str())?;
        let envelope = RecordEnvelope {
            connection_id: repository.connection_id,
            workspace: repository.workspace.clone(),
            repository: match repository.is_workspace() {
                true => String::new(),
                false => repository.full_name.clone(),
            },
            uuid: repository.uuid.clone(),
        };
        Ok(Self {
            repository,
            entity,
            contract,
            redactor: Redactor::new(repository.client.masker().clone())?,
            decoder: Decoder::new(Arc::clone(contract), envelope),
            first: checkpoints.list(entity.table).sequence,
            writer: None,
            read: ReadDigest::default(),
            older_than: None,
        })
    }

    /// Continue a read of the list that stopped at this time. `None`: begin with the newest records.
    pub(super) fn continue_below(&mut self, time: Option<DateTime<Utc>>) {
        self.older_than = time;
    }

    /// Write a page of records. `parent` is `None` where the records name their parents themselves; `each` gets every
    /// record that is kept, without its secrets.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a page that holds something else than records.
    pub(super) fn take(
        &mut self,
        values: &[Box<RawValue>],
        parent: Option<&Parent>,
        report: &mut EntityReport,
        mut each: impl FnMut(JsonValue<'_>),
    ) -> Result<PageTimes> {
        // Nothing is kept of such a page.
        if !values.iter().all(|raw| raw.get().starts_with('{')) {
            return Err(self.not_a_record());
        }
        let (mut times, mut kept) = (PageTimes::default(), 0);
        for raw in values {
            let received = ReceivedRecord::read(raw.get());
            self.see_time(received.value(), &mut times);
            if let Some(parent) = self.select(received.value(), parent, report) {
                let record = self.redact(received, parent, report);
                each(record.payload.value());
                self.read.add(&record);
                self.decoder.append(record);
                kept += 1;
            }
        }
        self.read.end_page();
        let still_older = |time: &DateTime<Utc>| times.are_all_before(*time, values.len());
        self.older_than = self.older_than.filter(still_older);
        self.count(kept, report);
        if self.decoder.rows() >= BATCH_ROWS || self.decoder.payload_bytes() >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(times)
    }

    fn not_a_record(&self) -> Error {
        Error::new(
            ErrorKind::Api,
            "the list contains a value that is no record",
        )
        .with("repository", &self.repository.full_name)
        .with("entity", self.entity.table)
        .hint("run again; if the error persists, check endpoint and proxy")
    }

    fn see_time(&self, value: JsonValue<'_>, times: &mut PageTimes) {
        if let Some(order) = self.entity.ordered_by.or(self.entity.time) {
            let time = order(value);
            times.ends_dated = time.is_some();
            times.times.extend(time);
        }
    }

    /// Return the parent of a record to keep; count a record that is dropped.
    fn select(
        &self,
        value: JsonValue<'_>,
        parent: Option<&Parent>,
        report: &mut EntityReport,
    ) -> Option<Parent> {
        let time = self.entity.time.and_then(|time| time(value));
        if time.is_some_and(|time| time < self.repository.since) {
            report.older += 1;
            return None;
        }
        if (self.entity.is_draft)(value) {
            report.drafts += 1;
            return None;
        }
        let own = || match self.entity.parent {
            Some(parent) => parent(value).map(Parent::Id),
            None => Some(Parent::None),
        };
        let parent = parent.cloned().or_else(own);
        report.orphans += u64::from(parent.is_none());
        parent
    }

    /// Remove secrets from a record and key it.
    fn redact(
        &self,
        received: ReceivedRecord<'_>,
        parent: Parent,
        report: &mut EntityReport,
    ) -> SourceRecord {
        match received.quality() {
            ReadQuality::Exact => {}
            ReadQuality::Repaired => report.add_misfits([("(repaired)".to_owned(), 1)]),
            ReadQuality::Unreadable => report.add_misfits([("(unreadable)".to_owned(), 1)]),
        }
        let (payload, removed) = received.redact(&self.redactor);
        report.redactions += removed;
        let key = (self.entity.key)(payload.value());
        let prefix = match self.entity.keyed_by_parent || key.is_none() {
            true => prefix(&parent),
            false => String::new(),
        };
        let key = key.unwrap_or_else(|| content_key(payload.payload()));
        SourceRecord {
            key: format!("{prefix}{key}"),
            parent,
            payload,
        }
    }

    fn count(&mut self, kept: u64, report: &mut EntityReport) {
        report.records += kept;
        report.add_misfits(self.decoder.take_misfits());
        report.add_odd_times(self.decoder.take_odd_times());
        (self.repository.run.options.listener)(CollectEvent::Page {
            repository: &self.repository.full_name,
            entity: self.entity.table.as_str(),
            records: kept,
            client: self.repository.client,
        });
    }

    /// Write the records that are not written yet.
    fn write_batch(&mut self) -> Result<()> {
        if self.decoder.rows() > 0 {
            let batch = self.decoder.finish()?;
            self.writer()?.write(&batch)?;
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut SegmentWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => SegmentWriter::create(
                self.repository.run.lake,
                self.contract,
                self.repository.connection_id,
                &self.repository.uuid,
                self.repository.run.options.run_id,
                self.first,
            )?,
        };
        Ok(self.writer.insert(writer))
    }

    /// Finish the segment and name it in the state; without records there is none. An empty list is no proof that all
    /// records are gone, because Bitbucket has returned empty lists by mistake. Nor is there a segment of the same records as
    /// in the last one.
    pub(super) async fn save(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        replaces: Replaces,
    ) -> Result<()> {
        if self.is_collected(checkpoints.list(self.entity.table), &replaces) {
            self.decoder.finish()?;
            self.writer = None;
            return Ok(());
        }
        self.write_batch()?;
        if let Some(writer) = self.writer.take() {
            let next = self.read.next(&replaces);
            let segment = writer.finish(replaces).await?;
            checkpoints.add_segment(self.entity.table, segment);
            let list = checkpoints.list_mut(self.entity.table);
            // The next read begins with the newest records, so it cannot be recognised by older ones.
            if self.older_than.is_none() {
                list.last_read = next;
            }
            self.first = list.sequence;
        }
        Ok(())
    }

    /// Whether the list's last segment has exactly these records. A full refresh and a lost file need them again.
    fn is_collected(&self, list: &ListState, replaces: &Replaces) -> bool {
        let read = self.read.whole(replaces);
        let is_needed = self.repository.is_full_refresh() || list.is_lost;
        read.is_some() && read == list.last_read && !is_needed
    }

    /// Finish the segment and name it in the state, even without records.
    pub(super) async fn save_even_empty(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        replaces: Replaces,
    ) -> Result<()> {
        self.writer()?;
        self.save(checkpoints, replaces).await
    }
}
