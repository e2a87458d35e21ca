//! Decode the columns of the source layer that come from the record's JSON: replace values of the wrong type by null, then
//! read the JSON by arrow-json.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use serde_json::Value;

use super::contract::Contract;
use super::times::{OddTimes, is_beyond_calendars, is_storable};
use crate::error::{Error, ErrorKind, Result};
use crate::redaction::RedactedRecord;

/// A decoder of the columns that come from the record's JSON.
#[derive(Debug)]
pub(super) struct PayloadDecoder {
    /// The contract's columns that do not start with `_`.
    schema: SchemaRef,
    /// Counts of values that did not fit their column, by path.
    misfits: BTreeMap<String, u64>,
    /// The misfits that are times no warehouse can store, by path.
    odd_times: BTreeMap<String, OddTimes>,
}

impl PayloadDecoder {
    pub(super) fn new(contract: &Contract) -> Self {
        let schema = contract.arrow_schema();
        let fields = schema.fields().iter();
        let typed: Vec<_> = fields
            .filter(|field| !field.name().starts_with('_'))
            .cloned()
            .collect();
        Self {
            schema: Arc::new(Schema::new(typed)),
            misfits: BTreeMap::new(),
            odd_times: BTreeMap::new(),
        }
    }

    pub(super) fn take_misfits(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.misfits)
    }

    pub(super) fn misfits(&self) -> &BTreeMap<String, u64> {
        &self.misfits
    }

    pub(super) fn take_odd_times(&mut self) -> BTreeMap<String, OddTimes> {
        std::mem::take(&mut self.odd_times)
    }

    /// Decode one row per record and take the records' values. `rows`: the number of records.
    pub(super) fn decode<'a>(
        &mut self,
        records: impl Iterator<Item = &'a mut RedactedRecord>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let failed = |error: datafusion::arrow::error::ArrowError| {
            Error::new(ErrorKind::Internal, "cannot decode records").source(error)
        };
        let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&self.schema))
            .with_batch_size(rows.max(1))
            .build_decoder()
            .map_err(failed)?;
        for record in records {
            let fitted = self.fit(record.take_value());
            let mut text = fitted.as_deref().unwrap_or(record.payload()).as_bytes();
            while !text.is_empty() {
                let read = decoder.decode(text).map_err(failed)?;
                if read == 0 {
                    return Err(Error::new(ErrorKind::Internal, "cannot decode records"));
                }
                text = text.get(read..).unwrap_or_default();
            }
            // The decoder sees the end of a number only by a following character.
            decoder.decode(b"\n").map_err(failed)?;
        }
        let batch = decoder.flush().map_err(failed)?;
        Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.schema))))
    }

    /// Return the record with nulls for values that do not fit; `None` if all values fit.
    fn fit(&mut self, record: Value) -> Option<String> {
        let Value::Object(mut object) = record else {
            *self.misfits.entry("(record)".to_owned()).or_default() += 1;
            return Some("{}".to_owned());
        };
        let mut fit = ValueFitter {
            misfits: &mut self.misfits,
            odd_times: &mut self.odd_times,
            changed: false,
        };
        fit.fit_object(&mut object, self.schema.fields(), "");
        fit.changed.then(|| Value::Object(object).to_string())
    }
}

/// Replaces values of the wrong type by null. It is stricter than arrow-json, which reads the number 7 as a time in 1970.
struct ValueFitter<'a> {
    misfits: &'a mut BTreeMap<String, u64>,
    odd_times: &'a mut BTreeMap<String, OddTimes>,
    changed: bool,
}

impl ValueFitter<'_> {
    fn fit_object(
        &mut self,
        object: &mut serde_json::Map<String, Value>,
        fields: &Fields,
        path: &str,
    ) {
        for field in fields {
            if let Some(value) = object.get_mut(field.name()) {
                self.fit_value(value, field.data_type(), &join_path(path, field.name()));
            }
        }
    }

    fn fit_value(&mut self, value: &mut Value, data_type: &DataType, path: &str) {
        let fits = match (data_type, &mut *value) {
            (_, Value::Null) => true,
            (DataType::Utf8, Value::String(text)) => {
                // JSON allows the character NUL, most warehouses do not. DevLake strips it too.
                if text.contains('\0') {
                    text.retain(|character| character != '\0');
                    self.changed = true;
                }
                true
            }
            // `9.0` is an integer too.
            (DataType::Int64, Value::Number(number)) => {
                number.is_i64()
                    || number
                        .as_f64()
                        .is_some_and(|float| float.abs() < 9e15 && float.fract() == 0.0)
            }
            (DataType::Float64, Value::Number(_)) | (DataType::Boolean, Value::Bool(_)) => true,
            (DataType::Timestamp(..), Value::String(text)) => {
                let time = string_to_datetime(&chrono::Utc, text);
                let time = time.map(|time| time.timestamp_micros()).ok();
                if time.map_or(is_beyond_calendars(text), |time| !is_storable(time)) {
                    let known = self.odd_times.entry(path.to_owned()).or_default();
                    known.add(text);
                }
                time.is_some_and(is_storable)
            }
            (DataType::Struct(fields), Value::Object(object)) => {
                self.fit_object(object, fields, path);
                true
            }
            (DataType::List(item), Value::Array(values)) => {
                for value in values {
                    self.fit_value(value, item.data_type(), path);
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

fn join_path(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
