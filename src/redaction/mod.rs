//! Remove secrets from records before they are written to disk. A lake is loaded into warehouses, where every user would see
//! a password that somebody wrote into an image definition or a clone address.
//!
//! ```text
//! text ──▶ ReceivedRecord: parsed leniently, with secrets ── redact ──▶ RedactedRecord ──▶ decoder, segment
//! ```
//!
//! The source layer accepts only [`RedactedRecord`], and only this module makes one.

mod record;
mod rules;

pub use record::Redactor;

use serde_json::{Value, json};

use crate::json::{self as lenient, Lenient};

/// A record as received. It is parsed once, for the list reader, the filters, the redaction and the decoder.
#[derive(Debug)]
pub struct ReceivedRecord<'a> {
    value: Value,
    text: &'a str,
    quality: ReadQuality,
}

/// How well a record could be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadQuality {
    /// The value equals the text.
    Exact,
    /// A part could not be parsed, or a key repeats; all other parts equal the text.
    Repaired,
    /// The text is not JSON. The value is an object with the text in it.
    Unreadable,
}

/// A record without secrets, which may be written to disk.
///
/// ```compile_fail
/// // Only `ReceivedRecord::redact` makes one.
/// let record = bitlake::redaction::RedactedRecord { payload: String::new(), value: serde_json::Value::Null };
/// ```
#[derive(Debug, Clone)]
pub struct RedactedRecord {
    payload: String,
    value: Value,
}

impl<'a> ReceivedRecord<'a> {
    /// Parse a record.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let (value, quality) = match lenient::read(text) {
            Some(Lenient { value, exact: true }) => (value, ReadQuality::Exact),
            Some(Lenient { value, .. }) => (value, ReadQuality::Repaired),
            None => (json!({ "unreadable": text }), ReadQuality::Unreadable),
        };
        Self {
            value,
            text,
            quality,
        }
    }

    /// Return the record with its secrets, which must not be written to disk.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Return how well the record could be parsed.
    #[must_use]
    pub fn quality(&self) -> ReadQuality {
        self.quality
    }

    /// Return the record without secrets, and the number of secrets removed. The text of a record that has no secret and was
    /// parsed exactly is unchanged.
    #[must_use]
    pub fn redact(self, redactor: &Redactor) -> (RedactedRecord, u64) {
        let mut value = self.value;
        let removed = redactor.redact(&mut value);
        let payload = match (removed, self.quality) {
            (0, ReadQuality::Exact) => self.text.to_owned(),
            _ => value.to_string(),
        };
        (RedactedRecord { payload, value }, removed)
    }
}

impl RedactedRecord {
    /// Return the record as JSON text.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Return the record as a JSON value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Take the value and leave null; the text is unchanged.
    pub(crate) fn take_value(&mut self) -> Value {
        self.value.take()
    }
}
