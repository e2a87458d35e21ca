//! Numbers, times and texts as the page writes them.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use crate::escape::escape;

/// The longest text of a cell, in characters. Bitbucket's titles have at most 255.
const LONGEST: usize = 300;
/// From this many hours on, a duration is also given in days.
const MANY_HOURS: f64 = 48.0;

/// Return a figure with one decimal, or a dash.
pub(super) fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

/// Return a figure with its unit: `70.6 h`, `10.1 %`, `2.2 per week`; a dash if there is none.
pub(super) fn with_unit(value: Option<f64>, unit: &str) -> String {
    match value {
        Some(value) => format!("{value:.1}\u{a0}{}", unit.replace(' ', "\u{a0}")),
        None => "–".to_owned(),
    }
}

/// Return a long duration in days, for a duration in hours.
pub(super) fn in_days(value: Option<f64>, unit: &str) -> Option<String> {
    value
        .filter(|hours| unit == "h" && *hours >= MANY_HOURS)
        .map(|hours| format!("{:.1}\u{a0}days", hours / 24.0))
}

/// Return an instant to the minute, in the time zone of the project.
pub(super) fn local(time: Option<DateTime<Utc>>, zone: Tz) -> String {
    time.map_or_else(String::new, |time| {
        let local = time.with_timezone(&zone);
        local.format("%Y-%m-%d\u{a0}%H:%M").to_string()
    })
}

/// Return an instant as a date, in the time zone of the project.
pub(super) fn local_date(time: Option<DateTime<Utc>>, zone: Tz) -> String {
    time.map_or_else(String::new, |time| {
        time.with_timezone(&zone).format("%Y-%m-%d").to_string()
    })
}

/// Return a text from Bitbucket on one line, with control and hiding characters escaped, and cut to the length of a cell.
pub(super) fn outside(text: &str) -> Cow<'_, str> {
    let text = escape(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => text,
    }
}

/// Return a link to `url` with a text from Bitbucket; the text alone if `url` is not a web address.
pub(super) fn link(url: &str, text: &str) -> Markup {
    let text = outside(text);
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    html! {
        @if is_web { a href=(url) rel="noreferrer" { bdi { (text) } } }
        @else { bdi { (text) } }
    }
}

/// Return the month of a label such as `2026-05`.
pub(super) fn month_name(label: &str) -> Option<&'static str> {
    const NAMES: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month) = label.split_once('-')?;
    let number: usize = month.parse().ok().filter(|_| year.len() == 4)?;
    NAMES.get(number.checked_sub(1)?).copied()
}

/// Return a period for people: `May 2026` for `2026-05`; other labels as they are.
pub(super) fn period(label: &str) -> String {
    let year = label.split('-').next().unwrap_or_default();
    month_name(label).map_or_else(|| label.to_owned(), |month| format!("{month}\u{a0}{year}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_names_and_weeks_keep_their_labels() {
        assert_eq!(period("2026-05"), "May\u{a0}2026");
        for label in [
            "2026-W05",
            "2026-13",
            "2026-00",
            "week of 2026-05-04",
            "all",
            "",
        ] {
            assert_eq!(period(label), label);
        }
    }

    #[test]
    fn only_web_addresses_become_links_and_texts_are_escaped() {
        let hostile = "<script>alert(\"1\")</script>'\u{202e}";
        let markup = link("https://example.org/?a=1&b=\"2\"", hostile).into_string();
        assert!(
            !markup.contains("<script>") && !markup.contains('\u{202e}'),
            "{markup}"
        );
        assert!(
            markup.contains("href=\"https://example.org/?a=1&amp;b=&quot;2&quot;\""),
            "{markup}"
        );
        for url in ["javascript:alert(1)", "data:text/html,x", "", " https://x"] {
            assert!(!link(url, "x").into_string().contains("href"), "{url}");
        }
    }

    #[test]
    fn a_very_long_text_is_cut() {
        let long = "ä".repeat(5000);
        assert_eq!(outside(&long).chars().count(), LONGEST + 1);
        assert_eq!(outside("short"), "short");
    }

    #[test]
    fn a_missing_figure_is_a_dash() {
        assert_eq!(with_unit(None, "h"), "–");
        assert_eq!(with_unit(Some(2.25), "per week"), "2.2\u{a0}per\u{a0}week");
        assert_eq!(in_days(Some(72.0), "h").as_deref(), Some("3.0\u{a0}days"));
        assert_eq!(in_days(Some(72.0), "%"), None);
    }
}
