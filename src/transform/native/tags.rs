//! The order of tags: SemVer 2.0, as far as a tag's name has a version in it.
//!
//! ```text
//! v2.0.0, app/v2.0.0, release-2.0.0 ─▶ 2.0.0     v2.0 ─▶ 2.0.0     v2 ─▶ 2.0.0     2.0.0-rc.1 before 2.0.0
//! nightly, release-2024, 2024-05-01, 1.2.3.4 ─▶ no version: last, the one of the latest date first
//! ```

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version};

/// A tag by its short name, without `refs/tags/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub name: String,
    pub id: String,
    pub commit: String,
    /// In microseconds.
    pub date: Option<i64>,
}

/// Puts tags in the order that the rules name; `reverse semver` has the newest first. A word that is no order leaves
/// them by date, the latest first.
pub(super) fn sort(tags: &mut [Tag], order: &str) {
    match order {
        "alphabetically" => tags.sort_by(|a, b| a.name.cmp(&b.name)),
        "reverse alphabetically" => tags.sort_by(|a, b| b.name.cmp(&a.name)),
        "semver" => sort_versions(tags, Version::cmp_precedence),
        "reverse semver" => sort_versions(tags, |a, b| b.cmp_precedence(a)),
        _ => tags.sort_by(by_date),
    }
}

/// Those that have a version first; of equal ones by name, in either direction.
fn sort_versions(tags: &mut [Tag], compare: impl Fn(&Version, &Version) -> Ordering) {
    let mut keyed: Vec<_> = tags
        .iter()
        .map(|tag| (version(&tag.name), tag.clone()))
        .collect();
    keyed.sort_by(|(left, one), (right, other)| match (left, right) {
        (Some(left), Some(right)) => compare(left, right).then_with(|| one.name.cmp(&other.name)),
        (None, None) => by_date(one, other),
        (left, right) => left.is_none().cmp(&right.is_none()),
    });
    for (place, (_, tag)) in tags.iter_mut().zip(keyed) {
        *place = tag;
    }
}

/// The latest first, then those without a date; by name within.
fn by_date(a: &Tag, b: &Tag) -> Ordering {
    b.date.cmp(&a.date).then_with(|| a.name.cmp(&b.name))
}

/// The version in a tag's name, behind an optional `v` and an optional prefix.
pub(super) fn version(name: &str) -> Option<Version> {
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

/// `1.2` is 1.2.0. A single number is a version only when it is all there is: `release-2024` is a date.
fn lenient(text: &str, alone: bool) -> Option<Version> {
    let (text, build) = text.split_once('+').unwrap_or((text, ""));
    let (core, pre) = text.split_once('-').unwrap_or((text, ""));
    if text.ends_with('-') {
        return None;
    }
    let mut numbers = [0; 3];
    let mut count = 0;
    for part in core.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *numbers.get_mut(count)? = part.parse().ok().filter(|_| digits)?;
        count += 1;
    }
    if count == 1 && !(alone && pre.is_empty()) {
        return None;
    }
    let [major, minor, patch] = numbers;
    Some(Version {
        major,
        minor,
        patch,
        pre: Prerelease::new(pre).ok()?,
        build: BuildMetadata::new(build).ok()?,
    })
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
        sort(&mut tags, order);
        tags.into_iter().map(|tag| tag.name).collect()
    }

    #[test]
    fn a_version_is_found_behind_its_prefix() {
        for (name, expected) in [
            ("1.2.3", Some("1.2.3")),
            ("v1.2.3", Some("1.2.3")),
            ("V1.2", Some("1.2.0")),
            ("v1", Some("1.0.0")),
            ("7", Some("7.0.0")),
            ("release-1.2.3", Some("1.2.3")),
            ("release1.2.3", Some("1.2.3")),
            ("app/v1.2.3", Some("1.2.3")),
            ("checkout-api2-v1.0.0", Some("1.0.0")),
            ("k8s-1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("v1.2-rc1", Some("1.2.0-rc1")),
            ("1.2.3+build.5", Some("1.2.3+build.5")),
            ("1.2.3-rc.1+5", Some("1.2.3-rc.1+5")),
            ("v1.02.3", Some("1.2.3")),
            ("2024.05.01", Some("2024.5.1")),
            ("release-2024", None),
            ("2024-05-01", None),
            ("nightly", None),
            ("nightly-20240501", None),
            ("v1-rc1", None),
            ("1.2.3.4", None),
            ("v1.2.3-", None),
            ("v1.2.3-ä", None),
            ("v1..2", None),
            ("v1.2.x", None),
            ("v", None),
            ("", None),
            ("v99999999999999999999.0.0", None),
        ] {
            let found = version(name).map(|version| version.to_string());
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
        let mut ascending = expected;
        ascending.reverse();
        assert_eq!(sorted("semver", &names), ascending);
    }

    #[test]
    fn equal_versions_are_by_name_in_either_direction() {
        let expected = ["1.0.0", "1.0.0+b", "v1.0"];
        for order in ["semver", "reverse semver"] {
            assert_eq!(sorted(order, &["v1.0", "1.0.0+b", "1.0.0"]), expected);
        }
    }

    #[test]
    fn what_has_no_version_is_last_in_either_direction_the_latest_first() {
        for order in ["semver", "reverse semver"] {
            let mut tags = [
                tag("nightly", None),
                tag("b", Some(1)),
                tag("a", Some(1)),
                tag("old", Some(0)),
                tag("0.1.0", None),
            ];
            sort(&mut tags, order);
            let names = tags.map(|tag| tag.name);
            assert_eq!(names, ["0.1.0", "a", "b", "old", "nightly"], "{order}");
        }
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
