//! Thousands of mutated inputs from outside: each gives a value or a typed error, never a panic.
//!
//! Inputs that only one module reads are tested there: git's output in `bitbucket::git`, error replies and headers in
//! `bitbucket`, SQL statements in `engine::select`, control characters in `escape`.

mod configuration;
mod outside;
mod replies;
mod sql;
mod stored;

use proptest::prelude::*;

/// Values that have broken programs before, in the common syntax of JSON and TOML.
pub const HOSTILE: [&str; 40] = [
    "null",
    "true",
    "-1",
    "0",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999999",
    "1e999",
    "-0.0",
    "nan",
    "[]",
    "{}",
    "[[]]",
    "[null, {}]",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\u001b[2J\\u202e\\n\"",
    "\"\\ud800\"",
    "\"9223372036854775807\"",
    "\"999999999999 years\"",
    "\"4294967295 weeks\"",
    "\"4294967295 days\"",
    "9999-12-31",
    "0001-01-01",
    "\"9999-12-31T23:59:59Z\"",
    "\"+262142-12-31T23:59:59.999999999Z\"",
    "\"-262143-01-01T00:00:00Z\"",
    "\"0001-01-01T00:00:00+23:59\"",
    "\"60 24 32 13 8\"",
    "\"*/0 * * * *\"",
    "\"0 0 31 2 *\"",
    "\"((((a{1000}){1000}){1000}\"",
    "\"s3://\"",
    "\"s3://bucket/../../x\"",
    "\"../../../etc/passwd\"",
    "\"acme/{a,[z-a]\"",
    "\"18446744073709551616 GiB\"",
    "\"größe/日本 👩\u{200d}💻\"",
];

/// A mutation of a text: a position (in thousandths of its length), a length, and a replacement.
pub type Mutation = (usize, usize, String);

pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let hostile = proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned);
    let deep = (
        1_usize..3_000,
        proptest::sample::select(&["[", "{", "a.", "{\"a\":", "\"", "("][..]),
    )
        .prop_map(|(n, text)| text.repeat(n));
    let inserted = prop_oneof![
        8 => hostile,
        2 => any::<String>(),
        2 => "[=\\[\\]{}\",.#\n0-9a-z]{0,6}",
        1 => deep,
    ];
    proptest::collection::vec((0_usize..1_000, 0_usize..40, inserted), 1..4)
}

/// Replace the bytes at each position, without splitting characters.
pub fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut text = text.to_owned();
    for (place, length, with) in mutations {
        let from = text.floor_char_boundary(text.len() * place / 1_000);
        // Mostly replace whole values.
        let rest = &text[from..];
        let from = from
            + rest
                .find(['=', ':'])
                .filter(|at| *at < 60)
                .map_or(0, |at| at + 1);
        let rest = &text[from..];
        let end = match length % 3 {
            0 => rest.find(['\n', ',', '}']).unwrap_or(rest.len()),
            _ => rest.floor_char_boundary(*length),
        };
        text.replace_range(from..from + end, with);
    }
    text
}
