//! Bitbucket's rate limit: the requests of one identity in any sixty minutes. Refused requests count as well, so a client that
//! retries at once remains locked out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::lock;

const HOUR: Duration = Duration::from_secs(3600);

/// Counts requests and refuses those above the limit; without a limit it accepts all.
#[derive(Default)]
pub(crate) struct Meter(Mutex<MeterState>);

#[derive(Default)]
struct MeterState {
    limit: Option<u64>,
    /// The times of requests by `Authorization` header: each credential is an identity.
    sent: BTreeMap<String, VecDeque<Instant>>,
    refused: u64,
}

impl Meter {
    /// Set the limit and start counting.
    pub(super) fn limit(&self, requests_per_hour: u64) {
        *lock(&self.0) = MeterState {
            limit: Some(requests_per_hour),
            ..MeterState::default()
        };
    }

    /// Count a request and return whether it is within the limit.
    pub(super) fn take(&self, authorization: Option<&str>) -> bool {
        let MeterState {
            limit,
            sent,
            refused,
        } = &mut *lock(&self.0);
        let Some(limit) = *limit else { return true };
        let now = Instant::now();
        let identity = authorization.unwrap_or_default().to_owned();
        let sent = sent.entry(identity).or_default();
        while sent.front().is_some_and(|at| now - *at >= HOUR) {
            sent.pop_front();
        }
        sent.push_back(now);
        let allowed = sent.len() as u64 <= limit;
        *refused += u64::from(!allowed);
        allowed
    }

    pub(super) fn refused(&self) -> u64 {
        lock(&self.0).refused
    }
}
