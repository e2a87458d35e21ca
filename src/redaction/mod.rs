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

use serde_json::json;

use crate::json::{self as lenient, JsonDocument, JsonValue, Lenient};

/// A record as received. It is parsed once, for the list reader, the filters, the redaction and the decoder.
#[derive(Debug)]
pub struct ReceivedRecord<'a> {
    document: JsonDocument,
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
/// let record = bitlake::redaction::RedactedRecord { payload: String::new(), document: Default::default() };
/// ```
#[derive(Debug, Clone)]
pub struct RedactedRecord {
    payload: String,
    document: JsonDocument,
}

impl<'a> ReceivedRecord<'a> {
    /// Parse a record.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let (document, quality) = match lenient::read(text) {
            Some(Lenient { document, is_exact }) if is_exact => (document, ReadQuality::Exact),
            Some(Lenient { document, .. }) => (document, ReadQuality::Repaired),
            None => {
                let unreadable = JsonDocument::from(&json!({ "unreadable": text }));
                (unreadable, ReadQuality::Unreadable)
            }
        };
        Self {
            document,
            text,
            quality,
        }
    }

    /// Return the record with its secrets, which must not be written to disk.
    #[must_use]
    pub(crate) fn value(&self) -> JsonValue<'_> {
        self.document.root()
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
        let is_exact = self.quality == ReadQuality::Exact;
        if is_exact && redactor.is_clean(self.text, &self.document) {
            return (RedactedRecord::new(self.text.to_owned(), self.document), 0);
        }
        let mut tree = self.document.root().to_tree();
        match redactor.redact(&mut tree) {
            0 if is_exact => (RedactedRecord::new(self.text.to_owned(), self.document), 0),
            removed => {
                let document = JsonDocument::from(&tree);
                (RedactedRecord::new(tree.to_string(), document), removed)
            }
        }
    }
}

impl RedactedRecord {
    fn new(payload: String, document: JsonDocument) -> Self {
        Self { payload, document }
    }

    /// Return the record as JSON text.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Return the record as JSON text.
    #[must_use]
    pub(crate) fn into_payload(self) -> String {
        self.payload
    }

    /// Return the parsed record.
    #[must_use]
    pub(crate) fn value(&self) -> JsonValue<'_> {
        self.document.root()
    }
}
