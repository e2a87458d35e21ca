//! Parses JSON leniently, so that one malformed value does not lose its record, and one record not its page.
//!
//! | in the text | parsed as |
//! |---|---|
//! | an unpaired surrogate (`\ud83d` alone), an unknown escape | U+FFFD |
//! | bytes that are not UTF-8 | U+FFFD |
//! | an unescaped control character inside a string | the character |
//! | a number that is out of range (`1e999`) or invalid (`NaN`, `-Infinity`, `007`) | null |
//! | a value below more than [`MAX_DEPTH`] levels | null |
//! | a repeated key | its last value |
//!
//! Valid JSON is parsed once, by serde_json. Only a text that serde_json refuses is repaired.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The nesting depth that a repair keeps, which is less than the limit of serde_json.
const MAX_DEPTH: usize = 100;

/// A value, and whether it contains everything that the text does.
#[derive(Debug, PartialEq)]
pub(crate) struct Lenient {
    pub(crate) value: Value,
    /// `false` if something was repaired or a key is repeated, so that the text contains more than the value.
    pub(crate) exact: bool,
}

/// Parse a text; `None` if it is not JSON even after a repair.
pub(crate) fn read(text: &str) -> Option<Lenient> {
    let (value, repeats) = match parse(text) {
        Ok(parsed) => parsed,
        Err(_) => {
            let (value, _) = parse(&repair(text)).ok()?;
            return Some(Lenient {
                value,
                exact: false,
            });
        }
    };
    Some(Lenient {
        value,
        exact: !repeats,
    })
}

/// Parse the body of a response as `T`.
///
/// # Errors
/// The error of serde_json for the original body, if the repair does not help.
pub(crate) fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(&repair(text)).map_err(|_| error)
    })
}

fn parse(text: &str) -> Result<(Value, bool), serde_json::Error> {
    let repeats = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueReader(&repeats).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, repeats.get()))
}

/// Builds a value like serde_json, and notices repeated keys.
#[derive(Clone, Copy)]
struct ValueReader<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let before = object.insert(key, entries.next_value_seed(self)?);
            if before.is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(object))
    }
}

/// Replace each token that serde_json refuses. The tokens are read without recursion, and their structure is not checked.
fn repair(text: &str) -> String {
    let mut repair = Repair {
        rest: text,
        out: String::with_capacity(text.len()),
        depth: 0,
    };
    while let Some(first) = repair.rest.chars().next() {
        repair.token(first);
    }
    repair.out
}

struct Repair<'a> {
    rest: &'a str,
    out: String,
    depth: usize,
}

impl<'a> Repair<'a> {
    /// Copy or repair one token, which begins with `first`.
    fn token(&mut self, first: char) {
        match first {
            '"' => self.string(),
            '{' | '[' => {
                self.depth += 1;
                if self.depth == MAX_DEPTH + 1 {
                    self.out.push_str("null");
                }
                self.keep(first);
            }
            '}' | ']' => {
                self.keep(first);
                self.depth = self.depth.saturating_sub(1);
            }
            ',' | ':' => self.keep(first),
            _ if first.is_whitespace() => self.keep(first),
            _ => {
                let is_end = |c: char| c.is_whitespace() || ",:{}[]\"".contains(c);
                let word = self.take(self.rest.find(is_end).unwrap_or(self.rest.len()));
                self.put(&scalar(word));
            }
        }
    }

    fn keep(&mut self, character: char) {
        let token = self.take(character.len_utf8());
        self.put(token);
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }

    /// Write a token, unless its nesting depth is above the limit.
    fn put(&mut self, token: &str) {
        if self.depth <= MAX_DEPTH {
            self.out.push_str(token);
        }
    }

    fn string(&mut self) {
        self.keep('"');
        loop {
            let is_special = |c: char| c == '"' || c == '\\' || c.is_ascii_control();
            let plain = self.take(self.rest.find(is_special).unwrap_or(self.rest.len()));
            self.put(plain);
            match self.rest.chars().next() {
                None => return,
                Some('"') => return self.keep('"'),
                Some('\\') => self.escape(),
                Some(control) => {
                    self.take(1);
                    self.put(&format!("\\u{:04x}", u32::from(control)));
                }
            }
        }
    }

    fn escape(&mut self) {
        if let Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') = self.rest.chars().nth(1) {
            let token = self.take(2);
            return self.put(token);
        }
        match (
            unit(self.rest),
            unit(self.rest.get(6..).unwrap_or_default()),
        ) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                let token = self.take(12);
                self.put(token);
            }
            (Some(0xd800..=0xdfff), _) => {
                self.take(6);
                self.put("\u{fffd}");
            }
            (Some(_), _) => {
                let token = self.take(6);
                self.put(token);
            }
            (None, _) => {
                self.take(1);
                self.put("\u{fffd}");
            }
        }
    }
}

/// Return the UTF-16 code unit of an escape such as `\u0041` at the beginning of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// Return a token that is neither a string nor punctuation, or `null` in place of an invalid number.
fn scalar(word: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Value>(word) {
        Ok(_) => Cow::Borrowed(word),
        Err(_) if is_numeric(word) => Cow::Borrowed("null"),
        // serde_json refuses the token.
        Err(_) => Cow::Borrowed(word),
    }
}

fn is_numeric(word: &str) -> bool {
    let unsigned = word.trim_start_matches(['-', '+']);
    let spelt = ["nan", "inf", "infinity"]
        .iter()
        .any(|it| unsigned.eq_ignore_ascii_case(it));
    let begins = unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit());
    let number = |byte: u8| byte.is_ascii_hexdigit() || b"+-.xX_".contains(&byte);
    spelt || begins && unsigned.bytes().all(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn repaired(text: &str) -> Value {
        let read = read(text).unwrap();
        assert!(!read.exact, "{text}");
        read.value
    }

    #[test]
    fn valid_json_is_parsed_exactly() {
        let text =
            r#"{"a":[1,-2.5,18446744073709551615,true,null,"\u0000\ud83d\ude00\/"],"b":{"a":1}}"#;
        let read = read(text).unwrap();
        assert!(read.exact);
        assert_eq!(read.value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn an_unpaired_surrogate_becomes_the_replacement_character_in_values_and_keys() {
        assert_eq!(
            repaired(r#"{"a":"x\ud83dy","b\udc00":"\ude00\ud83d","c":"\ud83d\ud83d\ude00"}"#),
            json!({"a": "x\u{fffd}y", "b\u{fffd}": "\u{fffd}\u{fffd}", "c": "\u{fffd}😀"})
        );
        assert_eq!(repaired(r#"["\ud83d"]"#), json!(["\u{fffd}"]));
        assert_eq!(repaired(r#"["\ud83d\n"]"#), json!(["\u{fffd}\n"]));
    }

    #[test]
    fn an_unknown_escape_becomes_the_replacement_character() {
        assert_eq!(
            repaired(r#"["\x41","\u12","a\u00zz","\'"]"#),
            json!(["\u{fffd}x41", "\u{fffd}u12", "a\u{fffd}u00zz", "\u{fffd}'"])
        );
    }

    #[test]
    fn invalid_numbers_become_null() {
        assert_eq!(
            repaired(r#"{"id":7,"n":1e999,"m":[-1e999,NaN,-Infinity,007,0x1F,1_000,.5,2.5]}"#),
            json!({"id": 7, "n": null, "m": [null, null, null, null, null, null, null, 2.5]})
        );
    }

    #[test]
    fn a_value_below_the_maximum_depth_becomes_null_and_the_rest_is_kept() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [200, 1_000_000] {
            let text = format!(
                r#"{{"before":1,"nested":{},"after":"\ud83d"}}"#,
                nested(depth)
            );
            let value = repaired(&text);
            assert_eq!(value["before"], 1);
            assert_eq!(value["after"], "\u{fffd}");
            assert!(value["nested"][0][0].is_array());
            assert!(value.to_string().contains("[null]"));
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
        assert!(repaired(&objects)["a"]["a"].is_object());
        assert!(read(&nested(MAX_DEPTH)).unwrap().exact);
    }

    #[test]
    fn a_repeated_key_has_its_last_value() {
        assert_eq!(
            repaired(r#"{"a":{"password":"x","password":null}}"#),
            json!({"a": {"password": null}})
        );
        assert!(read(r#"{"a":{"b":1},"c":{"b":1}}"#).unwrap().exact);
    }

    #[test]
    fn control_characters_and_invalid_utf_8_are_parsed() {
        let value: Value = from_body(b"\xef\xbb\xbf{\"a\":\"x\ny\0\xff\",\"b\":1}").unwrap();
        assert_eq!(value, json!({"a": "x\ny\u{0}\u{fffd}", "b": 1}));
    }

    #[test]
    fn truncated_text_and_other_text_are_refused() {
        for text in [
            "",
            "{",
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a""#,
            "[1,]",
            "{1}",
            "yes",
            "[1] 2",
        ] {
            assert_eq!(read(text), None, "{text}");
            assert!(from_body::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = from_body::<Value>(&bytes);
        }

        #[test]
        fn a_repaired_value_is_valid_json(text in r#"[\[\]{},:"\\ud83e9.0-9a\n-]{0,40}"#) {
            if let Some(lenient) = read(&text) {
                let again = read(&lenient.value.to_string()).unwrap();
                proptest::prop_assert_eq!(again.value, lenient.value);
            }
        }
    }
}
