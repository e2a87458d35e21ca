//! `fields=`: a selection (`values.id,next`), the default plus (`+values.participants`) or minus (`-values.links`) fields.
//!
//! There are two traps. A selection drops `next` with every other field it does not name, so that a list seems to end after
//! its first page; and a misspelt name is ignored without an error.

use serde_json::{Map, Value};

/// A part of a record that its default form leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hidden {
    /// One member, by its path in the record.
    Member(&'static str),
    /// Every member of the object at this path except those named: the object becomes a stub.
    AllBut(&'static str, &'static [&'static str]),
}

impl Hidden {
    fn hides(self, path: &[String]) -> bool {
        match self {
            Self::Member(hidden) => hidden.split('.').eq(path.iter().map(String::as_str)),
            Self::AllBut(object, shown) => path.split_last().is_some_and(|(member, parent)| {
                object.split('.').eq(parent.iter().map(String::as_str))
                    && !shown.contains(&member.as_str())
            }),
        }
    }
}

/// Apply `fields` to a whole reply. `root` is the path of its records: `["values"]` for a list, empty for one record.
pub(crate) fn apply(
    document: &Value,
    fields: Option<&str>,
    root: &[&str],
    hidden: &[Hidden],
) -> Value {
    let view = View { root, hidden };
    let mut shown = Vec::new();
    let mut added = Vec::new();
    let mut removed = Vec::new();
    for item in fields.unwrap_or_default().split(',') {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        // An unescaped `+` in a query decodes to a blank, and such an item has no effect.
        if item.is_empty() || item.starts_with(' ') {
            continue;
        }
        match (item.strip_prefix('+'), item.strip_prefix('-')) {
            (Some(item), _) => added.push(path(item)),
            (_, Some(item)) => removed.push(path(item)),
            _ => shown.push(path(item)),
        }
    }
    let mut out = if shown.is_empty() {
        view.default(document, &mut Vec::new())
    } else {
        Value::Object(Map::new())
    };
    for path in shown.iter().chain(&added) {
        if let Some(part) = view.select(document, path, &mut Vec::new()) {
            merge(&mut out, part);
        }
    }
    for path in &removed {
        remove(&mut out, path);
    }
    out
}

struct View<'a> {
    root: &'a [&'a str],
    hidden: &'a [Hidden],
}

impl View<'_> {
    fn hides(&self, path: &[String]) -> bool {
        let inside = path.len() > self.root.len()
            && self.root.iter().zip(path).all(|(root, key)| root == key);
        inside
            && path
                .get(self.root.len()..)
                .is_some_and(|path| self.hidden.iter().any(|hidden| hidden.hides(path)))
    }

    /// Return `value`, found at `path`, without its hidden members.
    fn default(&self, value: &Value, path: &mut Vec<String>) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.default(item, path)).collect(),
            Value::Object(object) => {
                let mut out = Map::new();
                for (key, member) in object {
                    path.push(key.clone());
                    if !self.hides(path) {
                        out.insert(key.clone(), self.default(member, path));
                    }
                    path.pop();
                }
                Value::Object(out)
            }
            other => other.clone(),
        }
    }

    /// Return the part of `value` that `wanted` names. Hidden members are included when named or matched by `*`.
    fn select(&self, value: &Value, wanted: &[String], path: &mut Vec<String>) -> Option<Value> {
        let Some((first, rest)) = wanted.split_first() else {
            return Some(self.default(value, path));
        };
        match value {
            Value::Array(items) => Some(
                items
                    .iter()
                    .map(|item| self.select(item, wanted, path).unwrap_or(Value::Null))
                    .collect(),
            ),
            Value::Object(object) => {
                let mut out = Map::new();
                for (key, member) in object {
                    if first != "*" && first != key {
                        continue;
                    }
                    path.push(key.clone());
                    if let Some(part) = self.select(member, rest, path) {
                        out.insert(key.clone(), part);
                    }
                    path.pop();
                }
                Some(Value::Object(out))
            }
            Value::Null => Some(Value::Null),
            _ => None,
        }
    }
}

fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (key, value) in part {
                match into.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(part)) => {
            for (known, value) in into.iter_mut().zip(part) {
                merge(known, value);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        Value::Object(object) if rest.is_empty() => {
            object.retain(|key, _| first != "*" && first != key);
        }
        Value::Object(object) => {
            for (key, member) in object.iter_mut() {
                if first == "*" || first == key {
                    remove(member, rest);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HIDDEN: &[Hidden] = &[
        Hidden::Member("participants"),
        Hidden::Member("merge_commit.date"),
        Hidden::AllBut("environment", &["type", "uuid"]),
    ];

    fn page() -> Value {
        json!({
            "values": [{
                "id": 1,
                "participants": [{"role": "REVIEWER", "user": {"uuid": "{a}"}}],
                "merge_commit": {"hash": "ab", "date": "2026-01-01"},
                "environment": {"type": "e", "uuid": "{e}", "name": "prod", "environment_type": {"name": "Production", "rank": 2}},
                "links": {"self": {}},
            }],
            "next": "http://next",
            "size": 1,
        })
    }

    fn asked(fields: &str) -> Value {
        apply(&page(), Some(fields), &["values"], HIDDEN)
    }

    #[test]
    fn hidden_members_stay_hidden_unless_asked() {
        let plain = apply(&page(), None, &["values"], HIDDEN);
        assert_eq!(
            plain["values"][0]["environment"],
            json!({"type": "e", "uuid": "{e}"})
        );
        assert_eq!(plain["values"][0]["merge_commit"], json!({"hash": "ab"}));
        assert_eq!(plain["values"][0].get("participants"), None);
        let detail = apply(&page()["values"][0], None, &[], &[]);
        assert_eq!(detail, page()["values"][0]);
    }

    #[test]
    fn plain_fields_drop_next_and_everything_else_not_named() {
        assert_eq!(asked("values.id"), json!({"values": [{"id": 1}]}));
        assert_eq!(
            asked("values.id,next"),
            json!({"values": [{"id": 1}], "next": "http://next"})
        );
        assert_eq!(asked("values.misspelt"), json!({"values": [{}]}));
    }

    #[test]
    fn plus_adds_only_what_it_names() {
        let out = asked(
            "+values.participants,+values.merge_commit.date,+values.environment.environment_type.name",
        );
        let record = &out["values"][0];
        assert_eq!(record["participants"][0]["user"]["uuid"], "{a}");
        assert_eq!(
            record["merge_commit"],
            json!({"hash": "ab", "date": "2026-01-01"})
        );
        assert_eq!(
            record["environment"]["environment_type"],
            json!({"name": "Production"})
        );
        assert_eq!(record["environment"].get("name"), None);
        assert_eq!(out["next"], "http://next");
    }

    #[test]
    fn minus_takes_away_and_wildcards_reach_one_level() {
        assert_eq!(asked("-values.links")["values"][0].get("links"), None);
        assert_eq!(
            asked("-values.*.uuid")["values"][0]["environment"],
            json!({"type": "e"})
        );
        assert_eq!(
            asked("values.*")["values"][0]["participants"][0]["role"],
            "REVIEWER"
        );
    }

    #[test]
    fn raw_plus_is_a_blank_and_ignored() {
        assert_eq!(
            asked(" values.participants"),
            apply(&page(), None, &["values"], HIDDEN)
        );
    }
}
