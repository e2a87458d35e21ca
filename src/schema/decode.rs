//! Decode JSON records of Bitbucket into Arrow batches of the source layer, without losing a record.
//!
//! A value may have another type than documented: a `component` that was a text is an object, a time is empty, a number
//! is a text. Such a value becomes null and is counted as a misfit by its path; `_payload` has the record as received, so
//! that a later schema can decode it again.
//!
//! ```text
//! SourceRecord { key, parent, payload } ──▶ typed.rs: null what does not fit ──▶ typed columns ─┐
//! RecordEnvelope { connection, repository … } ─────────────────────────────▶ envelope columns ──────────────┴▶ batch
//! ```

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, StringBuilder,
};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::util::display::array_value_to_string;

use super::contract::{CONTENT, Contract};
use super::times::OddTimes;
use super::typed::PayloadDecoder;
use crate::digest::sha256_hex;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::redaction::{ReceivedRecord, RedactedRecord, Redactor};

/// A record, with the key and the parent that the collector knows from the request.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    /// The natural key as text, or [`content_key`] for a record without one.
    pub key: String,
    /// The record that this one belongs to.
    pub parent: Parent,
    /// The JSON as received, without secrets.
    pub payload: RedactedRecord,
}

/// The record whose child was listed: pull request 31 of `…/pullrequests/31/comments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// The record is not a child.
    None,
    /// The number of a pull request or an issue.
    Id(i64),
    /// The uuid of a pipeline, with braces.
    Uuid(String),
}

/// The origin of records, the same for a whole list.
#[derive(Debug, Clone)]
pub struct RecordEnvelope {
    /// The number of the connection.
    pub connection_id: i64,
    /// The slug of the workspace.
    pub workspace: String,
    /// `workspace/slug`; empty for records of a workspace.
    pub repository: String,
    /// The uuid of the repository, or of the workspace for its records; with braces.
    pub uuid: String,
}

/// Return the key of a record without a natural key: the digest of its JSON.
#[must_use]
pub fn content_key(payload: &str) -> String {
    format!("sha256:{}", sha256_hex(payload))
}

/// Decodes records of a source table into batches, and counts the values that do not fit.
#[derive(Debug)]
pub struct Decoder {
    contract: Arc<Contract>,
    envelope: RecordEnvelope,
    typed: PayloadDecoder,
    keys: StringBuilder,
    parents: Vec<Parent>,
    payloads: StringBuilder,
}

impl Decoder {
    /// Create a decoder of records of one origin.
    #[must_use]
    pub fn new(contract: Arc<Contract>, envelope: RecordEnvelope) -> Self {
        Self {
            typed: PayloadDecoder::new(&contract),
            contract,
            envelope,
            keys: StringBuilder::new(),
            parents: Vec::new(),
            payloads: StringBuilder::new(),
        }
    }

    /// Return the counts of values that did not fit their column, by path (`component`, `state.stage.name`).
    #[must_use]
    pub fn misfits(&self) -> &BTreeMap<String, u64> {
        self.typed.misfits()
    }

    /// Return the counts of [`Decoder::misfits`], and reset them.
    pub fn take_misfits(&mut self) -> BTreeMap<String, u64> {
        self.typed.take_misfits()
    }

    /// Return the misfits that are times no warehouse can store, by path, and reset them.
    pub fn take_odd_times(&mut self) -> BTreeMap<String, OddTimes> {
        self.typed.take_odd_times()
    }

    /// Decode `records` into one batch, in their order.
    ///
    /// # Errors
    /// As [`Decoder::finish`].
    pub fn decode(
        &mut self,
        records: impl IntoIterator<Item = SourceRecord>,
    ) -> Result<RecordBatch> {
        records.into_iter().for_each(|record| self.append(record));
        self.finish()
    }

    /// Decode a record, as the next of the batch under way.
    pub fn append(&mut self, record: SourceRecord) {
        self.typed.append(&record.payload);
        self.keys.append_value(&record.key);
        self.payloads.append_value(record.payload.payload());
        self.parents.push(record.parent);
    }

    /// The number of records of the batch under way.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.parents.len()
    }

    /// The size of the payloads of the batch under way, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payloads.values_slice().len()
    }

    /// Return the batch under way, and begin another one.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a column does not match the contract.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let typed = self.typed.finish()?;
        let parents = std::mem::take(&mut self.parents);
        let keys: ArrayRef = Arc::new(self.keys.finish());
        let payloads: ArrayRef = Arc::new(self.payloads.finish());
        let columns = self
            .contract
            .columns
            .iter()
            .map(|column| match typed.column_by_name(&column.name) {
                Some(array) => Ok(Arc::clone(array)),
                None if column.name == "_key" => Ok(Arc::clone(&keys)),
                None if column.name == "_payload" => Ok(Arc::clone(&payloads)),
                None => self.envelope_column(&column.name, &parents),
            })
            .collect::<Result<Vec<_>>>()?;
        record_batch(&self.contract, columns)
    }

    fn envelope_column(&self, name: &str, parents: &[Parent]) -> Result<ArrayRef> {
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(parents.iter().map(|_| text)))
        };
        Ok(match name {
            "_connection_id" => Arc::new(Int64Array::from(vec![
                self.envelope.connection_id;
                parents.len()
            ])),
            "_workspace" => same(&self.envelope.workspace),
            "_repository" => same(&self.envelope.repository),
            "_repository_uuid" | "_workspace_uuid" => same(&self.envelope.uuid),
            "_pull_request_id" | "_issue_id" => {
                let ids = parents.iter().map(|parent| match parent {
                    Parent::Id(id) => Some(*id),
                    _ => None,
                });
                Arc::new(ids.collect::<Int64Array>())
            }
            "_pipeline_uuid" => {
                let uuids = parents.iter().map(|parent| match parent {
                    Parent::Uuid(uuid) => Some(uuid.as_str()),
                    _ => None,
                });
                Arc::new(uuids.collect::<StringArray>())
            }
            _ => {
                return Err(Error::new(ErrorKind::Internal, "unknown envelope column")
                    .with("table", self.contract.name())
                    .with("column", name));
            }
        })
    }
}

/// Decodes batches of the source layer again from their payloads, under a later schema and later rules for secrets.
#[derive(Debug)]
pub struct Redecoder {
    contract: Arc<Contract>,
    typed: PayloadDecoder,
    redactor: Redactor,
    redactions: u64,
    /// The primary keys of records from whose key a secret was removed. Without the secret two records may have one key.
    redacted_keys: HashSet<String>,
}

impl Redecoder {
    /// Create a decoder that removes secrets by `redactor`.
    #[must_use]
    pub fn new(contract: Arc<Contract>, redactor: Redactor) -> Self {
        Self {
            typed: PayloadDecoder::new(&contract),
            contract,
            redactor,
            redactions: 0,
            redacted_keys: HashSet::new(),
        }
    }

    /// The number of secrets removed so far.
    #[must_use]
    pub fn redactions(&self) -> u64 {
        self.redactions
    }

    /// As [`Decoder::misfits`].
    #[must_use]
    pub fn misfits(&self) -> &BTreeMap<String, u64> {
        self.typed.misfits()
    }

    /// As [`Decoder::take_odd_times`].
    pub fn take_odd_times(&mut self) -> BTreeMap<String, OddTimes> {
        self.typed.take_odd_times()
    }

    /// Decode the payloads of `batch` and remove secrets from payloads and keys. The other columns that start with `_` are
    /// copied; all others are made anew.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when such a column is missing.
    pub fn decode(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let contract = Arc::clone(&self.contract);
        let failed = |column: &str| {
            Error::new(ErrorKind::Internal, "unknown envelope column")
                .with("table", contract.name())
                .with("column", column)
        };
        let texts = |name: &str| {
            let column = batch.column_by_name(name);
            let column = column.and_then(|column| column.as_string_opt::<i32>());
            let texts = column.map(|it| it.iter().map(Option::unwrap_or_default));
            texts.ok_or_else(|| failed(name))
        };
        let mut records = Vec::with_capacity(batch.num_rows());
        for payload in texts("_payload")? {
            let (record, removed) = ReceivedRecord::read(payload).redact(&self.redactor);
            self.redactions += removed;
            self.typed.append(&record);
            records.push(record.into_payload());
        }
        let typed = self.typed.finish()?;
        let (keys, kept) = self.redact_keys(batch, texts("_key")?)?;
        let columns = self
            .contract
            .columns
            .iter()
            .map(|column| {
                let payloads = || records.iter().map(String::as_str);
                Ok(match column.name.as_str() {
                    "_key" => Arc::new(StringArray::from_iter_values(&keys)),
                    "_payload" => Arc::new(StringArray::from_iter_values(payloads())),
                    CONTENT => Arc::new(StringArray::from_iter_values(payloads().map(content_key))),
                    name => typed
                        .column_by_name(name)
                        .or_else(|| batch.column_by_name(name))
                        .cloned()
                        .ok_or_else(|| failed(name))?,
                })
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        filter_record_batch(&record_batch(&self.contract, columns)?, &kept).or_error(
            ErrorKind::Internal,
            "decoded records do not match their contract",
        )
    }

    /// Return the keys without secrets, and whether each row is kept: of rows with the same redacted key the first is.
    fn redact_keys<'k>(
        &mut self,
        batch: &RecordBatch,
        keys: impl Iterator<Item = &'k str>,
    ) -> Result<(Vec<String>, BooleanArray)> {
        let (mut clean, mut kept) = (Vec::new(), Vec::new());
        for (row, key) in keys.enumerate() {
            let (text, removed) = self.redactor.clean(key);
            kept.push(
                removed == 0
                    || self
                        .redacted_keys
                        .insert(self.primary_key(batch, row, &text)?),
            );
            clean.push(text);
        }
        Ok((clean, BooleanArray::from(kept)))
    }

    /// Return a row's primary key as text, with `key` in the place of its `_key`.
    fn primary_key(&self, batch: &RecordBatch, row: usize, key: &str) -> Result<String> {
        let mut primary_key = key.to_owned();
        for name in self.contract.primary_key.iter().filter(|it| *it != "_key") {
            let value = batch
                .column_by_name(name)
                .map_or(Ok(String::new()), |it| array_value_to_string(it, row));
            primary_key.push('\n');
            primary_key.push_str(&value.or_error(ErrorKind::Internal, "cannot read a key")?);
        }
        Ok(primary_key)
    }
}

fn record_batch(contract: &Contract, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(contract.arrow_schema(), columns)
        .or_error(
            ErrorKind::Internal,
            "decoded records do not match their contract",
        )
        .map_err(|error| error.with("table", contract.name()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::schema::Contracts;
    use crate::secret::Masker;

    fn decoder() -> Decoder {
        let text = r#"{"description": "d", "version": 1, "primary_key": ["_key"], "columns": [
            {"name": "_connection_id", "type": "bigint", "nullable": false},
            {"name": "_repository", "type": "string", "nullable": false},
            {"name": "_pull_request_id", "type": "bigint", "nullable": false},
            {"name": "_key", "type": "string", "nullable": false},
            {"name": "id", "type": "bigint"},
            {"name": "title", "type": "string"},
            {"name": "on", "type": "timestamp"},
            {"name": "state", "type": {"struct": [{"name": "name", "type": "string"}]}},
            {"name": "list", "type": {"list": {"struct": [{"name": "n", "type": "bigint"}]}}},
            {"name": "_payload", "type": "string", "nullable": false}]}"#;
        let contracts = Contracts::parse("{}", [("bitbucket", "t", text)]).unwrap();
        let envelope = RecordEnvelope {
            connection_id: 1,
            workspace: "acme".into(),
            repository: "acme/web".into(),
            uuid: "{web}".into(),
        };
        Decoder::new(
            Arc::clone(contracts.require("bitbucket", "t").unwrap()),
            envelope,
        )
    }

    fn record(payload: &str) -> SourceRecord {
        SourceRecord {
            key: "k".into(),
            parent: Parent::Id(31),
            payload: ReceivedRecord::read(payload)
                .redact(&Redactor::new(Masker::default()).unwrap())
                .0,
        }
    }

    #[test]
    fn times_with_nanoseconds_without_a_fraction_and_with_offsets_are_read() {
        let mut decoder = decoder();
        let batch = decoder
            .decode([
                record(r#"{"on": "2026-05-27T10:28:08.183580452Z"}"#),
                record(r#"{"on": "2026-05-27T10:28:08+00:00"}"#),
                record(r#"{"on": "2026-05-27T12:28:08.2+02:00"}"#),
            ])
            .unwrap();
        let on = batch.column_by_name("on").unwrap();
        let on = on.as_primitive::<TimestampMicrosecondType>();
        assert_eq!(
            on.values(),
            &[1779877688183580, 1779877688000000, 1779877688200000]
        );
        assert!(decoder.misfits().is_empty());
    }

    #[test]
    fn a_time_that_no_warehouse_can_store_becomes_null_and_is_reported() {
        let mut decoder = decoder();
        let times = [
            "2300-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:00",
            "0000-00-00 00:00:00",
            "9999-12-31T23:59:59Z",
            "2262-04-11T00:00:00Z",
        ];
        let records = times.map(|time| record(&format!(r#"{{"id": 8, "on": "{time}"}}"#)));
        let batch = decoder.decode(records).unwrap();
        let on = batch.column_by_name("on").unwrap();
        let on = on.as_primitive::<TimestampMicrosecondType>();
        assert_eq!(on.null_count(), 4);
        assert!(on.is_valid(4), "the last day is a day");
        let id = batch.column_by_name("id").unwrap();
        assert_eq!(id.null_count(), 0);
        assert_eq!(decoder.misfits()["on"], 4);
        let odd = decoder.take_odd_times().remove("on").unwrap();
        assert_eq!(odd.rows, 4);
        let named: Vec<_> = odd.values.iter().map(String::as_str).collect();
        assert_eq!(
            named,
            [
                "0000-00-00 00:00:00",
                "0001-01-01T00:00:00+00:00",
                "2300-01-01T00:00:00Z"
            ]
        );
    }

    #[test]
    fn a_value_of_an_unexpected_type_becomes_null() {
        let mut decoder = decoder();
        let odd = r#"{"id": "seven", "title": {"raw": "x"}, "on": 7, "state": "OPEN", "list": [{"n": 1}, {"n": 1.5}, 3]}"#;
        let batch = decoder
            .decode([record(odd), record(r#"{"id": 8, "title": "t"}"#)])
            .unwrap();
        assert_eq!(batch.num_rows(), 2);
        let id = batch
            .column_by_name("id")
            .unwrap()
            .as_primitive::<Int64Type>();
        assert!(id.is_null(0));
        assert_eq!(id.value(1), 8);
        let payload = batch.column_by_name("_payload").unwrap().as_string::<i32>();
        assert_eq!(payload.value(0), odd, "the payload is kept as received");
        let counted: Vec<_> = decoder
            .misfits()
            .iter()
            .map(|(path, n)| (path.as_str(), *n))
            .collect();
        assert_eq!(
            counted,
            [
                ("id", 1),
                ("list", 1),
                ("list.n", 1),
                ("on", 1),
                ("state", 1),
                ("title", 1)
            ]
        );
    }

    #[test]
    fn a_record_that_is_not_an_object_is_kept() {
        let mut decoder = decoder();
        let batch = decoder.decode([record("[1]")]).unwrap();
        assert_eq!(batch.num_rows(), 1);
        assert_eq!(decoder.misfits()["(record)"], 1);
    }

    #[test]
    fn an_unreadable_part_of_a_record_does_not_affect_other_columns() {
        let mut decoder = decoder();
        let nested = "[".repeat(500) + &"]".repeat(500);
        let odd = format!(r#"{{"id": 7, "title": "a\ud83d", "on": 1e999, "list": {nested}}}"#);
        let batch = decoder.decode([record(&odd)]).unwrap();
        let title = batch.column_by_name("title").unwrap().as_string::<i32>();
        assert_eq!(title.value(0), "a\u{fffd}");
        let id = batch.column_by_name("id").unwrap();
        assert_eq!(id.as_primitive::<Int64Type>().value(0), 7);
    }

    #[test]
    fn nul_characters_are_stripped_from_columns() {
        let batch = decoder()
            .decode([record(r#"{"title": "a\u0000b"}"#)])
            .unwrap();
        let title = batch.column_by_name("title").unwrap().as_string::<i32>();
        assert_eq!(title.value(0), "ab");
    }

    #[test]
    fn columns_of_the_envelope_are_filled() {
        let batch = decoder().decode([record("{}")]).unwrap();
        let parent = batch.column_by_name("_pull_request_id").unwrap();
        assert_eq!(parent.as_primitive::<Int64Type>().value(0), 31);
        let repository = batch.column_by_name("_repository").unwrap();
        assert_eq!(repository.as_string::<i32>().value(0), "acme/web");
    }

    /// The old batch was written by a version with fewer rules for secrets.
    #[test]
    fn redecoding_redacts_payloads_and_keys_by_the_current_rules() {
        let mut decoder = decoder();
        let rows = [r#"{"id": 1}"#, r#"{"id": 2}"#, r#"{"id": 3}"#].map(record);
        let batch = decoder.decode(rows).unwrap();
        let token = |letter: &str| format!("ghp_{}", letter.repeat(36));
        let payloads = [
            format!(r#"{{"id": 1, "title": "half \ud83d {}"}}"#, token("A")),
            r#"{"id": 2, "title": "t"}"#.to_owned(),
            r#"{"id": 3, "password": "x", "password": null}"#.to_owned(),
        ];
        let keys = [token("A"), token("B"), "k".to_owned()];
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| match field.name().as_str() {
            "_payload" => Arc::new(StringArray::from_iter_values(&payloads)) as ArrayRef,
            "_key" => Arc::new(StringArray::from_iter_values(&keys)),
            _ => Arc::clone(column),
        });
        let old = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();

        let redactor = Redactor::new(Masker::default()).unwrap();
        let mut redecoder = Redecoder::new(Arc::clone(&decoder.contract), redactor);
        let new = redecoder.decode(&old).unwrap();
        let texts = |name: &str| {
            let column = new.column_by_name(name).unwrap().as_string::<i32>();
            let texts = column.iter().map(|text| text.unwrap_or("NULL").to_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            texts("_key"),
            ["[removed]", "k"],
            "of two records with one redacted key the first is kept"
        );
        assert_eq!(
            texts("_payload"),
            [
                "{\"id\":1,\"title\":\"half \u{fffd} [removed]\"}",
                "{\"id\":3,\"password\":null}"
            ]
        );
        assert_eq!(texts("title"), ["half \u{fffd} [removed]", "NULL"]);
        assert_eq!(redecoder.redactions(), 1);
        let again = redecoder.decode(&new).unwrap();
        assert_eq!(again, new);
    }

    #[test]
    fn no_records_give_an_empty_batch() {
        assert_eq!(decoder().decode([]).unwrap().num_rows(), 0);
    }
}
