//! Text from outside on its way to a person: what would steer a terminal, or hide or reorder what is read, is shown
//! as an escape (`\n`, `\u{1b}`) instead of being done.
//!
//! ```text
//! record, server message, file ─▶ escape ─▶ cells, log fields, progress lines, error lines
//!                              └───────────▶ csv, json, parquet: as they are
//! ```
//!
//! Anyone who can push or comment controls names, titles and messages. bitlake escapes every text that it writes for
//! people: `cli::output` and `cli::rows` for stdout, `telemetry` for logs, `progress` for bars, `cli::main` for errors.

use std::borrow::Cow;

/// Return `text` on one line, with every character escaped that could control a terminal.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_except(text, None)
}

/// Return `text` like [`escape`], but keep line ends, which are bitlake's own.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_except(text, Some('\n'))
}

fn escape_except(text: &str, kept: Option<char>) -> Cow<'_, str> {
    if text
        .chars()
        .all(|c| Some(c) == kept || !is_hazardous(c) && !is_joiner(c))
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut joins = || is_joinable(before) && is_joinable(chars.peek().copied());
        let is_shown = Some(c) == kept || !is_hazardous(c) && (!is_joiner(c) || joins());
        match is_shown {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
        before = Some(c);
    }
    Cow::Owned(shown)
}

/// Return whether `c` is a control character, a line separator, or changes the direction of text, or has no width.
fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' | '\u{200e}' | '\u{200f}' // direction marks
            | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' // no width
            | '\u{2028}' | '\u{2029}' // line and paragraph separator
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' // embeddings, overrides, isolates
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
            | '\u{e0000}'..='\u{e007f}') // tags
}

/// Return whether `c` is a zero-width joiner or non-joiner, which emoji and several scripts need.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Return whether a joiner is legitimate next to `c`.
fn is_joinable(c: Option<char>) -> bool {
    c.is_some_and(|c| !c.is_ascii() && !is_joiner(c) && !is_hazardous(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_kept() {
        for (text, expected) in [
            ("acme/web", "acme/web"),
            ("größer 日本 👍🏽 C:\\new", "größer 日本 👍🏽 C:\\new"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
            ("a\u{2028}b\u{2029}\u{85}", "a\\u{2028}b\\u{2029}\\u{85}"),
            ("admin\u{202e}gpj.exe", "admin\\u{202e}gpj.exe"),
            ("ad\u{200b}min", "ad\\u{200b}min"),
            ("ad\u{200d}min", "ad\\u{200d}min"),
            ("👩\u{200d}💻", "👩\u{200d}💻"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(escape_lines("a\nb\u{1b}c\n"), "a\nb\\u{1b}c\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_control_character_remains_and_escaping_is_idempotent(text in any::<String>()) {
            let shown = escape(&text);
            prop_assert!(!shown.chars().any(is_hazardous));
            prop_assert_eq!(escape(&shown), shown.as_ref());
        }
    }
}
