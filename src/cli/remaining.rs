//! Texts about work that remains: hours, requests, runs.

use crate::plural::counted;

/// Format a duration in the unit that fits its size: an estimate of hours has no seconds.
pub(super) fn format_hours(hours: f64) -> String {
    let minutes = hours * 60.0;
    match () {
        () if minutes < 1.0 => "less than a minute".to_owned(),
        () if minutes < 90.0 => format!("{minutes:.0} min"),
        () if hours < 48.0 => format!("{hours:.1} h"),
        () => format!("{:.1} days", hours / 24.0),
    }
}

/// Describe the requests that a first load still needs. `last_run`: the requests of the last run that collected.
pub(super) fn format_requests_left(left: u64, last_run: u64) -> String {
    let runs = match last_run {
        0 => "run again to resume".to_owned(),
        last_run if left <= last_run => "one more run like the last one".to_owned(),
        last_run => format!("{} more runs like the last one", left.div_ceil(last_run)),
    };
    format!("still to load: about {}, {runs}", counted(left, "request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_left_are_given_in_runs() {
        assert!(format_requests_left(2400, 1000).ends_with(", 3 more runs like the last one"));
        assert!(format_requests_left(1000, 1000).ends_with(", one more run like the last one"));
        assert!(format_requests_left(5, 0).ends_with(", run again to resume"));
    }

    #[test]
    fn a_duration_has_the_unit_that_fits_its_size() {
        assert_eq!(format_hours(0.5), "30 min");
        assert_eq!(format_hours(100.0), "4.2 days");
    }
}
