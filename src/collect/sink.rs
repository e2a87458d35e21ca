//! Where records arrive: cut by `since`, drafts dropped, secrets removed, keyed, decoded, appended to the segment.
//!
//! A page is written before the next is asked for, so a list of any length needs the memory of a page.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Event;
use super::entity::{Entity, prefix};
use super::report::EntityReport;
use super::repository::Site;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Replaces, SegmentRef, SegmentWriter};
use crate::redaction::{ReadQuality, ReceivedRecord, Redactor};
use crate::schema::{Contracts, Decoder, Parent, RecordEnvelope, SourceRecord, content_key};

pub(super) struct Sink<'a> {
    site: &'a Site<'a>,
    entity: &'static Entity,
    redactor: Redactor,
    decoder: Decoder,
    writer: SegmentWriter,
}

/// The times of one page, for those who stop early.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) times: Vec<DateTime<Utc>>,
    /// Whether the last record has a time: otherwise nothing can be said of what follows.
    pub(super) ends_dated: bool,
}

impl Times {
    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.times.iter().max().copied()
    }

    /// How many are not older.
    pub(super) fn since(&self, time: DateTime<Utc>) -> u64 {
        self.times.iter().filter(|one| **one >= time).count() as u64
    }

    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.times.iter().min().copied()
    }
}

impl<'a> Sink<'a> {
    /// `first`: how many records the entity's segments hold already.
    pub(super) fn open(site: &'a Site<'a>, entity: &'static Entity, first: u64) -> Result<Self> {
        let contract = Contracts::bundled()?.require("bitbucket", entity.table)?;
        let envelope = RecordEnvelope {
            connection_id: site.connection_id,
            workspace: site.workspace.clone(),
            repository: match site.is_workspace() {
                true => String::new(),
                false => site.full_name.clone(),
            },
            uuid: site.uuid.clone(),
        };
        let run_id = site.context.options.run_id;
        let lake = site.context.lake;
        Ok(Self {
            site,
            entity,
            redactor: Redactor::new(site.client.masker().clone())?,
            decoder: Decoder::new(Arc::clone(contract), envelope),
            writer: SegmentWriter::create(
                lake,
                contract,
                site.connection_id,
                &site.uuid,
                run_id,
                first,
            )?,
        })
    }

    /// Takes a page. `parent` is `None` where the records say whose children they are; `each` sees what is kept.
    pub(super) fn take(
        &mut self,
        values: &[Box<RawValue>],
        parent: Option<&Parent>,
        report: &mut EntityReport,
        mut each: impl FnMut(&Value),
    ) -> Result<Times> {
        let mut times = Times::default();
        let mut records = Vec::with_capacity(values.len());
        for raw in values {
            if !raw.get().starts_with('{') {
                return Err(Error::new(
                    ErrorKind::Api,
                    "the list holds something that is no record",
                )
                .with("repository", &self.site.full_name)
                .with("entity", self.entity.table)
                .hint("run again; if it stays, check endpoint and proxy"));
            }
            let received = ReceivedRecord::read(raw.get());
            let value = received.value();
            let time = self.entity.time.and_then(|time| time(value));
            if let Some(order) = self.entity.ordered_by.or(self.entity.time) {
                let time = order(value);
                times.ends_dated = time.is_some();
                times.times.extend(time);
            }
            if time.is_some_and(|time| time < self.site.since) {
                report.older += 1;
                continue;
            }
            if (self.entity.draft)(value) {
                report.drafts += 1;
                continue;
            }
            let own = self
                .entity
                .parent
                .and_then(|parent| parent(value))
                .map(Parent::Id);
            let Some(parent) = parent.cloned().or(own).or_else(|| self.no_parent()) else {
                report.orphans += 1;
                continue;
            };
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
            let key = format!(
                "{prefix}{}",
                key.unwrap_or_else(|| content_key(payload.payload()))
            );
            each(payload.value());
            records.push(SourceRecord {
                key,
                parent,
                payload,
            });
        }
        let kept = records.len() as u64;
        if !records.is_empty() {
            self.writer.write(&self.decoder.decode(records)?)?;
        }
        report.records += kept;
        report.add_misfits(self.decoder.take_misfits());
        report.add_odd_times(self.decoder.take_odd_times());
        (self.site.context.options.listener)(Event::Page {
            repository: &self.site.full_name,
            entity: self.entity.table,
            records: kept,
            client: self.site.client,
        });
        Ok(times)
    }

    /// Ends the segment. One without rows is not kept: an empty list is no proof that everything is gone, because
    /// Bitbucket has answered so by mistake.
    pub(super) async fn finish(self, replaces: Replaces) -> Result<Option<SegmentRef>> {
        match self.writer.rows() {
            0 => Ok(None),
            _ => self.writer.finish(replaces).await.map(Some),
        }
    }

    /// Ends the segment, and keeps it even without rows.
    pub(super) async fn finish_empty(self, replaces: Replaces) -> Result<SegmentRef> {
        self.writer.finish(replaces).await
    }

    fn no_parent(&self) -> Option<Parent> {
        self.entity.parent.is_none().then_some(Parent::None)
    }
}
