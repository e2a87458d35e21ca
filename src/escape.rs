//! Text from outside on its way to a person: what would steer a terminal, or hide or reorder what is read, is shown
//! as an escape (`\n`, `\u{1b}`) instead of being done.
//!
//! ```text
//! record, server message, file ─▶ escape ─▶ cells, log fields, progress lines, error lines
//!                              └───────────▶ csv, json, parquet: as they are
//! ```
//!
//! Names, titles and messages come from whoever may push or comment. Everything that bitlake writes for people passes
//! here: `cli::output` and `cli::rows` for stdout, `telemetry` for logs, `progress` for bars, `cli::main` for errors.

use std::borrow::Cow;

/// `text` on one line, with nothing in it that a terminal would obey.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_except(text, None)
}

/// As [`escape`], for text whose line ends are bitlake's own.
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
        let mut joins = || joinable(before) && joinable(chars.peek().copied());
        let is_shown = Some(c) == kept || !is_hazardous(c) && (!is_joiner(c) || joins());
        match is_shown {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
        before = Some(c);
    }
    Cow::Owned(shown)
}

/// Control characters, line separators, and those that change the direction of text or have no width at all.
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

/// Zero-width joiner and non-joiner: part of emoji and of several scripts, and invisible anywhere else.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn joinable(c: Option<char>) -> bool {
    c.is_some_and(|c| !c.is_ascii() && !is_joiner(c) && !is_hazardous(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_stays() {
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
        fn nothing_hazardous_is_left_and_nothing_is_escaped_twice(text in any::<String>()) {
            let shown = escape(&text);
            prop_assert!(!shown.chars().any(is_hazardous));
            prop_assert_eq!(escape(&shown), shown.as_ref());
        }
    }
}
