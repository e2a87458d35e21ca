//! Takes secrets out of records before they reach the disk: a lake is copied into warehouses, and what a pipeline's author
//! pasted into an image definition or a clone address would be read by everybody there.
//!
//! ```text
//! text ──▶ ReceivedRecord: read leniently, secrets in it ── redact ──▶ RedactedRecord ──▶ decoder, segment
//! ```
//!
//! The source layer takes nothing but [`RedactedRecord`], and only this module makes one.

mod record;
mod rules;

pub use record::Redactor;

use serde_json::{Value, json};

use crate::json::{self as lenient, Lenient};

/// A record as it came, read once for all who look at it: the walk, the filters, the redaction, the decoder.
#[derive(Debug)]
pub struct ReceivedRecord<'a> {
    value: Value,
    text: &'a str,
    state: ReadQuality,
}

/// How well a record could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadQuality {
    /// The value is what the text says.
    Exact,
    /// Something in it could not be read, or a key repeats; the rest is as it came.
    Repaired,
    /// It is no JSON. The value holds its text.
    Unreadable,
}

/// A record without secrets: what may be kept.
///
/// ```compile_fail
/// // Only [`ReceivedRecord::redact`] makes one.
/// let kept = bitlake::redaction::RedactedRecord { payload: String::new(), value: serde_json::Value::Null };
/// ```
#[derive(Debug, Clone)]
pub struct RedactedRecord {
    payload: String,
    value: Value,
}

impl<'a> ReceivedRecord<'a> {
    pub fn read(text: &'a str) -> Self {
        let (value, state) = match lenient::read(text) {
            Some(Lenient { value, exact: true }) => (value, ReadQuality::Exact),
            Some(Lenient { value, .. }) => (value, ReadQuality::Repaired),
            None => (json!({ "unreadable": text }), ReadQuality::Unreadable),
        };
        Self { value, text, state }
    }

    /// The record, its secrets in it: nothing of this may be kept.
    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn reading(&self) -> ReadQuality {
        self.state
    }

    /// The record without secrets, and how many there were. One without any that was read exactly keeps its text, byte for
    /// byte.
    pub fn redact(self, redactor: &Redactor) -> (RedactedRecord, u64) {
        let mut value = self.value;
        let removed = redactor.record(&mut value);
        let payload = match (removed, self.state) {
            (0, ReadQuality::Exact) => self.text.to_owned(),
            _ => value.to_string(),
        };
        (RedactedRecord { payload, value }, removed)
    }
}

impl RedactedRecord {
    /// As JSON.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Gives the value away; the payload stays.
    pub(crate) fn take_value(&mut self) -> Value {
        self.value.take()
    }
}
