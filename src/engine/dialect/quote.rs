//! Quoted identifiers and string literals, which sqlparser prints as standard SQL.

use super::rules::{DialectRules, StringEscape};

/// Rewrite the quotes and escapes of `text` to those of the dialect.
pub(super) fn requote(text: &str, rules: &DialectRules) -> String {
    let quote_of = |quote: char| match quote {
        '"' => rules.identifier_quote,
        quote => quote,
    };
    let mut written = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut inside = None;
    while let Some(c) = characters.next() {
        match (inside, c) {
            (None, '\'' | '"') => {
                inside = Some(c);
                written.push(quote_of(c));
            }
            (Some('\''), '\'') if characters.peek() == Some(&'\'') => {
                characters.next();
                written.push_str(match rules.string_escape == StringEscape::Backslash {
                    true => "\\'",
                    false => "''",
                });
            }
            (Some('\''), '\\') if rules.string_escape != StringEscape::Standard => {
                written.push_str("\\\\")
            }
            (Some(quote), c) if c == quote => {
                inside = None;
                written.push(quote_of(c));
            }
            (_, c) => written.push(c),
        }
    }
    written
}
