//! The order of tags: by the version in a tag's name.
//!
//! ```text
//! v2.0.0, app/v2.0.0, release-2.0.0 ─▶ 2.0.0     v2.0 ─▶ 2.0     v2 ─▶ 2     2.0.0-rc.1 before 2.0.0
//! 2026.09.01.1, 2026.9.1-1, 2026-09-01.1 ─▶ 2026.9.1.1, after 2026.09.01
//! nightly, release-2024, 1.2.x ─▶ no version
//! ```
//!
//! The order is SemVer 2.0's, for any number of numbers: those that are missing count as 0, and zeros in front count for
//! nothing. A calendar version begins with a year and has counters where SemVer sees pre-releases. Where a tag has no
//! version all tags are by date, because a half that is by version and a half that is by date make ranges that overlap.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease};

/// A tag by its short name, without `refs/tags/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub name: String,
    pub id: String,
    pub commit: String,
    /// In microseconds.
    pub date: Option<i64>,
}

/// Why the order of a repository's tags may not be what its people mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OrderWarning {
    /// So many tags have no version, this one for example: all are by date.
    NoVersion { tags: usize, example: String },
    /// SemVer compares words letter by letter; by the numbers in them `natural` would stand where `strict` stands.
    NumbersInWords { strict: String, natural: String },
}

/// Puts tags in the order that the rules name; `reverse semver` and `natural` have the newest first, and of equal
/// versions the later one. A word that is no order leaves them by date, the latest first. Doubts are about the `first`
/// so many tags of the order: the others are not compared.
pub(super) fn sort(tags: &mut [Tag], order: &str, first: usize) -> Option<OrderWarning> {
    match order {
        "alphabetically" => tags.sort_by(|a, b| a.name.cmp(&b.name)),
        "reverse alphabetically" => tags.sort_by(|a, b| b.name.cmp(&a.name)),
        "semver" => {
            let warning = sort_versions(tags, first);
            tags.reverse();
            return warning;
        }
        "reverse semver" => return sort_versions(tags, first),
        "natural" => sort_natural(tags),
        _ => tags.sort_by(by_date),
    }
    None
}

fn sort_versions(tags: &mut [Tag], first: usize) -> Option<OrderWarning> {
    let without = tags.iter().filter(|tag| version(&tag.name).is_none());
    let without: Vec<&Tag> = without.collect();
    if let Some(example) = without.first() {
        let (tags_without, example) = (without.len(), example.name.clone());
        tags.sort_by(by_date);
        return Some(OrderWarning::NoVersion {
            tags: tags_without,
            example,
        });
    }
    let mut natural = tags.to_vec();
    newest_first(&mut natural, TagVersion::cmp_natural);
    newest_first(tags, TagVersion::cmp_strict);
    let mut pairs = tags.iter().zip(&natural).take(first);
    let (strict, natural) = pairs.find(|(strict, natural)| strict != natural)?;
    Some(OrderWarning::NumbersInWords {
        strict: strict.name.clone(),
        natural: natural.name.clone(),
    })
}

/// By version where every tag has one, else by the names and the numbers in them.
fn sort_natural(tags: &mut [Tag]) {
    match tags.iter().all(|tag| version(&tag.name).is_some()) {
        true => newest_first(tags, TagVersion::cmp_natural),
        false => tags.sort_by(|a, b| natural(&b.name, &a.name)),
    }
}

fn newest_first(tags: &mut [Tag], compare: fn(&TagVersion, &TagVersion) -> Ordering) {
    let mut keyed: Vec<_> = tags
        .iter()
        .map(|tag| (version(&tag.name), tag.clone()))
        .collect();
    keyed.sort_by(|(left, one), (right, other)| {
        let by_version = match (left, right) {
            (Some(left), Some(right)) => compare(right, left),
            (left, right) => right.is_some().cmp(&left.is_some()),
        };
        by_version
            .then_with(|| other.date.cmp(&one.date))
            .then_with(|| natural(&other.name, &one.name))
    });
    for (place, (_, tag)) in tags.iter_mut().zip(keyed) {
        *place = tag;
    }
}

/// The latest first, then those without a date; by name within.
fn by_date(a: &Tag, b: &Tag) -> Ordering {
    b.date.cmp(&a.date).then_with(|| a.name.cmp(&b.name))
}

/// Text with numbers in it: `beta12` after `beta2`. Letter case counts only between texts that are equal without it.
fn natural(a: &str, b: &str) -> Ordering {
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

/// The digits and what is between them, in turn.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.starts_with(|first: char| first.is_ascii_digit());
        let end = rest.find(|letter: char| letter.is_ascii_digit() != digits);
        let (run, left) = rest.split_at(end.unwrap_or(rest.len()));
        rest = left;
        (!run.is_empty()).then_some(run)
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits as a number of any size: without the zeros in front, the longer the greater.
fn magnitude(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

/// The version in a tag's name. What is behind a `+` says how it was built and is no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagVersion {
    numbers: Vec<u128>,
    pre: Prerelease,
}

impl TagVersion {
    fn cmp_strict(&self, other: &Self) -> Ordering {
        self.cmp_numbers(other)
            .then_with(|| self.pre.cmp(&other.pre))
    }

    /// The same, but for numbers inside the words of a pre-release.
    fn cmp_natural(&self, other: &Self) -> Ordering {
        let by_parts = || {
            let mut parts = other.pre.split('.');
            for part in self.pre.split('.') {
                let order = match parts.next() {
                    Some(other) => natural(part, other),
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

/// The version in a tag's name, behind an optional `v` and an optional prefix.
pub(super) fn version(name: &str) -> Option<TagVersion> {
    let mut before = None;
    for (at, letter) in name.char_indices() {
        let begins = letter.is_ascii_digit()
            && before.is_none_or(|before: char| !before.is_ascii_digit() && before != '.');
        if begins
            && let Some(prefix) = prefix(&name[..at])
            && let Some(version) = lenient(&name[at..], prefix.is_empty())
        {
            return Some(version);
        }
        before = Some(letter);
    }
    None
}

/// What stands before the version and its `v`: nothing, a word, or anything that ends in a separator.
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

/// A single number is a version only when it is all there is: `release-2024` is none.
fn lenient(text: &str, alone: bool) -> Option<TagVersion> {
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
        // SemVer refuses zeros in front.
        true => match part.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        },
        false => part,
    });
    let pre = Prerelease::new(&parts.collect::<Vec<_>>().join(".")).ok()?;
    Some(TagVersion { numbers, pre })
}

/// `2026-09-01` at the beginning, and what is behind it.
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

/// 20260901.
fn is_compact_date(number: u128) -> bool {
    is_date(number / 10_000, number / 100 % 100, number % 100)
}

/// What a calendar version begins with.
const YEARS: std::ops::RangeInclusive<u128> = 1990..=2199;

fn is_calendar(numbers: &[u128]) -> bool {
    numbers
        .first()
        .is_some_and(|first| YEARS.contains(first) || is_compact_date(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, date: Option<i64>) -> Tag {
        let (id, commit) = (String::new(), String::new());
        Tag {
            name: name.to_owned(),
            id,
            commit,
            date,
        }
    }

    fn sorted(order: &str, names: &[&str]) -> Vec<String> {
        let mut tags: Vec<_> = names.iter().map(|name| tag(name, None)).collect();
        sort(&mut tags, order, usize::MAX);
        tags.into_iter().map(|tag| tag.name).collect()
    }

    fn warning(order: &str, names: &[&str]) -> Option<OrderWarning> {
        let mut tags: Vec<_> = names.iter().map(|name| tag(name, None)).collect();
        sort(&mut tags, order, usize::MAX)
    }

    fn shown(version: &TagVersion) -> String {
        let numbers: Vec<_> = version.numbers.iter().map(u128::to_string).collect();
        match version.pre.is_empty() {
            true => numbers.join("."),
            false => format!("{}-{}", numbers.join("."), version.pre),
        }
    }

    #[test]
    fn a_version_is_found_behind_its_prefix() {
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
            let found = version(name).as_ref().map(shown);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_newest_version_is_first_and_a_release_above_its_candidates() {
        let names = [
            "v1.9.0",
            "v1.10.0-rc.2",
            "v1.10.0",
            "v1.10.0-rc.10",
            "v1.10.0-alpha",
            "v2.0.0",
        ];
        let expected = [
            "v2.0.0",
            "v1.10.0",
            "v1.10.0-rc.10",
            "v1.10.0-rc.2",
            "v1.10.0-alpha",
            "v1.9.0",
        ];
        assert_eq!(sorted("reverse semver", &names), expected);
        assert_eq!(sorted("natural", &names), expected);
        let mut ascending = expected;
        ascending.reverse();
        assert_eq!(sorted("semver", &names), ascending);
        assert_eq!(warning("reverse semver", &names), None);
    }

    #[test]
    fn calendar_versions_are_by_their_numbers_whatever_their_length() {
        let names = [
            "2026.07.31.1",
            "2026.08.05.1",
            "2026.10.02",
            "2026.8.9.1",
            "2026.09.01.1",
            "2026.08.10.2",
            "2026.09.01",
            "2026.09.01-2",
            "2026-09-01.10",
        ];
        let expected = [
            "2026.10.02",
            "2026-09-01.10",
            "2026.09.01-2",
            "2026.09.01.1",
            "2026.09.01",
            "2026.08.10.2",
            "2026.8.9.1",
            "2026.08.05.1",
            "2026.07.31.1",
        ];
        assert_eq!(sorted("reverse semver", &names), expected);
        assert_eq!(warning("reverse semver", &names), None);
    }

    #[test]
    fn equal_versions_are_by_date_the_later_one_first_and_without_dates_by_name() {
        let mut tags = [
            tag("1.0.0+b", Some(2)),
            tag("v1.0", Some(1)),
            tag("1.0.0.0", Some(3)),
            tag("1.0.0+9", None),
            tag("1.0.0+10", None),
        ];
        let expected = ["1.0.0.0", "1.0.0+b", "v1.0", "1.0.0+10", "1.0.0+9"];
        sort(&mut tags, "reverse semver", usize::MAX);
        assert_eq!(tags.each_ref().map(|tag| tag.name.as_str()), expected);
        sort(&mut tags, "semver", usize::MAX);
        tags.reverse();
        assert_eq!(tags.each_ref().map(|tag| tag.name.as_str()), expected);
    }

    #[test]
    fn one_tag_without_a_version_puts_all_of_them_by_date() {
        let mut tags = [
            tag("nightly", None),
            tag("b", Some(1)),
            tag("a", Some(1)),
            tag("old", Some(0)),
            tag("9.9.9", Some(-1)),
            tag("0.1.0", Some(2)),
        ];
        let found = sort(&mut tags, "reverse semver", usize::MAX);
        let names = tags.each_ref().map(|tag| tag.name.as_str());
        assert_eq!(names, ["0.1.0", "a", "b", "old", "9.9.9", "nightly"]);
        let example = "nightly".to_owned();
        assert_eq!(found, Some(OrderWarning::NoVersion { tags: 4, example }));
    }

    #[test]
    fn natural_counts_the_numbers_in_words() {
        let names = ["v1.0.0", "v1.0.0-beta2", "v1.0.0-beta12", "v1.0.0-Beta3"];
        assert_eq!(
            sorted("natural", &names),
            ["v1.0.0", "v1.0.0-beta12", "v1.0.0-Beta3", "v1.0.0-beta2"]
        );
        assert_eq!(
            sorted("reverse semver", &names),
            ["v1.0.0", "v1.0.0-beta2", "v1.0.0-beta12", "v1.0.0-Beta3"]
        );
        assert_eq!(
            sorted("natural", &["build-9", "build-10", "build-010a", "Build-2"]),
            ["build-010a", "build-10", "build-9", "Build-2"]
        );
        assert_eq!(warning("natural", &names), None);
    }

    #[test]
    fn a_doubt_names_where_the_orders_of_words_differ_among_the_tags_that_count() {
        let names = ["v1.0.0", "v1.0.0-beta2", "v1.0.0-beta12"];
        let expected = OrderWarning::NumbersInWords {
            strict: "v1.0.0-beta2".to_owned(),
            natural: "v1.0.0-beta12".to_owned(),
        };
        assert_eq!(warning("reverse semver", &names), Some(expected));
        let mut tags = names.map(|name| tag(name, None));
        assert_eq!(sort(&mut tags, "reverse semver", 1), None);
    }

    #[test]
    fn the_alphabet_knows_no_numbers() {
        assert_eq!(
            sorted("alphabetically", &["v9", "v10", "v1"]),
            ["v1", "v10", "v9"]
        );
        assert_eq!(
            sorted("reverse alphabetically", &["v9", "v10", "v1"]),
            ["v9", "v10", "v1"]
        );
    }
}
