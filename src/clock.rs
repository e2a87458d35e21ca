//! The machine's clock, read in one place: everything else takes the time as an argument, so that tests can choose it.

use chrono::{DateTime, Utc};

/// Return the present time.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
