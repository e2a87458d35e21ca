//! Orders tags by the version in their name.
//!
//! The order is that of SemVer 2.0, for versions of any length: missing numbers count as 0, leading zeros are ignored,
//! and a pre-release such as `2.0.0-rc.1` precedes its release. A calendar version starts with a year, and has counters
//! in the place of pre-releases: 2026.9.1.1 follows 2026.09.01. If a tag has no version, all tags are ordered by date,
//! because a mixture of both orders would produce ranges that share commits.

use std::cmp::Ordering;

use super::natural::compare_naturally;
use super::version::{TagVersion, find_version};

/// A tag by its short name, without `refs/tags/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub name: String,
    pub id: String,
    pub commit: String,
    /// Microseconds since 1970.
    pub date: Option<i64>,
}

/// Why the order of the tags of a repository may not be the intended one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OrderWarning {
    /// `tags` tags have no version, such as `example`, so all are ordered by date.
    NoVersion { tags: usize, example: String },
    /// SemVer puts `strict` at a place where the `natural` order has another tag.
    NumbersInWords { strict: String, natural: String },
}

/// Sort tags in the `order` of the rules. `reverse semver` and `natural` put the newest first, and the later one of two
/// equal versions. An unknown order sorts by date, latest first. Return a warning about the order of the first
/// `compared` tags, if there is one.
pub(super) fn sort(tags: &mut [Tag], order: &str, compared: usize) -> Option<OrderWarning> {
    match order {
        "alphabetically" => tags.sort_by(|a, b| a.name.cmp(&b.name)),
        "reverse alphabetically" => tags.sort_by(|a, b| b.name.cmp(&a.name)),
        "semver" => {
            let warning = sort_versions(tags, compared);
            tags.reverse();
            return warning;
        }
        "reverse semver" => return sort_versions(tags, compared),
        "natural" => sort_natural(tags),
        _ => tags.sort_by(by_date),
    }
    None
}

fn sort_versions(tags: &mut [Tag], compared: usize) -> Option<OrderWarning> {
    let without = tags.iter().filter(|tag| find_version(&tag.name).is_none());
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
    let mut pairs = tags.iter().zip(&natural).take(compared);
    let (strict, natural) = pairs.find(|(strict, natural)| strict != natural)?;
    Some(OrderWarning::NumbersInWords {
        strict: strict.name.clone(),
        natural: natural.name.clone(),
    })
}

/// Sort by version if every tag has one, else by name in natural order.
fn sort_natural(tags: &mut [Tag]) {
    match tags.iter().all(|tag| find_version(&tag.name).is_some()) {
        true => newest_first(tags, TagVersion::cmp_natural),
        false => tags.sort_by(|a, b| compare_naturally(&b.name, &a.name)),
    }
}

fn newest_first(tags: &mut [Tag], compare: fn(&TagVersion, &TagVersion) -> Ordering) {
    let mut keyed: Vec<_> = tags
        .iter()
        .map(|tag| (find_version(&tag.name), tag.clone()))
        .collect();
    keyed.sort_by(|(left, one), (right, other)| {
        let by_version = match (left, right) {
            (Some(left), Some(right)) => compare(right, left),
            (left, right) => right.is_some().cmp(&left.is_some()),
        };
        by_version
            .then_with(|| other.date.cmp(&one.date))
            .then_with(|| compare_naturally(&other.name, &one.name))
    });
    for (place, (_, tag)) in tags.iter_mut().zip(keyed) {
        *place = tag;
    }
}

/// Compare by date, latest first, then tags without a date; by name for equal dates.
fn by_date(a: &Tag, b: &Tag) -> Ordering {
    b.date.cmp(&a.date).then_with(|| a.name.cmp(&b.name))
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
    fn calendar_versions_are_ordered_by_their_numbers() {
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
    fn equal_versions_are_ordered_by_date_then_by_name() {
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
    fn one_tag_without_a_version_orders_all_tags_by_date() {
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
    fn natural_order_compares_the_numbers_in_words() {
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
    fn a_warning_names_where_the_orders_differ_among_the_compared_tags() {
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
    fn alphabetical_order_ignores_numbers() {
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
