//! A budget of requests per rolling hour, because a refused request counts against Bitbucket's window too: a client
//! that runs into the limit keeps itself locked out.
//!
//! Pure: the caller brings the time, so a test can let an hour pass.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub const WINDOW: Duration = Duration::from_secs(3600);

/// The requests of one identity in the last hour.
#[derive(Debug)]
pub struct Pace {
    limit: u32,
    /// Set by the configuration: the server's word can lower it, never raise it.
    ceiling: Option<u32>,
    sent: VecDeque<Instant>,
}

impl Pace {
    /// `configured` is `requests_per_hour` of the connection; `usual` holds until the server says otherwise.
    pub fn new(configured: Option<u32>, usual: u32) -> Self {
        let limit = configured.unwrap_or(usual).max(1);
        Self {
            limit,
            ceiling: configured,
            sent: VecDeque::new(),
        }
    }

    /// Books a request at `now`, or says how long to wait before asking again.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.forget(now);
        if self.sent.len() < self.limit as usize {
            self.sent.push_back(now);
            return Ok(());
        }
        // Of the requests that fill the window, this one has to leave it first.
        let leaving = self.sent.len() - self.limit as usize;
        let wait = self
            .sent
            .get(leaving)
            .map_or(WINDOW, |at| (*at + WINDOW) - now);
        Err(wait)
    }

    /// Takes over the `X-RateLimit-Limit` of a reply.
    pub fn follow(&mut self, server: u32) {
        let allowed = self.ceiling.map_or(server, |ceiling| ceiling.min(server));
        self.limit = allowed.max(1);
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests that can go out at `now` without waiting.
    pub fn left(&mut self, now: Instant) -> u32 {
        self.forget(now);
        self.limit
            .saturating_sub(u32::try_from(self.sent.len()).unwrap_or(u32::MAX))
    }

    fn forget(&mut self, now: Instant) {
        while self
            .sent
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_full_hour_waits_until_its_oldest_request_is_an_hour_old() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(2), 1000);
        assert_eq!(pace.take(start), Ok(()));
        assert_eq!(pace.take(start + 10 * MINUTE), Ok(()));
        assert_eq!(pace.take(start + 20 * MINUTE), Err(40 * MINUTE));
        assert_eq!(pace.take(start + 60 * MINUTE), Ok(()));
        assert_eq!(pace.take(start + 60 * MINUTE), Err(10 * MINUTE));
    }

    #[test]
    fn the_servers_limit_raises_the_default_but_not_a_configured_one() {
        let mut usual = Pace::new(None, 1000);
        usual.follow(4000);
        assert_eq!(usual.limit(), 4000);
        let mut configured = Pace::new(Some(500), 1000);
        configured.follow(4000);
        assert_eq!(configured.limit(), 500);
        configured.follow(300);
        assert_eq!(configured.limit(), 300);
    }

    #[test]
    fn a_lowered_limit_counts_the_requests_already_sent() {
        let start = Instant::now();
        let mut pace = Pace::new(None, 10);
        for minute in 0..4 {
            assert_eq!(pace.take(start + minute * MINUTE), Ok(()));
        }
        pace.follow(2);
        assert_eq!(pace.left(start + 4 * MINUTE), 0);
        // Three of the four have to leave; the third was sent in minute 2.
        assert_eq!(pace.take(start + 4 * MINUTE), Err(58 * MINUTE));
    }
}
