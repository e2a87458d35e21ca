//! The machine's clock, read in one place, so that tests can choose the time; and the clocks of time zones.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Return the present time.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Return the first instant at which the clocks of `zone` show `local`. If they skip it when they go forward, return the
/// first instant after the gap.
pub(crate) fn local_instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    (0..=96)
        .find_map(|quarters| {
            let local = local.checked_add_signed(TimeDelta::minutes(15 * quarters))?;
            zone.from_local_datetime(&local).earliest()
        })
        .map_or_else(|| local.and_utc(), |time| time.to_utc())
}
