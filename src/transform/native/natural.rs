//! The natural order of text: digits compare as numbers.

use std::cmp::Ordering;

/// Compare two texts with digits as numbers: `beta12` comes after `beta2`. Letter case counts only if the texts are
/// equal otherwise.
pub(super) fn compare_naturally(a: &str, b: &str) -> Ordering {
    let mut others = runs(b);
    for one in runs(a) {
        let Some(other) = others.next() else {
            return Ordering::Greater;
        };
        let order = match (is_number(one), is_number(other)) {
            (true, true) => magnitude(one).cmp(&magnitude(other)),
            _ => one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()),
        };
        if order.is_ne() {
            return order;
        }
    }
    match others.next() {
        Some(_) => Ordering::Less,
        None => a.cmp(b),
    }
}

/// Split a text into runs of digits and runs of other characters.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.starts_with(|first: char| first.is_ascii_digit());
        let end = rest.find(|letter: char| letter.is_ascii_digit() != digits);
        let (run, remaining) = rest.split_at(end.unwrap_or(rest.len()));
        rest = remaining;
        (!run.is_empty()).then_some(run)
    })
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Return a key that orders digits as numbers of any size: without leading zeros, the longer is the greater.
fn magnitude(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}
