//! `q=` and `sort=` for the endpoints that honour them.

use std::cmp::Reverse;

use serde_json::Value;

pub(crate) use crate::bbql::Vocabulary;
use crate::bbql::{Condition, nanoseconds};
use crate::errors::{self, SandboxReply};
use crate::workspace::at;

/// Apply `q`, then `sort`, to `records`.
pub(crate) fn apply<'a>(
    mut records: Vec<&'a Value>,
    q: Option<&str>,
    sort: Option<&str>,
    vocabulary: &Vocabulary,
) -> Result<Vec<&'a Value>, SandboxReply> {
    if let Some(q) = q.filter(|q| !q.trim().is_empty()) {
        let condition = Condition::parse(q, vocabulary)?;
        records.retain(|record| condition.holds(record));
    }
    if let Some(sort) = sort.filter(|sort| !sort.is_empty()) {
        let field = sort.strip_prefix('-').unwrap_or(sort);
        vocabulary.check(field)?;
        self::sort(&mut records, sort);
    }
    Ok(records)
}

/// Sort by one field, descending with `-`; a record without the field sorts as the greatest.
pub(crate) fn sort(records: &mut [&Value], sort: &str) {
    let (field, descending) = match sort.strip_prefix('-') {
        Some(field) => (field, true),
        None => (sort, false),
    };
    records.sort_by_cached_key(|record| {
        let key = Key::of(at(record, field));
        if descending {
            Direction::Down(Reverse(key))
        } else {
            Direction::Up(key)
        }
    });
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Up(Key),
    Down(Reverse<Key>),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Time(i128),
    Text(String),
    Missing,
}

impl Key {
    fn of(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Bool(value)) => Self::Number((*value).into()),
            Some(Value::Number(value)) => Self::Number(value.as_i64().unwrap_or(i64::MAX)),
            Some(Value::String(text)) => match nanoseconds(text) {
                Some(time) => Self::Time(time),
                None => Self::Text(text.clone()),
            },
            _ => Self::Missing,
        }
    }
}

impl Vocabulary {
    pub(crate) fn check(&self, field: &str) -> Result<(), SandboxReply> {
        if self.refused.contains(&field) {
            return Err(errors::bad_request("Field does not support filtering"));
        }
        let first = field.split('.').next().unwrap_or_default();
        if self.fields.contains(&first) {
            Ok(())
        } else {
            Err(errors::bad_request(&format!("Invalid field: {field}")))
        }
    }
}
