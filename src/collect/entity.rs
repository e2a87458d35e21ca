//! What the shared walk must know of a table: its key, its time, its parent.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::schema::Parent;

/// Where a record's time stands.
type Time = fn(&Value) -> Option<DateTime<Utc>>;

/// A source table as a collector sees it.
pub(super) struct Entity {
    pub(super) table: &'static str,
    /// The natural key; a record without one is keyed by its content.
    pub(super) key: fn(&Value) -> Option<String>,
    /// The key is unique within its parent only.
    pub(super) keyed_by_parent: bool,
    /// The time that `since` cuts by; a record without it is kept.
    pub(super) time: Option<Time>,
    /// The time that its list is ordered by, where that is another one.
    pub(super) ordered_by: Option<Time>,
    /// Whether what a complete walk did not see is gone.
    pub(super) absence_deletes: bool,
    /// Where a list mixes parents: whose child a record is.
    pub(super) parent: Option<fn(&Value) -> Option<i64>>,
    /// The token owner's unpublished text.
    pub(super) draft: fn(&Value) -> bool,
    /// Records of another table that its own hold whole.
    pub(super) holds: Option<&'static Holds>,
}

/// Records of another table inside those of a list, which then need not be asked for.
pub(super) struct Holds {
    pub(super) entity: &'static Entity,
    /// The record, and whose it is; nothing where it is not whole.
    pub(super) inner: fn(&Value) -> Option<(i64, Value)>,
}

impl Entity {
    pub(super) const fn new(table: &'static str, key: fn(&Value) -> Option<String>) -> Self {
        Self {
            table,
            key,
            keyed_by_parent: false,
            time: None,
            ordered_by: None,
            absence_deletes: false,
            parent: None,
            draft: |_| false,
            holds: None,
        }
    }
}

/// The text at a JSON pointer; numbers as they are written.
pub(super) fn text(record: &Value, pointer: &str) -> Option<String> {
    match record.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The time at a JSON pointer: any number of fraction digits, `Z` or an offset.
pub(super) fn time(record: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    let text = record.pointer(pointer)?.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

pub(super) fn id(record: &Value) -> Option<String> {
    text(record, "/id")
}

pub(super) fn uuid(record: &Value) -> Option<String> {
    text(record, "/uuid")
}

pub(super) fn updated_on(record: &Value) -> Option<DateTime<Utc>> {
    time(record, "/updated_on").or_else(|| time(record, "/created_on"))
}

/// `pending`: a review comment that its author has not published.
pub(super) fn is_pending(comment: &Value) -> bool {
    comment.get("pending").and_then(Value::as_bool) == Some(true)
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
    use serde_json::json;

    #[test]
    fn times_have_any_fraction_and_any_offset() {
        let record = json!({"a": "2026-05-27T10:28:08.183580452Z", "b": "2026-05-27T12:28:08+02:00", "c": ""});
        assert_eq!(
            time(&record, "/a").unwrap().timestamp_subsec_nanos(),
            183_580_452
        );
        assert_eq!(
            time(&record, "/b").unwrap().to_rfc3339(),
            "2026-05-27T10:28:08+00:00"
        );
        assert_eq!(time(&record, "/c"), None);
    }

    #[test]
    fn an_empty_or_odd_key_is_no_key() {
        assert_eq!(uuid(&json!({"uuid": ""})), None);
        assert_eq!(uuid(&json!({"uuid": {}})), None);
        assert_eq!(id(&json!({"id": 7})).as_deref(), Some("7"));
    }
}
