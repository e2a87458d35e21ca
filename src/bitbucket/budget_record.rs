//! The persisted form of one identity's request budget.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The largest hourly limit that is accepted, from the server and from a record.
pub(super) const MAX_LIMIT: u32 = 1_000_000_000;
/// The most requests of an hour that a record can count; a larger count means that the record is damaged.
const MAX_REQUESTS: u64 = 10_000_000;

/// The requests that an identity has sent, as they are stored between two processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// Answered requests, by the end of their minute.
    pub minutes: BTreeMap<DateTime<Utc>, u32>,
    /// Requests that may have been sent after the record was written: those in flight and the reserved block.
    pub open: u32,
    /// The hourly limit that the server reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The end of the delay after a 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_until: Option<DateTime<Utc>>,
}

impl BudgetRecord {
    /// Return why the record cannot be valid; `None` for a plausible record.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let answered: u64 = self.minutes.values().map(|count| u64::from(*count)).sum();
        let sent = answered.saturating_add(self.open.into());
        if sent > MAX_REQUESTS {
            return Some(format!("it counts {sent} requests in an hour"));
        }
        let limit = self.limit?;
        let is_impossible = limit == 0 || limit > MAX_LIMIT;
        is_impossible.then(|| format!("it says that {limit} requests an hour are allowed"))
    }
}
