//! Replace what serde_json refuses, so that one malformed value does not lose its record.

use std::borrow::Cow;

use serde_json::Value;

/// The nesting depth that a repair keeps, which is less than the limit of serde_json.
pub(super) const MAX_DEPTH: usize = 100;

/// Replace each token that serde_json refuses. The tokens are read without recursion, and their structure is not checked.
pub(super) fn repair(text: &str) -> String {
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
