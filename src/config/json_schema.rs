//! The JSON Schema of `bitlake.toml`, with which an editor completes and checks the file while it is written.
//!
//! The schema is generated from the list of keys, and refuses every mistake that the list determines. Only bitlake itself
//! can check values that depend on other parts of the file or on the lake. Draft 7 is the newest draft that editors of TOML
//! support completely.

use chrono_tz::TZ_VARIANTS;
use serde_json::{Map, Value, json};

use super::connection::AuthKind;
use super::key_types::{ConfigKey, KeyDefault, KeyTable, KeyValues, TableRule};
use super::keys;

/// A string that is not blank.
const NOT_BLANK: &str = r"\S";

/// Return the schema as indented JSON that ends with a line end.
pub fn json_schema() -> String {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "bitlake.toml",
    });
    let zones: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    let definitions = json!({
        "credential": table(&[&keys::CREDENTIAL], keys::CREDENTIAL.description),
        "timezone": {"enum": zones},
    });
    let root = table(&[&keys::ROOT], "The configuration of bitlake.");
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, root) {
        schema.extend(root);
        schema.insert("definitions".to_owned(), definitions);
    }
    format!("{schema:#}\n")
}

/// Return the schema of a table that has the keys of all of `tables`.
fn table(tables: &[&KeyTable], description: &str) -> Value {
    let keys = || tables.iter().flat_map(|table| table.keys);
    let properties: Map<String, Value> = keys()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys()
        .filter(|key| matches!(key.default, KeyDefault::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        add(&mut schema, "required", json!(required));
    }
    for table in tables {
        let each = |keys: &[&str]| keys.iter().map(|key| json!({"required": [key]})).collect();
        match table.rule {
            TableRule::None => {}
            TableRule::ExactlyOne(keys) => add(&mut schema, "oneOf", each(keys)),
            TableRule::AtLeastOne(keys) => add(&mut schema, "anyOf", each(keys)),
            TableRule::KeysOfAuth => add(&mut schema, "allOf", keys_of_auth(table)),
        }
    }
    schema
}

/// Return, for each kind of credential, the keys that it requires and the keys that it refuses.
fn keys_of_auth(table: &KeyTable) -> Value {
    let all = || AuthKind::ALL.iter().flat_map(|kind| kind.keys());
    let rule = |kind: AuthKind| {
        let is_required = |key: &&ConfigKey| match key.default {
            KeyDefault::RequiredFor(kinds) => kinds.contains(&kind.as_str()),
            _ => false,
        };
        let required: Vec<&str> = table
            .keys
            .iter()
            .filter(is_required)
            .map(|key| key.name)
            .collect();
        let refused: Map<String, Value> = all()
            .filter(|key| !kind.keys().contains(key))
            .map(|key| ((*key).to_owned(), json!(false)))
            .collect();
        let mut then = json!({"required": required, "properties": refused});
        if kind == AuthKind::AppPassword {
            // `token` is accepted instead of `password`.
            let (password, others) = required
                .iter()
                .partition::<Vec<&str>, _>(|it| **it == "password");
            add(&mut then, "required", json!(others));
            add(
                &mut then,
                "oneOf",
                json!([{"required": password}, {"required": ["token"]}]),
            );
        }
        json!({
            "if": {"properties": {"auth": {"const": kind.as_str()}}, "required": ["auth"]},
            "then": then,
        })
    };
    AuthKind::ALL.into_iter().map(rule).collect()
}

/// Return the schema of a key's value.
fn property(key: &ConfigKey) -> Value {
    let mut schema = values(&key.values);
    let mut description = key.description.to_owned();
    let is_table = matches!(
        key.values,
        KeyValues::Table(_) | KeyValues::Tables(_) | KeyValues::TablesByName(..)
    );
    if let KeyDefault::Note(note) = key.default
        && !["", "none"].contains(&note)
        && !is_table
    {
        description = format!("{description} Default: {note}.");
    }
    add(&mut schema, "description", json!(description));
    if let Some(default) = default(key) {
        add(&mut schema, "default", default);
    }
    schema
}

fn values(values: &KeyValues) -> Value {
    let credential = || json!({"$ref": "#/definitions/credential"});
    match values {
        KeyValues::Boolean => json!({"type": "boolean"}),
        KeyValues::Integer(max) => json!({"type": "integer", "minimum": 1, "maximum": max}),
        KeyValues::Date => matching(r"^\s*\d{4}-\d{2}-\d{2}\s*$"),
        // Keywords beside a `$ref` have no effect.
        KeyValues::Timezone => json!({"allOf": [{"$ref": "#/definitions/timezone"}]}),
        KeyValues::Text(_) => matching(NOT_BLANK),
        KeyValues::AnyText(_) => json!({"type": "string"}),
        KeyValues::Matching(_, pattern) => matching(pattern),
        KeyValues::Words(words) => json!({"enum": words}),
        KeyValues::AnyCase(words) => {
            json!({"anyOf": [{"enum": words}, matching(&any_case(words))]})
        }
        KeyValues::List(_, item) => json!({"type": "array", "items": self::values(item)}),
        KeyValues::NonEmptyList(_, item) => {
            json!({"type": "array", "minItems": 1, "items": self::values(item)})
        }
        KeyValues::TextsByName(_) => {
            json!({"type": "object", "additionalProperties": {"type": "string"}})
        }
        KeyValues::Credential => json!({"allOf": [credential()]}),
        KeyValues::Credentials => json!({"anyOf": [
            credential(),
            {"type": "array", "minItems": 1, "items": credential()},
        ]}),
        KeyValues::Table(tables) => table(tables, ""),
        KeyValues::Tables(of) => {
            json!({"type": "array", "items": table(&[of], of.description)})
        }
        KeyValues::TablesByName(of, names) => json!({
            "type": "object",
            "propertyNames": {"pattern": names},
            "additionalProperties": table(&[of], of.description),
        }),
    }
}

fn matching(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// Return a regular expression that matches the words in capital or small letters. Editors' engines have no flag for it.
fn any_case(words: &[&str]) -> String {
    let either = |c: char| match c.is_ascii_lowercase() {
        true => format!("[{c}{}]", c.to_ascii_uppercase()),
        false => c.to_string(),
    };
    let words = words.iter().map(|word| word.chars().map(either).collect());
    format!("^({})$", words.collect::<Vec<String>>().join("|"))
}

/// Return the value that applies when the key is missing.
fn default(key: &ConfigKey) -> Option<Value> {
    match (&key.default, &key.values) {
        (KeyDefault::Value(text), KeyValues::Boolean | KeyValues::Integer(_)) => {
            serde_json::from_str(text).ok()
        }
        (KeyDefault::Value(text), _) => Some(json!(text.trim_matches('"'))),
        (KeyDefault::Values(words), _) => Some(json!(words)),
        _ => None,
    }
}

fn add(schema: &mut Value, keyword: &str, value: Value) {
    if let Value::Object(keywords) = schema {
        keywords.insert(keyword.to_owned(), value);
    }
}
