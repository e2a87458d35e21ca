//! A secret that cannot be printed, because a token that reaches a log line once has to be revoked everywhere; and the
//! removal of such secrets from texts that came from outside.
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

/// What stands in the place of a secret that was removed from a record.
pub const REMOVED: &str = "[removed]";
/// The same in messages.
const MASKED: &str = "***";

/// Secrets with fewer characters are masked in messages and not in records: every credential that Bitbucket issues is
/// longer, and a made-up "test" would destroy ordinary text.
const SHORTEST_IN_RECORDS: usize = 8;
/// A secret with fewer characters is in every text, and masking it would tell more than it hides.
const SHORTEST_IN_MESSAGES: usize = 4;

/// Bytes of a compiled pattern, for hundreds of tokens of thousands of characters.
const PATTERN_SIZE: usize = 1 << 28;

/// A credential. Zeroed on drop, absent from `Debug`, without `Display` or `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// The plain text, for building an `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Removes the program's own credentials from texts that came from outside, such as an error page that repeats the
/// request or a record into which somebody pasted a token. Clones share their secrets.
///
/// The text is one that was decoded. Inside it, a secret is found as it is, URL-encoded, or escaped as in JSON or HTML, as
/// a whole or in parts, and in base64: a decoded text may quote another encoded one.
#[derive(Clone, Default)]
pub struct Masker(Arc<RwLock<KnownSecrets>>);

#[derive(Default)]
struct KnownSecrets {
    secrets: Vec<Secret>,
    in_messages: SecretPattern,
    in_records: SecretPattern,
}

impl Masker {
    /// A masker for these secrets.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let masker = Self::default();
        masker.learn(secrets);
        masker
    }

    /// Adds secrets. Empty and known ones are ignored.
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
        // The first alternative wins: a secret that contains another one must come before it.
        known
            .secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        let from = |shortest: usize| {
            let secrets = known.secrets.iter();
            SecretPattern::of(secrets.filter(|it| it.expose().chars().count() >= shortest))
        };
        let (in_messages, in_records) = (from(SHORTEST_IN_MESSAGES), from(SHORTEST_IN_RECORDS));
        known.in_messages = in_messages;
        known.in_records = in_records;
    }

    /// `text` for a message, with `***` in the place of each secret.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.in_messages.replace(text, MASKED)
    }

    /// Whether `text` has a secret that is too long to be there by chance.
    pub fn is_in(&self, text: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.in_records.count(text) > 0
    }

    /// Puts [`REMOVED`] in the place of each secret in a text of a record; returns how many there were.
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

/// Finds some secrets in any spelling.
#[derive(Default)]
enum SecretPattern {
    #[default]
    Nothing,
    Spellings(Regex),
    /// Too large to compile: found as they are.
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
            .size_limit(PATTERN_SIZE)
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

/// A pattern for a secret whose every character may be written in any of the usual ways.
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

/// Patterns for a secret inside base64: the characters that are the same whatever stands before and behind it, which
/// depend on where its first byte falls in a group of three, and their neighbours, which hold the rest of its bits. None
/// for a secret that would leave too few characters to tell it by.
fn base64(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    if bytes.len() < SHORTEST_IN_RECORDS {
        return Vec::new();
    }
    let pattern = |before: usize| {
        let padded = [&vec![0; before][..], bytes].concat();
        let text = STANDARD_NO_PAD.encode(&padded);
        // A character holds six bits.
        let own = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        let own = text[own].replace('+', "[+-]").replace('/', "[/_]");
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
    fn debug_does_not_show_the_secret() {
        let shown = format!("{:?}", Secret::new("s3cr3t".to_owned()));
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let masker = format!("{:?}", Masker::of(["s3cr3t"]));
        assert!(!masker.contains("s3cr3t"), "{masker}");
    }

    #[test]
    fn a_secret_is_masked_in_every_spelling() {
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
    fn a_text_without_secrets_is_the_same_text() {
        let masker = Masker::of(["s3cr3t-token", ""]);
        for text in ["", "s3cr3t-toke", "100% \\u0074 &amp; +"] {
            assert!(matches!(masker.mask(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(Masker::default().mask("s3cr3t"), "s3cr3t");
    }

    #[test]
    fn of_two_secrets_the_one_that_contains_the_other_is_masked_whole() {
        let masker = Masker::of(["abcdefgh", "abcdefgh-ijkl"]);
        assert_eq!(masker.mask("abcdefgh-ijkl abcdefgh"), "*** ***");
    }

    #[test]
    fn records_lose_secrets_and_keep_words_that_are_too_short_for_one() {
        let masker = Masker::of(["test", "s3cr3t-token"]);
        let mut text = "test s3cr3t-token s3cr3t%2Dtoken".to_owned();
        assert_eq!(masker.remove(&mut text), 2);
        assert_eq!(text, "test [removed] [removed]");
        assert_eq!(masker.mask("test"), "***");
        assert!(masker.is_in("s3cr3t-token") && !masker.is_in("test"));
    }

    #[test]
    fn a_letter_is_no_secret() {
        assert_eq!(Masker::of(["t"]).mask("the text"), "the text");
    }

    #[test]
    fn clones_share_what_is_learned_later() {
        let masker = Masker::default();
        let clone = masker.clone();
        masker.learn(["renewed-token"]);
        assert_eq!(clone.mask("Bearer renewed-token"), "Bearer ***");
    }
}
