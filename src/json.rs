//! Reads JSON that is not quite JSON, because one odd value must not cost a record, nor one record its page.
//!
//! | in the text | read as |
//! |---|---|
//! | half a surrogate pair (`\ud83d` alone, pairs the wrong way round), an escape that does not exist | U+FFFD |
//! | bytes that are no UTF-8 | U+FFFD |
//! | a control character as it is, inside a string | the character |
//! | a number out of range (`1e999`) or misspelt (`NaN`, `-Infinity`, `007`) | null |
//! | what is nested deeper than serde_json reads | null, from [`DEEPEST`] on |
//! | a key that repeats | its last value |
//!
//! Text that is JSON is read once, by serde_json; the repair looks only at what that refuses.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Objects and lists inside each other that a repair leaves: less than serde_json reads, so that the rest can be read.
const DEEPEST: usize = 100;

/// A value, and whether it says just what the text does.
#[derive(Debug, PartialEq)]
pub(crate) struct Lenient {
    pub(crate) value: Value,
    /// `false` where something was repaired or a key repeats: the text holds more than the value.
    pub(crate) exact: bool,
}

/// Reads a text. `None` for one that is no JSON even so.
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

/// Reads the body of a reply as `T`.
///
/// # Errors
/// Those of serde_json for the body as it came, where the repair does not help.
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

/// Makes a value as serde_json does, and notices keys that repeat.
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

/// The text with each token that serde_json refuses made into one that it takes. Walks the tokens without recursion; the
/// structure is not looked at.
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
    fn token(&mut self, first: char) {
        match first {
            '"' => self.string(),
            '{' | '[' => {
                self.depth += 1;
                if self.depth == DEEPEST + 1 {
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
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Nothing of what is nested too deeply.
    fn put(&mut self, token: &str) {
        if self.depth <= DEEPEST {
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
        if let Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') = self.rest[1..].chars().next()
        {
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

/// The code unit that `text` begins with: `\u0041`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// A token that is no string and no bracket.
fn scalar(word: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Value>(word) {
        Ok(_) => Cow::Borrowed(word),
        Err(_) if is_numeric(word) => Cow::Borrowed("null"),
        // Left to the parser to refuse.
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
    fn json_is_read_as_it_is() {
        let text =
            r#"{"a":[1,-2.5,18446744073709551615,true,null,"\u0000\ud83d\ude00\/"],"b":{"a":1}}"#;
        let read = read(text).unwrap();
        assert!(read.exact);
        assert_eq!(read.value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn half_a_surrogate_pair_is_the_replacement_character_in_values_and_keys() {
        assert_eq!(
            repaired(r#"{"a":"x\ud83dy","b\udc00":"\ude00\ud83d","c":"\ud83d\ud83d\ude00"}"#),
            json!({"a": "x\u{fffd}y", "b\u{fffd}": "\u{fffd}\u{fffd}", "c": "\u{fffd}😀"})
        );
        assert_eq!(repaired(r#"["\ud83d"]"#), json!(["\u{fffd}"]));
        assert_eq!(repaired(r#"["\ud83d\n"]"#), json!(["\u{fffd}\n"]));
    }

    #[test]
    fn an_escape_that_does_not_exist_costs_itself() {
        assert_eq!(
            repaired(r#"["\x41","\u12","a\u00zz","\'"]"#),
            json!(["\u{fffd}x41", "\u{fffd}u12", "a\u{fffd}u00zz", "\u{fffd}'"])
        );
    }

    #[test]
    fn numbers_out_of_range_are_null() {
        assert_eq!(
            repaired(r#"{"id":7,"n":1e999,"m":[-1e999,NaN,-Infinity,007,0x1F,1_000,.5,2.5]}"#),
            json!({"id": 7, "n": null, "m": [null, null, null, null, null, null, null, 2.5]})
        );
    }

    #[test]
    fn what_is_nested_too_deeply_is_null_and_the_rest_stays() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [200, 1_000_000] {
            let text = format!(r#"{{"before":1,"deep":{},"after":"\ud83d"}}"#, deep(depth));
            let value = repaired(&text);
            assert_eq!(value["before"], 1);
            assert_eq!(value["after"], "\u{fffd}");
            assert!(value["deep"][0][0].is_array());
            assert!(value.to_string().contains("[null]"));
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
        assert!(repaired(&objects)["a"]["a"].is_object());
        assert!(read(&deep(DEEPEST)).unwrap().exact);
    }

    #[test]
    fn of_a_key_that_repeats_the_last_value_counts() {
        assert_eq!(
            repaired(r#"{"a":{"password":"x","password":null}}"#),
            json!({"a": {"password": null}})
        );
        assert!(read(r#"{"a":{"b":1},"c":{"b":1}}"#).unwrap().exact);
    }

    #[test]
    fn control_characters_and_bytes_that_are_no_text_are_read() {
        let value: Value = from_body(b"\xef\xbb\xbf{\"a\":\"x\ny\0\xff\",\"b\":1}").unwrap();
        assert_eq!(value, json!({"a": "x\ny\u{0}\u{fffd}", "b": 1}));
    }

    #[test]
    fn what_is_cut_short_or_no_json_is_refused() {
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
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = from_body::<Value>(&bytes);
        }

        #[test]
        fn what_was_repaired_is_json(text in r#"[\[\]{},:"\\ud83e9.0-9a\n-]{0,40}"#) {
            if let Some(lenient) = read(&text) {
                let again = read(&lenient.value.to_string()).unwrap();
                proptest::prop_assert_eq!(again.value, lenient.value);
            }
        }
    }
}
