//! Takes secrets out of a record before it reaches the disk: a lake is copied into warehouses, and what a pipeline's
//! author pasted into an image definition or a clone address would be read by everybody there.
//!
//! What is removed is counted; a record without secrets stays as received, byte for byte.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

const REMOVED: &str = "[removed]";

/// Keys whose value is a credential, in lower case without separators.
const SECRET_KEYS: [&str; 24] = [
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apitoken",
    "apppassword",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "awssecretaccesskey",
    "awssessiontoken",
    "bearertoken",
    "clientsecret",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "sshprivatekey",
    "token",
];

/// Keys whose value is bulk that carries secrets and that no table uses.
const COMMAND_KEYS: [&str; 3] = ["script_commands", "setup_commands", "teardown_commands"];

/// The password of a URL's user.
static URL_PASSWORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@?#]*):([^\s/@]+)@").ok());

/// Credentials that are recognised by their shape: Atlassian's, GitHub's, AWS's, and private keys.
static SHAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\bAT(?:ATT|CTT)3[A-Za-z0-9_=-]{20,}",
        r"|\bATBB[A-Za-z0-9]{28,}",
        r"|\bgh[pousr]_[A-Za-z0-9]{36,}",
        r"|\bAKIA[0-9A-Z]{16}\b",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    ))
    .ok()
});

/// Removes secrets from `record` in place and says how many.
pub(super) fn redact(record: &mut Value) -> u64 {
    match record {
        Value::Object(object) => redact_object(object),
        Value::Array(values) => values.iter_mut().map(redact).sum(),
        Value::String(text) => redact_text(text),
        _ => 0,
    }
}

fn redact_object(object: &mut Map<String, Value>) -> u64 {
    let mut removed = 0;
    for key in COMMAND_KEYS {
        removed += u64::from(object.shift_remove(key).is_some());
    }
    for (key, value) in object.iter_mut() {
        removed += match (key.as_str(), &mut *value) {
            ("image", Value::Object(image)) if image.contains_key("name") => {
                let before = image.len();
                image.retain(|key, _| key == "name");
                (before - image.len()) as u64 + redact_object(image)
            }
            ("variables", Value::Array(variables)) => {
                variables.iter_mut().map(redact_variable).sum()
            }
            (key, value) if is_secret(key) => match value {
                Value::String(text) if text.is_empty() || text == REMOVED => 0,
                Value::String(_) => replace(value, Value::from(REMOVED)),
                Value::Null | Value::Bool(_) => 0,
                _ => replace(value, Value::Null),
            },
            (_, value) => redact(value),
        };
    }
    removed
}

/// A pipeline variable: its name may stay.
fn redact_variable(variable: &mut Value) -> u64 {
    let value = variable.get_mut("value").filter(|value| !value.is_null());
    let removed = value.map_or(0, |value| replace(value, Value::Null));
    removed + redact(variable)
}

fn replace(value: &mut Value, with: Value) -> u64 {
    *value = with;
    1
}

fn is_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
        .collect();
    SECRET_KEYS
        .binary_search(&plain.to_ascii_lowercase().as_str())
        .is_ok()
}

fn redact_text(text: &mut String) -> u64 {
    let mut removed = 0;
    for (pattern, with) in [(&*URL_PASSWORD, "$1:[removed]@"), (&*SHAPES, REMOVED)] {
        let Some(pattern) = pattern else { continue };
        let found = pattern
            .find_iter(text)
            .filter(|m| !m.as_str().ends_with("[removed]@"));
        let found = found.count() as u64;
        if found > 0 {
            *text = pattern.replace_all(text, with).into_owned();
            removed += found;
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn redacted(mut record: Value) -> (u64, String) {
        let removed = redact(&mut record);
        (removed, record.to_string())
    }

    #[test]
    fn the_secret_keys_are_sorted_for_their_search_and_the_patterns_compile() {
        assert!(SECRET_KEYS.is_sorted());
        assert!(URL_PASSWORD.is_some() && SHAPES.is_some());
    }

    #[test]
    fn a_steps_image_keeps_only_its_name_and_commands_go() {
        let (removed, text) = redacted(json!({
            "uuid": "{s}", "image": {"name": "node:22", "username": "u", "password": "hunter2", "email": "e"},
            "script_commands": [{"command": "curl -H secret-1"}], "setup_commands": [], "teardown_commands": []
        }));
        assert_eq!(text, r#"{"uuid":"{s}","image":{"name":"node:22"}}"#);
        assert_eq!(removed, 6);
    }

    #[test]
    fn values_of_pipeline_variables_go_and_their_names_stay() {
        let (removed, text) =
            redacted(json!({"variables": [{"key": "DB", "value": "hunter2", "secured": false}]}));
        assert_eq!(
            text,
            r#"{"variables":[{"key":"DB","value":null,"secured":false}]}"#
        );
        assert_eq!(removed, 1);
    }

    #[test]
    fn values_under_secret_keys_go_wherever_they_are() {
        let (removed, text) = redacted(
            json!({"a": [{"Client-Secret": "x1"}, {"apiKey": {"v": "x2"}}],
            "access_token": "x3", "token": 4, "AWS_SECRET_ACCESS_KEY": "x5", "secret": true, "password": null}),
        );
        assert_eq!(removed, 5);
        for secret in ["x1", "x2", "x3", "x5", ":4"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(
            text.contains("\"secret\":true"),
            "a flag is no secret: {text}"
        );
    }

    #[test]
    fn the_password_in_a_url_goes_and_its_user_stays() {
        let (removed, text) =
            redacted(json!({"href": "https://me:hunter2@bitbucket.org/acme/web.git"}));
        assert_eq!(
            (removed, text.as_str()),
            (
                1,
                r#"{"href":"https://me:[removed]@bitbucket.org/acme/web.git"}"#
            )
        );
        let clone =
            json!({"href": "https://me@bitbucket.org/acme/web.git", "t": "http://h:80/a@b"});
        assert_eq!(redacted(clone).0, 0);
    }

    #[test]
    fn tokens_are_known_by_their_shape() {
        let (removed, text) =
            redacted(json!({"raw": format!("use ATATT3x{} now", "FfGF0T".repeat(8))}));
        assert_eq!(
            (removed, text.as_str()),
            (1, r#"{"raw":"use [removed] now"}"#)
        );
        let key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----";
        assert_eq!(redacted(json!({ "raw": key })).1, r#"{"raw":"[removed]"}"#);
    }

    #[test]
    fn ordinary_records_are_left_alone() {
        let record = json!({"key": "CHK", "author": {"raw": "A <a@x.example>"}, "links": {"self": {"href": "https://api.bitbucket.org/2.0/x"}}});
        let before = record.to_string();
        assert_eq!(redacted(record), (0, before));
    }
}
