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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::secret::Masker;

    const OWN: &str = "own-s3cr3t/token";

    fn redactor() -> Redactor {
        Redactor::new(Masker::of([OWN])).unwrap()
    }

    /// Keys, and texts as they are spelled in JSON: some have a secret, some almost.
    fn word() -> impl Strategy<Value = String> {
        let words = [
            "id",
            "raw",
            "image",
            "name",
            "variables",
            "value",
            "Access-Token",
            "script_commands",
            "token",
            "password = hunter2xyz9",
            "ghp_AbCd0123AbCd0123AbCd0123AbCd0123AbCd",
            "ghp\\u005fAbCd0123AbCd0123AbCd0123AbCd0123AbCd",
            "ghp_\\u0000AbCd0123AbCd0123AbCd0123AbCd0123AbCd",
            "AbCd0123AbCd0123AbCd0123AbCd0123AbCd ghp_",
            "https://me:hunter2@bitbucket.org/acme/web.git",
            "own-s3cr3t/token",
            "own-s3cr3t\\/token",
            "own%2Ds3cr3t/token",
            "own-s3cr3t",
            "a\\nb",
            "",
        ];
        prop::sample::select(words.to_vec()).prop_map(str::to_owned)
    }

    /// JSON texts; a key may repeat.
    fn record() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            word().prop_map(|word| format!("\"{word}\"")),
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("7".to_owned()),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            let entry = (word(), inner.clone());
            let entry = entry.prop_map(|(key, value)| format!("\"{key}\":{value}"));
            let list = |items: Vec<String>| items.join(",");
            prop_oneof![
                prop::collection::vec(inner, 0..3).prop_map(move |it| format!("[{}]", list(it))),
                prop::collection::vec(entry, 0..4).prop_map(move |it| format!("{{{}}}", list(it))),
            ]
        });
        let entries = prop::collection::vec((word(), value), 0..5);
        entries.prop_map(|entries| {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        })
    }

    proptest! {
        #[test]
        fn a_record_is_redacted_as_its_tree_is(text in record()) {
            let mut tree: Value = serde_json::from_str(&text).unwrap();
            let removed = redactor().redact(&mut tree);
            let received = ReceivedRecord::read(&text);
            let is_exact = received.quality() == ReadQuality::Exact;
            let (redacted, count) = received.redact(&redactor());
            prop_assert_eq!(count, removed);
            prop_assert_eq!(redacted.value().to_tree(), tree.clone());
            let payload = match removed == 0 && is_exact {
                true => text,
                false => tree.to_string(),
            };
            prop_assert_eq!(redacted.payload(), payload);
        }
    }

    #[test]
    fn a_record_without_secrets_is_clean() {
        let text = r#"{"id":7,"key":"CHK","message":"a\nb","image":{"name":"node:22"},"variables":[],"token":null,
            "author":{"raw":"A <a@x.example>"},"links":{"self":{"href":"https://api.bitbucket.org/2.0/x"}}}"#;
        let document = JsonDocument::parse(text).unwrap();
        assert!(redactor().is_clean(text, &document));
    }
}
