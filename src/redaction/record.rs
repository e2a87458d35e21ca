//! Remove the secrets of a record: values by their keys, and texts, keys included, by the rules.

use serde_json::{Map, Value};

use super::rules::SecretRules;
use crate::error::{ErrorKind, OrError, Result};
use crate::json::{JsonDocument, JsonKey, JsonValue};
use crate::secret::{Masker, REMOVED};

/// Keys whose value is a credential, in lower case without separators, in order.
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

const LONGEST_SECRET_KEY: usize = 18;

/// Keys whose values are long, may have secrets, and are in no table.
const COMMAND_KEYS: [&str; 3] = ["script_commands", "setup_commands", "teardown_commands"];

/// Removes secrets from records.
#[derive(Debug, Clone)]
pub struct Redactor {
    rules: &'static SecretRules,
    /// Removes the program's own credentials.
    masker: Masker,
}

impl Redactor {
    /// Create a redactor. `masker` removes the program's own credentials.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the bundled rules are malformed.
    pub fn new(masker: Masker) -> Result<Self> {
        let rules = SecretRules::bundled()
            .or_error(ErrorKind::Internal, "the rules for secrets cannot be read")?;
        Ok(Self { rules, masker })
    }

    /// Whether [`Redactor::redact`] certainly finds nothing in a record. `text`: the JSON of the document.
    ///
    /// Only few records have anything to remove, and this is much cheaper than to look for it in a tree. What is found here
    /// is looked at again by `redact`, so that in doubt a record is not clean.
    pub(super) fn is_clean(&self, text: &str, document: &JsonDocument) -> bool {
        !self.masker.is_in(text)
            && document
                .keys()
                .all(|(key, value)| self.is_clean_entry(key, value))
            && document
                .texts()
                .all(|(text, is_escaped)| !is_escaped || self.is_unmasked(text))
            && self
                .rules
                .are_clean(document.joined_texts(), document.text_ranges())
    }

    /// Whether a text that the record spells otherwise is free of NUL and of the program's own credentials.
    fn is_unmasked(&self, text: &str) -> bool {
        !text.contains('\0') && !self.masker.is_in(text)
    }

    /// Whether a key is not to be removed, nor its value because of it.
    fn is_clean_entry(&self, key: JsonKey<'_>, value: JsonValue<'_>) -> bool {
        let is_plain = |name: &str| !is_special(name) && self.rules.find(name).is_empty();
        if key.common.is_some_and(|common| common.is_plain(is_plain)) {
            return true;
        }
        self.rules.find(key.name).is_empty()
            && (!key.is_escaped || self.is_unmasked(key.name))
            && is_clean_by_key(key.name, value)
    }

    /// Remove secrets from `record`, and return their number.
    pub(super) fn redact(&self, record: &mut Value) -> u64 {
        match record {
            Value::Object(object) => self.redact_object(object),
            Value::Array(values) => values.iter_mut().map(|value| self.redact(value)).sum(),
            Value::String(text) => self.redact_text(text),
            _ => 0,
        }
    }

    fn redact_object(&self, object: &mut Map<String, Value>) -> u64 {
        let mut removed = 0;
        for key in COMMAND_KEYS {
            removed += u64::from(object.shift_remove(key).is_some());
        }
        removed += self.redact_keys(object);
        for (key, value) in object.iter_mut() {
            removed += match (key.as_str(), &mut *value) {
                ("image", Value::Object(image)) if image.contains_key("name") => {
                    let before = image.len();
                    image.retain(|key, _| key == "name");
                    (before - image.len()) as u64 + self.redact_object(image)
                }
                ("variables", Value::Array(variables)) => variables
                    .iter_mut()
                    .map(|it| self.redact_variable(it))
                    .sum(),
                (key, value) if is_secret_key(key) => match value {
                    Value::String(text) if text.is_empty() || text == REMOVED => 0,
                    Value::String(_) => replace(value, Value::from(REMOVED)),
                    Value::Null | Value::Bool(_) => 0,
                    _ => replace(value, Value::Null),
                },
                (_, value) => self.redact(value),
            };
        }
        removed
    }

    /// Remove secrets from the keys of an object. A key may be a text too, such as the name of a file or a branch.
    fn redact_keys(&self, object: &mut Map<String, Value>) -> u64 {
        let mut removed = 0;
        let mut clean = |key: &String| {
            let (clean, found) = self.clean(key);
            removed += found;
            clean
        };
        let cleaned: Vec<String> = object.keys().map(&mut clean).collect();
        if removed > 0 {
            let before = std::mem::take(object);
            for (mut key, (_, value)) in cleaned.into_iter().zip(before) {
                while object.contains_key(&key) {
                    key.push('_');
                }
                object.insert(key, value);
            }
        }
        removed
    }

    /// Remove the value of a pipeline variable; its name is kept.
    fn redact_variable(&self, variable: &mut Value) -> u64 {
        let value = variable.get_mut("value").filter(|value| !value.is_null());
        let removed = value.map_or(0, |value| replace(value, Value::Null));
        removed + self.redact(variable)
    }

    /// Return a text without secrets, and their number.
    pub(crate) fn clean(&self, text: &str) -> (String, u64) {
        let mut clean = text.to_owned();
        let removed = self.redact_text(&mut clean);
        (clean, removed)
    }

    fn redact_text(&self, text: &mut String) -> u64 {
        // Columns are free of NUL: what it cuts in two here would be whole there.
        if text.contains('\0') {
            let mut whole: String = text
                .chars()
                .filter(|character| *character != '\0')
                .collect();
            let removed = self.redact_text(&mut whole);
            if removed > 0 {
                *text = whole;
            }
            return removed;
        }
        let own = self.masker.remove(text);
        let found = self.rules.find(text);
        for range in found.iter().rev() {
            text.replace_range(range.clone(), REMOVED);
        }
        own + found.len() as u64
    }
}

fn replace(value: &mut Value, with: Value) -> u64 {
    *value = with;
    1
}

/// Whether a key decides what is removed from its value.
fn is_special(key: &str) -> bool {
    matches!(key, "image" | "variables") || COMMAND_KEYS.contains(&key) || is_secret_key(key)
}

/// Whether nothing is to be removed from a value because of its key.
fn is_clean_by_key(key: &str, value: JsonValue<'_>) -> bool {
    match key {
        "image" => value.get("name").is_none() || value.entries().all(|(key, _)| key == "name"),
        "variables" => value.items().next().is_none(),
        key if COMMAND_KEYS.contains(&key) => false,
        key if is_secret_key(key) => value.is_null() || value.as_bool().is_some(),
        _ => true,
    }
}

fn is_secret_key(key: &str) -> bool {
    let mut plain = [0; LONGEST_SECRET_KEY];
    let mut length = 0;
    for byte in key.bytes().filter(|byte| !b"_-. ".contains(byte)) {
        let Some(place) = plain.get_mut(length) else {
            return false;
        };
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = plain.get(..length).unwrap_or_default();
    SECRET_KEYS
        .binary_search_by(|secret| secret.as_bytes().cmp(plain))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn redacted(mut record: Value) -> (u64, String) {
        let redactor = Redactor::new(Masker::of(["own-s3cr3t-token"])).unwrap();
        let removed = redactor.redact(&mut record);
        (removed, record.to_string())
    }

    #[test]
    fn only_the_name_of_a_steps_image_is_kept_and_commands_are_removed() {
        let (removed, text) = redacted(json!({
            "uuid": "{s}", "image": {"name": "node:22", "username": "u", "password": "hunter2", "email": "e"},
            "script_commands": [{"command": "curl -H secret-1"}], "setup_commands": [], "teardown_commands": []
        }));
        assert_eq!(text, r#"{"uuid":"{s}","image":{"name":"node:22"}}"#);
        assert_eq!(removed, 6);
    }

    #[test]
    fn values_of_pipeline_variables_are_removed_and_their_names_kept() {
        let (removed, text) =
            redacted(json!({"variables": [{"key": "DB", "value": "hunter2", "secured": false}]}));
        assert_eq!(
            text,
            r#"{"variables":[{"key":"DB","value":null,"secured":false}]}"#
        );
        assert_eq!(removed, 1);
    }

    #[test]
    fn values_of_secret_keys_are_removed_at_every_depth() {
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
            "a boolean is not a secret: {text}"
        );
    }

    #[test]
    fn secret_keys_are_in_order_and_none_is_longer_than_the_longest() {
        assert!(SECRET_KEYS.is_sorted());
        let longest = SECRET_KEYS.iter().map(|key| key.len()).max();
        assert_eq!(longest, Some(LONGEST_SECRET_KEY));
        assert!(SECRET_KEYS.iter().all(|key| is_secret_key(key)));
        assert!(
            is_secret_key("AWS_Secret-Access.Key") && !is_secret_key("x-aws-secret-access-key")
        );
    }

    #[test]
    fn the_password_in_a_url_is_removed_and_its_user_kept() {
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
    fn tokens_are_recognized_by_their_format() {
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
    fn secrets_in_keys_are_removed_and_the_values_kept() {
        let token = format!("ghp_{}", "AbCd0123".repeat(5));
        let (removed, text) =
            redacted(json!({"a": {(token.clone()): 1, (format!("{token}x")): 2}}));
        assert_eq!(text, r#"{"a":{"[removed]":1,"[removed]_":2}}"#);
        assert_eq!(removed, 2);
    }

    #[test]
    fn a_token_with_nul_in_it_is_removed() {
        let token = format!("ghp_\0{}", "AbCd0123".repeat(5));
        let (removed, text) = redacted(json!({"raw": token, "title": "a\0b"}));
        assert_eq!(text, r#"{"raw":"[removed]","title":"a\u0000b"}"#);
        assert_eq!(removed, 1);
    }

    #[test]
    fn the_programs_own_credentials_are_removed_in_every_encoding() {
        let (removed, text) = redacted(
            json!({"a": "x own-s3cr3t-token", "b": "?t=own%2Ds3cr3t%2dtoken", "own-s3cr3t-token": 1}),
        );
        assert_eq!(
            text,
            r#"{"a":"x [removed]","b":"?t=[removed]","[removed]":1}"#
        );
        assert_eq!(removed, 3);
    }

    #[test]
    fn redacting_twice_removes_nothing_more() {
        let record = json!({"text": format!("password = hunter2xyz and Bearer {}", "a1b2".repeat(8)), "token": "x"});
        let (removed, once) = redacted(record);
        assert_eq!(removed, 3);
        assert_eq!(redacted(serde_json::from_str(&once).unwrap()), (0, once));
    }

    #[test]
    fn a_key_block_with_a_removed_part_is_removed_whole() {
        let block = |inner: &str| format!("-----BEGIN PRIVATE KEY-----\nMIIE {inner}");
        let (removed, text) =
            redacted(json!({"raw": block("own-s3cr3t-token"), "old": block(REMOVED)}));
        assert_eq!(text, r#"{"raw":"[removed]","old":"[removed]"}"#);
        assert_eq!(removed, 3);
    }

    #[test]
    fn a_record_without_secrets_is_unchanged() {
        let record = json!({"key": "CHK", "author": {"raw": "A <a@x.example>"}, "links": {"self": {"href": "https://api.bitbucket.org/2.0/x"}}});
        let before = record.to_string();
        assert_eq!(redacted(record), (0, before));
    }
}
