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

mod document;
mod keys;
mod repair;

pub(crate) use document::{JsonDocument, JsonKey, JsonValue};
pub(crate) use keys::CommonKey;

use serde::de::DeserializeOwned;

use repair::repair;

/// A document, and whether it contains everything that the text does.
#[derive(Debug)]
pub(crate) struct Lenient {
    pub(crate) document: JsonDocument,
    /// `false` if something was repaired or a key is repeated, so that the text contains more than the document.
    pub(crate) is_exact: bool,
}

/// Parse a text; `None` if it is not JSON even after a repair.
pub(crate) fn read(text: &str) -> Option<Lenient> {
    let (document, is_valid) = match JsonDocument::parse(text) {
        Ok(document) => (document, true),
        Err(_) => (JsonDocument::parse(&repair(text)).ok()?, false),
    };
    let repeats = document.repeats_keys();
    Some(Lenient {
        is_exact: is_valid && !repeats,
        document: match repeats {
            true => JsonDocument::from(&document.root().to_tree()),
            false => document,
        },
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::repair::MAX_DEPTH;
    use super::*;

    fn repaired(text: &str) -> Value {
        let read = read(text).unwrap();
        assert!(!read.is_exact, "{text}");
        read.document.root().to_tree()
    }

    #[test]
    fn valid_json_is_parsed_exactly() {
        let text =
            r#"{"a":[1,-2.5,18446744073709551615,true,null,"\u0000\ud83d\ude00\/"],"b":{"a":1}}"#;
        let read = read(text).unwrap();
        assert!(read.is_exact);
        assert_eq!(
            read.document.root().to_tree(),
            serde_json::from_str::<Value>(text).unwrap()
        );
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
        assert!(read(&nested(MAX_DEPTH)).unwrap().is_exact);
    }

    #[test]
    fn a_repeated_key_has_its_last_value() {
        assert_eq!(
            repaired(r#"{"a":{"password":"x","password":null}}"#),
            json!({"a": {"password": null}})
        );
        assert!(read(r#"{"a":{"b":1},"c":{"b":1}}"#).unwrap().is_exact);
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
            assert!(read(text).is_none(), "{text}");
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
                let value = lenient.document.root();
                let again = read(&value.to_string()).unwrap();
                proptest::prop_assert!(again.is_exact);
                proptest::prop_assert_eq!(again.document.root().to_tree(), value.to_tree());
            }
        }
    }
}
