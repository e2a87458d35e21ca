//! Bitbucket's own count: so many requests of one identity in any sixty minutes. A refused one counts as well, so who
//! asks again at once stays locked out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::server::lock;

const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Meter {
    limit: u64,
    /// By `Authorization`: each credential is an identity.
    sent: Mutex<BTreeMap<String, VecDeque<Instant>>>,
    refused: AtomicU64,
}

impl Meter {
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            sent: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a request; whether it is within the limit.
    pub fn take(&self, authorization: Option<&str>) -> bool {
        let now = Instant::now();
        let mut sent = lock(&self.sent);
        let sent = sent
            .entry(authorization.unwrap_or_default().to_owned())
            .or_default();
        while sent.front().is_some_and(|at| now - *at >= HOUR) {
            sent.pop_front();
        }
        sent.push_back(now);
        let allowed = sent.len() as u64 <= self.limit;
        if !allowed {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
