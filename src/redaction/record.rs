//! The walk through a record that takes out its secrets: values by their keys, and every text, keys too, by the rules.

use serde_json::{Map, Value};

use super::rules::SecretRules;
use crate::error::{ErrorKind, OrError, Result};
use crate::secret::{Masker, REMOVED};

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

/// Removes secrets from records.
#[derive(Debug, Clone)]
pub struct Redactor {
    rules: &'static SecretRules,
    /// The program's own.
    masker: Masker,
}

impl Redactor {
    /// `masker` knows the program's own credentials, which need no rule.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the bundled rules cannot be read: nothing is kept that they have not seen.
    pub fn new(masker: Masker) -> Result<Self> {
        let rules = SecretRules::bundled()
            .or_error(ErrorKind::Internal, "the rules for secrets cannot be read")?;
        Ok(Self { rules, masker })
    }

    /// Removes secrets from `record` in place and says how many.
    pub(super) fn record(&self, record: &mut Value) -> u64 {
        match record {
            Value::Object(object) => self.object(object),
            Value::Array(values) => values.iter_mut().map(|value| self.record(value)).sum(),
            Value::String(text) => self.text(text),
            _ => 0,
        }
    }

    fn object(&self, object: &mut Map<String, Value>) -> u64 {
        let mut removed = 0;
        for key in COMMAND_KEYS {
            removed += u64::from(object.shift_remove(key).is_some());
        }
        removed += self.keys(object);
        for (key, value) in object.iter_mut() {
            removed += match (key.as_str(), &mut *value) {
                ("image", Value::Object(image)) if image.contains_key("name") => {
                    let before = image.len();
                    image.retain(|key, _| key == "name");
                    (before - image.len()) as u64 + self.object(image)
                }
                ("variables", Value::Array(variables)) => {
                    variables.iter_mut().map(|it| self.variable(it)).sum()
                }
                (key, value) if is_secret(key) => match value {
                    Value::String(text) if text.is_empty() || text == REMOVED => 0,
                    Value::String(_) => replace(value, Value::from(REMOVED)),
                    Value::Null | Value::Bool(_) => 0,
                    _ => replace(value, Value::Null),
                },
                (_, value) => self.record(value),
            };
        }
        removed
    }

    /// A key may be text as well: the name of a file, of a branch.
    fn keys(&self, object: &mut Map<String, Value>) -> u64 {
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

    /// A pipeline variable: its name may stay.
    fn variable(&self, variable: &mut Value) -> u64 {
        let value = variable.get_mut("value").filter(|value| !value.is_null());
        let removed = value.map_or(0, |value| replace(value, Value::Null));
        removed + self.record(variable)
    }

    /// A text of its own without secrets, and how many there were.
    pub(crate) fn clean(&self, text: &str) -> (String, u64) {
        let mut clean = text.to_owned();
        let removed = self.text(&mut clean);
        (clean, removed)
    }

    fn text(&self, text: &mut String) -> u64 {
        // Columns are free of NUL: what it cuts in two here would be whole there.
        if text.contains('\0') {
            let mut whole: String = text
                .chars()
                .filter(|character| *character != '\0')
                .collect();
            let removed = self.text(&mut whole);
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

fn is_secret(key: &str) -> bool {
    let plain = || {
        let letters = key.bytes().filter(|byte| !b"_-. ".contains(byte));
        letters.map(|byte| byte.to_ascii_lowercase())
    };
    SECRET_KEYS.iter().any(|secret| plain().eq(secret.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn redacted(mut record: Value) -> (u64, String) {
        let redactor = Redactor::new(Masker::of(["own-s3cr3t-token"])).unwrap();
        let removed = redactor.record(&mut record);
        (removed, record.to_string())
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
    fn secrets_go_from_keys_and_the_values_stay() {
        let token = format!("ghp_{}", "AbCd0123".repeat(5));
        let (removed, text) =
            redacted(json!({"a": {(token.clone()): 1, (format!("{token}x")): 2}}));
        assert_eq!(text, r#"{"a":{"[removed]":1,"[removed]_":2}}"#);
        assert_eq!(removed, 2);
    }

    #[test]
    fn a_token_that_nul_cuts_in_two_goes() {
        let token = format!("ghp_\0{}", "AbCd0123".repeat(5));
        let (removed, text) = redacted(json!({"raw": token, "title": "a\0b"}));
        assert_eq!(text, r#"{"raw":"[removed]","title":"a\u0000b"}"#);
        assert_eq!(removed, 1);
    }

    #[test]
    fn the_programs_own_credentials_go_in_every_spelling() {
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
    fn what_was_redacted_is_not_redacted_again() {
        let record = json!({"text": format!("password = hunter2xyz and Bearer {}", "a1b2".repeat(8)), "token": "x"});
        let (removed, once) = redacted(record);
        assert_eq!(removed, 3);
        assert_eq!(redacted(serde_json::from_str(&once).unwrap()), (0, once));
    }

    #[test]
    fn a_block_around_what_was_removed_goes_whole() {
        let block = |inner: &str| format!("-----BEGIN PRIVATE KEY-----\nMIIE {inner}");
        let (removed, text) =
            redacted(json!({"raw": block("own-s3cr3t-token"), "old": block(REMOVED)}));
        assert_eq!(text, r#"{"raw":"[removed]","old":"[removed]"}"#);
        assert_eq!(removed, 3);
    }

    #[test]
    fn ordinary_records_are_left_alone() {
        let record = json!({"key": "CHK", "author": {"raw": "A <a@x.example>"}, "links": {"self": {"href": "https://api.bitbucket.org/2.0/x"}}});
        let before = record.to_string();
        assert_eq!(redacted(record), (0, before));
    }
}
