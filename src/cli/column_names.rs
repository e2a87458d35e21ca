//! The two names of a column of a bundled query: a heading for people, and a name for programs.
//!
//! ```text
//! "failure rate %" ◀─ heading ── column of the query ── machine_name ─▶ failure_rate_pct
//! ```
//!
//! Both follow from the name that the query gives, so that a query may use either.

/// Return the name for CSV, JSON and Parquet: lower case, words joined by `_`, `%` as `pct`.
pub(super) fn machine_name(column: &str) -> String {
    let spelled = column
        .to_lowercase()
        .replace("'s", "")
        .replace('%', " pct ");
    let words = spelled.split(|c: char| !c.is_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_")
}

/// Return the heading for tables: words separated by blanks, `pct` as `%`.
pub(super) fn heading(column: &str) -> String {
    let words = column.split('_').filter(|word| !word.is_empty());
    let words: Vec<_> = words
        .map(|word| if word == "pct" { "%" } else { word })
        .collect();
    words.join(" ")
}

/// Return the names, with a number after each repeated name: `id`, `id_2`.
pub(super) fn unique(names: Vec<String>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::with_capacity(names.len());
    for name in &names {
        let mut free = name.clone();
        let mut n = 2;
        while taken.contains(&free) || free != *name && names.contains(&free) {
            free = format!("{name}_{n}");
            n += 1;
        }
        taken.push(free);
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::transform::reports;

    #[test]
    fn a_column_has_a_heading_for_people_and_a_name_for_machines() {
        for (column, shown, name) in [
            ("failure rate %", "failure rate %", "failure_rate_pct"),
            ("failure_rate_pct", "failure rate %", "failure_rate_pct"),
            ("for 80 % share", "for 80 % share", "for_80_pct_share"),
            (
                "DevLake's stored h",
                "DevLake's stored h",
                "devlake_stored_h",
            ),
            (
                "of those that began, open",
                "of those that began, open",
                "of_those_that_began_open",
            ),
            ("url", "url", "url"),
        ] {
            assert_eq!(
                (heading(column), machine_name(column)),
                (shown.to_owned(), name.to_owned())
            );
        }
    }

    #[test]
    fn a_doubled_name_gets_a_number() {
        let of = |names: &[&str]| unique(names.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(
            of(&["id", "id", "id_2", "id"]),
            ["id", "id_3", "id_2", "id_4"]
        );
        assert_eq!(of(&["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn no_bundled_query_has_two_columns_of_one_machine_name() {
        let quoted = regex::Regex::new(r#"AS "([^"]+)""#).unwrap();
        for (query, sql) in reports() {
            let last = sql.rsplit("\nSELECT").next().unwrap();
            let names: Vec<_> = quoted
                .captures_iter(last)
                .map(|it| machine_name(&it[1]))
                .collect();
            let different: BTreeSet<_> = names.iter().collect();
            assert_eq!(names.len(), different.len(), "{query}: {names:?}");
        }
    }
}
