//! JSON as Bitbucket sends it → Arrow batches of the source layer, without ever losing a record.
//!
//! Bitbucket's replies surprise: a `component` that was text becomes an object, a time is empty, a number arrives as
//! text. Such a value costs itself only: the column becomes null, the misfit is counted by its path, and `_payload`
//! keeps what was sent, so that a better schema can decode it again.
//!
//! ```text
//! Record { key, parent, payload } ──▶ fit (value by value against the schema) ──▶ arrow-json ──▶ typed columns ─┐
//! Envelope { connection, repository … } ──────────────────────────────────────────▶ envelope columns ───────────┴▶ batch
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Contract;
use crate::error::{Error, ErrorKind, OrError, Result};

/// One record of a reply, with what the URL knows and the record may not.
#[derive(Debug, Clone)]
pub struct Record {
    /// The natural key as text, or [`content_key`] for a record without one.
    pub key: String,
    pub parent: Parent,
    /// The JSON object as received, secrets removed.
    pub payload: String,
}

/// The record that a child was asked for under: `…/pullrequests/31/comments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    None,
    /// A pull request or an issue.
    Id(i64),
    /// A pipeline, with braces.
    Uuid(String),
}

/// Where records come from: the same for a whole walk.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub connection_id: i64,
    /// The workspace's slug.
    pub workspace: String,
    /// `workspace/slug`; empty for what belongs to a workspace.
    pub repository: String,
    /// With braces: the repository's, or the workspace's for what belongs to a workspace.
    pub uuid: String,
}

/// A key for a record that has none: its content.
pub fn content_key(payload: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(payload.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns records of one entity into batches of its contract, and counts what did not fit.
#[derive(Debug)]
pub struct Decoder {
    contract: Arc<Contract>,
    envelope: Envelope,
    /// The contract's columns that come from the JSON itself.
    typed: SchemaRef,
    misfits: BTreeMap<String, u64>,
}

impl Decoder {
    pub fn new(contract: Arc<Contract>, envelope: Envelope) -> Self {
        let typed: Vec<_> = contract
            .arrow_schema()
            .fields()
            .iter()
            .filter(|field| !field.name().starts_with('_'))
            .cloned()
            .collect();
        Self {
            contract,
            envelope,
            typed: Arc::new(Schema::new(typed)),
            misfits: BTreeMap::new(),
        }
    }

    /// Values that did not fit their column so far, by path (`component`, `state.stage.name`).
    pub fn misfits(&self) -> &BTreeMap<String, u64> {
        &self.misfits
    }

    /// The same, and counts anew.
    pub fn take_misfits(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.misfits)
    }

    /// One batch for `records`, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if Arrow refuses what was made to fit.
    pub fn decode(&mut self, records: &[Record]) -> Result<RecordBatch> {
        let typed = self.decode_typed(records)?;
        let columns = self
            .contract
            .columns
            .iter()
            .map(|column| match typed.column_by_name(&column.name) {
                Some(array) => Ok(Arc::clone(array)),
                None => self.envelope_column(&column.name, records),
            })
            .collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(self.contract.arrow_schema(), columns)
            .or_error(
                ErrorKind::Internal,
                "decoded records do not match their contract",
            )
            .map_err(|error| error.with("table", self.contract.name()))
    }

    fn decode_typed(&mut self, records: &[Record]) -> Result<RecordBatch> {
        let failed = |error: datafusion::arrow::error::ArrowError| {
            Error::new(ErrorKind::Internal, "cannot decode records").source(error)
        };
        let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&self.typed))
            .with_batch_size(records.len().max(1))
            .build_decoder()
            .map_err(failed)?;
        for record in records {
            let fitted = self.fitted(&record.payload);
            let mut text = fitted.as_deref().unwrap_or(&record.payload).as_bytes();
            while !text.is_empty() {
                let read = decoder.decode(text).map_err(failed)?;
                if read == 0 {
                    return Err(Error::new(ErrorKind::Internal, "cannot decode records"));
                }
                text = &text[read..];
            }
            // A record's end is seen only by what follows it.
            decoder.decode(b"\n").map_err(failed)?;
        }
        let batch = decoder.flush().map_err(failed)?;
        Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.typed))))
    }

    /// The payload made to fit the schema, or `None` where it fits as it is.
    fn fitted(&mut self, payload: &str) -> Option<String> {
        let Ok(Value::Object(mut object)) = serde_json::from_str::<Value>(payload) else {
            *self.misfits.entry("(record)".to_owned()).or_default() += 1;
            return Some("{}".to_owned());
        };
        let mut fit = Fit {
            misfits: &mut self.misfits,
            changed: false,
        };
        fit.object(&mut object, self.typed.fields(), "");
        fit.changed.then(|| Value::Object(object).to_string())
    }

    fn envelope_column(&self, name: &str, records: &[Record]) -> Result<ArrayRef> {
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(records.iter().map(|_| text)))
        };
        Ok(match name {
            "_connection_id" => Arc::new(Int64Array::from(vec![
                self.envelope.connection_id;
                records.len()
            ])),
            "_workspace" => same(&self.envelope.workspace),
            "_repository" => same(&self.envelope.repository),
            "_repository_uuid" | "_workspace_uuid" => same(&self.envelope.uuid),
            "_key" => Arc::new(StringArray::from_iter_values(
                records.iter().map(|record| &record.key),
            )),
            "_payload" => Arc::new(StringArray::from_iter_values(
                records.iter().map(|record| &record.payload),
            )),
            "_pull_request_id" | "_issue_id" => {
                let ids = records.iter().map(|record| match record.parent {
                    Parent::Id(id) => Some(id),
                    _ => None,
                });
                Arc::new(ids.collect::<Int64Array>())
            }
            "_pipeline_uuid" => {
                let uuids = records.iter().map(|record| match &record.parent {
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

/// Nulls what does not fit, stricter than arrow-json, which would read the number 7 as a time in 1970.
struct Fit<'a> {
    misfits: &'a mut BTreeMap<String, u64>,
    changed: bool,
}

impl Fit<'_> {
    fn object(&mut self, object: &mut serde_json::Map<String, Value>, fields: &Fields, path: &str) {
        for field in fields {
            if let Some(value) = object.get_mut(field.name()) {
                self.value(value, field.data_type(), &join(path, field.name()));
            }
        }
    }

    fn value(&mut self, value: &mut Value, data_type: &DataType, path: &str) {
        let fits = match (data_type, &mut *value) {
            (_, Value::Null) => true,
            (DataType::Utf8, Value::String(text)) => {
                // NUL is legal in JSON and fatal in most warehouses; DevLake strips it too.
                if text.contains('\0') {
                    text.retain(|character| character != '\0');
                    self.changed = true;
                }
                true
            }
            // `9.0` is a whole number too.
            (DataType::Int64, Value::Number(number)) => {
                number.is_i64()
                    || number
                        .as_f64()
                        .is_some_and(|float| float.abs() < 9e15 && float.fract() == 0.0)
            }
            (DataType::Float64, Value::Number(_)) | (DataType::Boolean, Value::Bool(_)) => true,
            (DataType::Timestamp(..), Value::String(text)) => {
                string_to_datetime(&chrono::Utc, text).is_ok()
            }
            (DataType::Struct(fields), Value::Object(object)) => {
                self.object(object, fields, path);
                true
            }
            (DataType::List(item), Value::Array(values)) => {
                for value in values {
                    self.value(value, item.data_type(), path);
                }
                true
            }
            _ => false,
        };
        if !fits {
            *value = Value::Null;
            self.changed = true;
            *self.misfits.entry(path.to_owned()).or_default() += 1;
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::schema::Contracts;

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
        let envelope = Envelope {
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

    fn record(payload: &str) -> Record {
        Record {
            key: "k".into(),
            parent: Parent::Id(31),
            payload: payload.into(),
        }
    }

    #[test]
    fn times_come_with_nanoseconds_without_a_fraction_and_with_offsets() {
        let mut decoder = decoder();
        let batch = decoder
            .decode(&[
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
    fn a_value_of_an_unexpected_type_costs_that_value_only() {
        let mut decoder = decoder();
        let odd = r#"{"id": "seven", "title": {"raw": "x"}, "on": 7, "state": "OPEN", "list": [{"n": 1}, {"n": 1.5}, 3]}"#;
        let batch = decoder
            .decode(&[record(odd), record(r#"{"id": 8, "title": "t"}"#)])
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
    fn a_record_that_is_no_object_or_holds_an_impossible_number_is_kept() {
        let mut decoder = decoder();
        let batch = decoder
            .decode(&[record("[1]"), record(r#"{"id": 1e999}"#)])
            .unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(decoder.misfits()["(record)"], 2);
    }

    #[test]
    fn nul_characters_are_stripped_from_columns() {
        let batch = decoder()
            .decode(&[record(r#"{"title": "a\u0000b"}"#)])
            .unwrap();
        let title = batch.column_by_name("title").unwrap().as_string::<i32>();
        assert_eq!(title.value(0), "ab");
    }

    #[test]
    fn the_envelope_fills_its_columns() {
        let batch = decoder().decode(&[record("{}")]).unwrap();
        let parent = batch.column_by_name("_pull_request_id").unwrap();
        assert_eq!(parent.as_primitive::<Int64Type>().value(0), 31);
        let repository = batch.column_by_name("_repository").unwrap();
        assert_eq!(repository.as_string::<i32>().value(0), "acme/web");
    }

    #[test]
    fn no_records_make_an_empty_batch() {
        assert_eq!(decoder().decode(&[]).unwrap().num_rows(), 0);
    }
}
