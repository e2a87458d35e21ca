//! The version in the name of a tag.
//!
//! ```text
//! v2.0.0, app/v2.0.0, release-2.0.0 ─▶ 2.0.0     v2.0 ─▶ 2.0     v2 ─▶ 2
//! 2026.09.01.1, 2026.9.1-1, 2026-09-01.1 ─▶ 2026.9.1.1
//! nightly, release-2024, 1.2.x ─▶ no version
//! ```

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease};

use super::natural::{compare_naturally, is_number};

/// A version. Build metadata after `+` is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagVersion {
    numbers: Vec<u128>,
    pre: Prerelease,
}

impl TagVersion {
    /// Compare as SemVer 2.0 does.
    pub(super) fn cmp_strict(&self, other: &Self) -> Ordering {
        self.cmp_numbers(other)
            .then_with(|| self.pre.cmp(&other.pre))
    }

    /// Compare like [`cmp_strict`](Self::cmp_strict), but with the numbers inside pre-release words as numbers.
    pub(super) fn cmp_natural(&self, other: &Self) -> Ordering {
        let by_parts = || {
            let mut parts = other.pre.split('.');
            for part in self.pre.split('.') {
                let order = match parts.next() {
                    Some(other) => compare_naturally(part, other),
                    None => Ordering::Greater,
                };
                if order.is_ne() {
                    return order;
                }
            }
            match parts.next() {
                Some(_) => Ordering::Less,
                None => Ordering::Equal,
            }
        };
        self.cmp_numbers(other)
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(by_parts)
    }

    fn cmp_numbers(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.numbers, &other.numbers);
        let number = |of: &[u128], at| of.get(at).copied().unwrap_or_default();
        (0..one.len().max(two.len()))
            .map(|at| number(one, at).cmp(&number(two, at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Find the version in the name of a tag, after an optional prefix and an optional `v`.
pub(super) fn find_version(name: &str) -> Option<TagVersion> {
    let mut before = None;
    for (at, letter) in name.char_indices() {
        let begins = letter.is_ascii_digit()
            && before.is_none_or(|before: char| !before.is_ascii_digit() && before != '.');
        if begins
            && let Some(prefix) = prefix(&name[..at])
            && let Some(version) = parse_version(&name[at..], prefix.is_empty())
        {
            return Some(version);
        }
        before = Some(letter);
    }
    None
}

/// Return the prefix of a version without its `v`, if it is valid: nothing, a word, or any text that ends in a
/// separator.
fn prefix(before: &str) -> Option<&str> {
    let stripped = before.strip_suffix(['v', 'V']).unwrap_or(before);
    let ends = |text: &str| text.ends_with(|last: char| !last.is_alphanumeric());
    let is_word = |text: &str| text.chars().all(char::is_alphabetic);
    match stripped {
        text if text.is_empty() || ends(text) => Some(text),
        _ if is_word(before) => Some(before),
        _ => None,
    }
}

/// Parse a version. A single number is one only if it is the whole name: `release-2024` is not a version.
fn parse_version(text: &str, alone: bool) -> Option<TagVersion> {
    let (text, build) = text.split_once('+').unwrap_or((text, ""));
    BuildMetadata::new(build).ok()?;
    if text.ends_with('-') {
        return None;
    }
    let (date, rest) = dashed_date(text).unwrap_or((Vec::new(), text));
    let (core, pre) = rest.split_once('-').unwrap_or((rest, ""));
    let core = match date.is_empty() {
        true => Some(core),
        false if core.is_empty() => None,
        false => Some(core.strip_prefix('.')?),
    };
    let mut numbers = date;
    for part in core.into_iter().flat_map(|core| core.split('.')) {
        numbers.push(part.parse().ok().filter(|_| is_number(part))?);
    }
    if let [number] = numbers[..]
        && !(alone && (pre.is_empty() || is_compact_date(number)))
    {
        return None;
    }
    let counters: Vec<&str> = pre.split(['.', '-']).collect();
    if is_calendar(&numbers) && counters.iter().all(|part| is_number(part)) {
        for counter in counters {
            numbers.push(counter.parse().ok()?);
        }
        let pre = Prerelease::EMPTY;
        return Some(TagVersion { numbers, pre });
    }
    let parts = pre.split('.').map(|part| match is_number(part) {
        // SemVer rejects leading zeros.
        true => match part.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        },
        false => part,
    });
    let pre = Prerelease::new(&parts.collect::<Vec<_>>().join(".")).ok()?;
    Some(TagVersion { numbers, pre })
}

/// Parse a date such as `2026-09-01` at the start of `text`, and return the rest too.
fn dashed_date(text: &str) -> Option<(Vec<u128>, &str)> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let day = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (day, rest) = rest.split_at(day);
    let date = [year, month, day].map(|part| part.parse().ok().filter(|_| is_number(part)));
    let [Some(year), Some(month), Some(day)] = date else {
        return None;
    };
    is_date(year, month, day).then(|| (vec![year, month, day], rest))
}

fn is_date(year: u128, month: u128, day: u128) -> bool {
    YEARS.contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Return whether a number is a date such as 20260901.
fn is_compact_date(number: u128) -> bool {
    is_date(number / 10_000, number / 100 % 100, number % 100)
}

/// The years that a calendar version can start with.
const YEARS: std::ops::RangeInclusive<u128> = 1990..=2199;

fn is_calendar(numbers: &[u128]) -> bool {
    numbers
        .first()
        .is_some_and(|first| YEARS.contains(first) || is_compact_date(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(version: &TagVersion) -> String {
        let numbers: Vec<_> = version.numbers.iter().map(u128::to_string).collect();
        match version.pre.is_empty() {
            true => numbers.join("."),
            false => format!("{}-{}", numbers.join("."), version.pre),
        }
    }

    #[test]
    fn a_version_is_found_after_its_prefix() {
        for (name, expected) in [
            ("1.2.3", Some("1.2.3")),
            ("v1.2.3", Some("1.2.3")),
            ("V1.2", Some("1.2")),
            ("v1", Some("1")),
            ("7", Some("7")),
            ("release-1.2.3", Some("1.2.3")),
            ("release1.2.3", Some("1.2.3")),
            ("app/v1.2.3", Some("1.2.3")),
            ("checkout-api2-v1.0.0", Some("1.0.0")),
            ("k8s-1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("v1.2-rc1", Some("1.2-rc1")),
            ("1.2.3+build.5", Some("1.2.3")),
            ("1.2.3-rc.1+5", Some("1.2.3-rc.1")),
            ("1.2.3-rc.01", Some("1.2.3-rc.1")),
            ("1.2.3-4", Some("1.2.3-4")),
            ("v1.02.3", Some("1.2.3")),
            ("1.2.3.4", Some("1.2.3.4")),
            (
                "v99999999999999999999.0.0",
                Some("99999999999999999999.0.0"),
            ),
            ("2024.05.01", Some("2024.5.1")),
            ("2024.05.01.2", Some("2024.5.1.2")),
            ("2024.05.01-2", Some("2024.5.1.2")),
            ("2024.05.01-rc.2", Some("2024.5.1-rc.2")),
            ("2024-05-01", Some("2024.5.1")),
            ("release-2024-05-01", Some("2024.5.1")),
            ("2024-05-01.2", Some("2024.5.1.2")),
            ("2024-05-01-2", Some("2024.5.1.2")),
            ("20240501", Some("20240501")),
            ("20240501.2", Some("20240501.2")),
            ("20240501-2", Some("20240501.2")),
            ("release-2024", None),
            ("2024-13-01x", None),
            ("nightly", None),
            ("nightly-20240501", None),
            ("v1-rc1", None),
            ("v1.2.3-", None),
            ("v1.2.3-ä", None),
            ("v1..2", None),
            ("v1.2.x", None),
            ("2024-05-01x", None),
            ("v", None),
            ("", None),
        ] {
            let found = find_version(name).as_ref().map(shown);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }
}
