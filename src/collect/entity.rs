//! What the list readers must know about a table: its key, its time, its parent.

use chrono::{DateTime, Utc};

use crate::json::JsonValue;
use crate::schema::{Parent, SourceTable};

/// Returns a time of a record.
type Time = fn(JsonValue<'_>) -> Option<DateTime<Utc>>;

/// A source table as its collector sees it.
pub(super) struct Entity {
    pub(super) table: SourceTable,
    /// The natural key; a record without one is keyed by its content.
    pub(super) key: fn(JsonValue<'_>) -> Option<String>,
    /// Whether the key is unique within its parent only.
    pub(super) keyed_by_parent: bool,
    /// The time that `since` cuts by; a record without it is kept.
    pub(super) time: Option<Time>,
    /// The time that the list is ordered by, where it differs from `time`.
    pub(super) ordered_by: Option<Time>,
    /// Whether a record that a complete read does not return is deleted.
    pub(super) deletes_missing: bool,
    /// The parent that a record names, where a list mixes the records of several parents.
    pub(super) parent: Option<fn(JsonValue<'_>) -> Option<i64>>,
    /// Whether a record is an unpublished draft of the token's owner.
    pub(super) is_draft: fn(JsonValue<'_>) -> bool,
    /// Records of another table that the records of this one embed.
    pub(super) embeds: Option<&'static EmbeddedTable>,
}

/// Records of another table inside those of a list, which need no request of their own.
pub(super) struct EmbeddedTable {
    pub(super) entity: &'static Entity,
    /// Return the embedded record with its parent, or `None` where it is not whole.
    pub(super) extract: for<'d> fn(JsonValue<'d>) -> Option<(i64, JsonValue<'d>)>,
}

impl Entity {
    pub(super) const fn new(table: SourceTable, key: fn(JsonValue<'_>) -> Option<String>) -> Self {
        Self {
            table,
            key,
            keyed_by_parent: false,
            time: None,
            ordered_by: None,
            deletes_missing: false,
            parent: None,
            is_draft: |_| false,
            embeds: None,
        }
    }
}

/// Return the text at a JSON pointer; a number as it is written.
pub(super) fn text(record: JsonValue<'_>, pointer: &str) -> Option<String> {
    let value = record.pointer(pointer)?;
    match value.as_str() {
        Some("") => None,
        Some(text) => Some(text.to_owned()),
        None => Some(value.as_number()?.to_string()),
    }
}

/// Return the time at a JSON pointer: with any number of fraction digits, and `Z` or an offset.
pub(super) fn time(record: JsonValue<'_>, pointer: &str) -> Option<DateTime<Utc>> {
    let text = record.pointer(pointer)?.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

pub(super) fn id(record: JsonValue<'_>) -> Option<String> {
    text(record, "/id")
}

pub(super) fn uuid(record: JsonValue<'_>) -> Option<String> {
    text(record, "/uuid")
}

pub(super) fn updated_on(record: JsonValue<'_>) -> Option<DateTime<Utc>> {
    time(record, "/updated_on").or_else(|| time(record, "/created_on"))
}

/// Whether a review comment is not published by its author.
pub(super) fn is_pending(comment: JsonValue<'_>) -> bool {
    comment.get("pending").and_then(JsonValue::as_bool) == Some(true)
}

pub(super) fn prefix(parent: &Parent) -> String {
    match parent {
        Parent::None => String::new(),
        Parent::Id(id) => format!("{id}:"),
        Parent::Uuid(uuid) => format!("{uuid}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonDocument;
    use serde_json::json;

    #[test]
    fn times_are_read_with_any_fraction_and_offset() {
        let record = json!({"a": "2026-05-27T10:28:08.183580452Z", "b": "2026-05-27T12:28:08+02:00", "c": ""});
        let record = JsonDocument::from(&record);
        let record = record.root();
        assert_eq!(
            time(record, "/a").unwrap().timestamp_subsec_nanos(),
            183_580_452
        );
        assert_eq!(
            time(record, "/b").unwrap().to_rfc3339(),
            "2026-05-27T10:28:08+00:00"
        );
        assert_eq!(time(record, "/c"), None);
    }

    #[test]
    fn an_empty_or_non_text_key_is_ignored() {
        let record = JsonDocument::from(&json!({"uuid": "", "id": 7}));
        assert_eq!(uuid(record.root()), None);
        assert_eq!(id(record.root()).as_deref(), Some("7"));
        assert_eq!(uuid(JsonDocument::from(&json!({"uuid": {}})).root()), None);
    }
}
