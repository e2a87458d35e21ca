//! A secret that cannot be printed, and the removal of secrets from texts of other origin.
//!
//! A token that reaches a log once has to be revoked.
//!
//! ```compile_fail
//! let token = bitlake::secret::Secret::new("s3cr3t".to_owned());
//! println!("{token}"); // no Display: does not compile
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::{NoExpand, Regex, RegexBuilder};
use secrecy::{ExposeSecret, SecretString};

/// The replacement of a secret in a record.
pub const REMOVED: &str = "[removed]";
/// The replacement of a secret in a message.
const MASKED: &str = "***";

/// The minimum length of a secret that is removed from records. Every credential that Bitbucket issues is longer, and
/// removing a short word such as `test` would damage ordinary text.
const MIN_LENGTH_IN_RECORDS: usize = 8;
/// The minimum length of a secret that is masked in messages. A shorter one occurs in every text, so that masking would
/// reveal it.
const MIN_LENGTH_IN_MESSAGES: usize = 4;

/// The maximum size of a compiled pattern in bytes, enough for hundreds of tokens with thousands of characters.
const MAX_PATTERN_SIZE: usize = 1 << 28;

/// A credential. It is zeroed on drop, hidden by `Debug`, and has neither `Display` nor `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wrap a plain text.
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// Return the plain text, which only an `Authorization` header may contain.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Removes the program's own credentials from texts of other origin, such as an error page that repeats the request or a
/// record into which a user pasted a token. Clones share their secrets.
///
/// A secret is found in plain text, URL-encoded, escaped as in JSON or HTML (also in parts), and in base64, because a
/// decoded text may quote an encoded one.
#[derive(Clone, Default)]
pub struct Masker(Arc<RwLock<KnownSecrets>>);

#[derive(Default)]
struct KnownSecrets {
    secrets: Vec<Secret>,
    in_messages: SecretPattern,
    in_records: SecretPattern,
}

impl Masker {
    /// Return a masker of these secrets.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let masker = Self::default();
        masker.learn(secrets);
        masker
    }

    /// Add secrets. Empty and known secrets are ignored.
    pub fn learn<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.secrets.len();
        for secret in secrets {
            let is_known = known.secrets.iter().any(|one| one.expose() == secret);
            if !secret.is_empty() && !is_known {
                known.secrets.push(Secret::new(secret.to_owned()));
            }
        }
        if known.secrets.len() == before {
            return;
        }
        // The first alternative matches, so that a secret that contains another one must come first.
        known
            .secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        let from = |shortest: usize| {
            let secrets = known.secrets.iter();
            SecretPattern::of(secrets.filter(|it| it.expose().chars().count() >= shortest))
        };
        let (in_messages, in_records) = (from(MIN_LENGTH_IN_MESSAGES), from(MIN_LENGTH_IN_RECORDS));
        known.in_messages = in_messages;
        known.in_records = in_records;
    }

    /// Return `text` for a message, with `***` in place of each secret.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.in_messages.replace(text, MASKED)
    }

    /// Return whether `text` contains a secret that is long enough to be removed from records.
    pub fn is_in(&self, text: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.in_records.count(text) > 0
    }

    /// Replace each secret in a text of a record by [`REMOVED`], and return the number of replacements.
    pub fn remove(&self, text: &mut String) -> u64 {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.in_records.count(text);
        if found > 0 {
            *text = known.in_records.replace(text, REMOVED).into_owned();
        }
        found
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(redacted)")
    }
}

/// A pattern that finds secrets in every encoding.
#[derive(Default)]
enum SecretPattern {
    #[default]
    Nothing,
    Spellings(Regex),
    /// The pattern is too large to compile, so that secrets are found in plain text only.
    Literal(Vec<Secret>),
}

impl SecretPattern {
    fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let secrets: Vec<Secret> = secrets.cloned().collect();
        if secrets.is_empty() {
            return Self::Nothing;
        }
        let plain = secrets.iter().map(|it| spellings(it.expose()));
        let encoded = secrets.iter().flat_map(|it| base64(it.expose()));
        let spellings: Vec<_> = plain.chain(encoded).collect();
        let pattern = RegexBuilder::new(&spellings.join("|"))
            .size_limit(MAX_PATTERN_SIZE)
            .build();
        match pattern {
            Ok(pattern) => Self::Spellings(pattern),
            Err(_) => Self::Literal(secrets),
        }
    }

    fn count(&self, text: &str) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Spellings(pattern) => pattern.find_iter(text).count() as u64,
            Self::Literal(secrets) => {
                let each = secrets.iter().map(|it| text.matches(it.expose()).count());
                each.sum::<usize>() as u64
            }
        }
    }

    fn replace<'t>(&self, text: &'t str, with: &str) -> Cow<'t, str> {
        match self {
            Self::Nothing => Cow::Borrowed(text),
            Self::Spellings(pattern) => pattern.replace_all(text, NoExpand(with)),
            Self::Literal(secrets) => secrets.iter().fold(Cow::Borrowed(text), |text, secret| {
                match text.contains(secret.expose()) {
                    true => Cow::Owned(text.replace(secret.expose(), with)),
                    false => text,
                }
            }),
        }
    }
}

/// Return a pattern of a secret whose characters may each be encoded in a different way.
fn spellings(secret: &str) -> String {
    let mut pattern = String::new();
    for character in secret.chars() {
        let literal = regex::escape(character.encode_utf8(&mut [0; 4]));
        let url: String = bytes(character)
            .map(|byte| format!("%(?:25)*(?i:{byte:02x})"))
            .collect();
        let json: String = character
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!(r"\\+u(?i:{unit:04x})"))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(pattern, r"(?:{literal}|{url}|{json}");
        match character {
            '/' | '"' | '\\' | '\'' => {
                let _ = write!(pattern, r"|\\+{literal}");
            }
            ' ' => pattern.push_str(r"|\+"),
            '\n' => pattern.push_str(r"|\\+n"),
            '&' => pattern.push_str("|&amp;"),
            '<' => pattern.push_str("|&lt;"),
            '>' => pattern.push_str("|&gt;"),
            _ => {}
        }
        let code = u32::from(character);
        let _ = write!(pattern, "|&#0*(?:{code}|[xX]0*(?i:{code:x}));");
        pattern.push(')');
    }
    pattern
}

/// Return the patterns of a secret inside base64, one for each position of its first byte in a group of three bytes. A
/// pattern consists of the characters that depend on the secret alone, and of their neighbours, which contain its other
/// bits. A short secret has no pattern.
fn base64(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    if bytes.len() < MIN_LENGTH_IN_RECORDS {
        return Vec::new();
    }
    let pattern = |before: usize| {
        let padded = [&vec![0; before][..], bytes].concat();
        let text = STANDARD_NO_PAD.encode(&padded);
        // A character holds six bits.
        let own = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        let own = text
            .get(own)
            .unwrap_or_default()
            .replace('+', "[+-]")
            .replace('/', "[/_]");
        format!("[A-Za-z0-9+/_-]{{0,1}}{own}[A-Za-z0-9+/_-]{{0,1}}={{0,2}}")
    };
    (0..3).map(pattern).collect()
}

fn bytes(character: char) -> impl Iterator<Item = u8> {
    let mut buffer = [0; 4];
    let length = character.encode_utf8(&mut buffer).len();
    buffer.into_iter().take(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    #[test]
    fn debug_hides_the_secret() {
        let shown = format!("{:?}", Secret::new("s3cr3t".to_owned()));
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let masker = format!("{:?}", Masker::of(["s3cr3t"]));
        assert!(!masker.contains("s3cr3t"), "{masker}");
    }

    #[test]
    fn a_secret_is_masked_in_every_encoding() {
        let masker = Masker::of(["to/k\"en=+ä"]);
        for spelling in [
            "to/k\"en=+ä",
            r#"to\/k\"en=+ä"#,
            r#"to\\/k\\\"en=+ä"#,
            r"\u0074o\u002fk\u0022en\u003D+\u00e4",
            "to%2Fk%22en%3D%2B%C3%A4",
            "to%2fk%22en=%2b%c3%a4",
            "to%252Fk%2522en%253D%252B%25C3%25A4",
            "%74%6f/k\"en=+ä",
        ] {
            let text = format!("a {spelling} b {spelling}");
            assert_eq!(masker.mask(&text), "a *** b ***", "{spelling}");
        }
    }

    #[test]
    fn a_secret_is_masked_inside_base64_and_html() {
        let masker = Masker::of(["s3cr3t/tok+en~9\u{ff}?"]);
        for before in ["", "b", "b:", "bo:", "me@x.example:"] {
            for behind in ["", "x", "xy", "xyz"] {
                let text = format!("{before}s3cr3t/tok+en~9\u{ff}?{behind}");
                for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let masked = masker.mask(&encoded).into_owned();
                    assert!(masked.contains("***"), "{encoded}");
                    let left = masked.replace("***", "").len();
                    assert!(left <= 4 * (before.len() + behind.len()), "{masked}");
                }
            }
        }
        let html = "s3cr3t&#47;tok&#x2B;en&#126;9&#xff;&#063;";
        assert_eq!(masker.mask(html), "***");
        assert_eq!(
            Masker::of(["test"]).mask("dGVzdA== tes&#116;"),
            "dGVzdA== ***"
        );
    }

    #[test]
    fn a_text_without_secrets_is_unchanged() {
        let masker = Masker::of(["s3cr3t-token", ""]);
        for text in ["", "s3cr3t-toke", "100% \\u0074 &amp; +"] {
            assert!(matches!(masker.mask(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(Masker::default().mask("s3cr3t"), "s3cr3t");
    }

    #[test]
    fn a_secret_that_contains_another_one_is_masked_completely() {
        let masker = Masker::of(["abcdefgh", "abcdefgh-ijkl"]);
        assert_eq!(masker.mask("abcdefgh-ijkl abcdefgh"), "*** ***");
    }

    #[test]
    fn short_secrets_are_removed_from_messages_but_not_from_records() {
        let masker = Masker::of(["test", "s3cr3t-token"]);
        let mut text = "test s3cr3t-token s3cr3t%2Dtoken".to_owned();
        assert_eq!(masker.remove(&mut text), 2);
        assert_eq!(text, "test [removed] [removed]");
        assert_eq!(masker.mask("test"), "***");
        assert!(masker.is_in("s3cr3t-token") && !masker.is_in("test"));
    }

    #[test]
    fn a_single_letter_is_not_masked() {
        assert_eq!(Masker::of(["t"]).mask("the text"), "the text");
    }

    #[test]
    fn clones_share_secrets_that_are_added_later() {
        let masker = Masker::default();
        let clone = masker.clone();
        masker.learn(["renewed-token"]);
        assert_eq!(clone.mask("Bearer renewed-token"), "Bearer ***");
    }
}
