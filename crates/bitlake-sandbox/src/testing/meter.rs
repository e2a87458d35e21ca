//! Bitbucket's own count: so many requests of one identity in any sixty minutes. A refused one counts as well, so who
//! asks again at once stays locked out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::server::lock;

const HOUR: Duration = Duration::from_secs(3600);

/// Lets everything pass until it is given a limit.
#[derive(Default)]
pub(crate) struct Meter(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    limit: Option<u64>,
    /// By `Authorization`: each credential is an identity.
    sent: BTreeMap<String, VecDeque<Instant>>,
    refused: u64,
}

impl Meter {
    /// Starts to count.
    pub fn limit(&self, requests_per_hour: u64) {
        *lock(&self.0) = Counts {
            limit: Some(requests_per_hour),
            ..Counts::default()
        };
    }

    /// Counts a request; whether it is within the limit.
    pub fn take(&self, authorization: Option<&str>) -> bool {
        let Counts {
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

    pub fn refused(&self) -> u64 {
        lock(&self.0).refused
    }
}
