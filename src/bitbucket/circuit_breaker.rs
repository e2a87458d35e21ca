//! The circuit breaker of one identity. A 429 opens it for all requests of the identity, because refused requests count
//! against the rolling hour too: workers that retry independently keep the identity locked out.
//!
//! ```text
//! Closed ──429──▶ Open until … ──▶ HalfOpen: one probe ──response──▶ Closed
//!                  ▲                          │
//!                  └───────── 429 ────────────┘
//! ```
//!
//! A delay that a 429 names in `Retry-After` is used as it is, and consecutive ones are given up after
//! [`Limits::rate_limit_longest_total_wait`]. Without `Retry-After` the delay grows exponentially, and is given up after
//! [`Limits::rate_limit_retries`].
//!
//! The breaker reads no clock: callers pass the time, so that tests can simulate hours.

use chrono::{DateTime, TimeDelta, Utc};

use super::rate_limit::{SentRequest, WINDOW, Wait};
use super::retry::Limits;

/// Factor between two delays without `Retry-After`.
const GROWTH: i32 = 3;

#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: BreakerState,
    first_wait: TimeDelta,
    longest_wait: TimeDelta,
    longest_total_wait: TimeDelta,
    retries: usize,
    /// When the breaker opened last. A 429 to a request that was sent before does not extend the delay by itself.
    opened_at: Option<DateTime<Utc>>,
    closed_at: Option<DateTime<Utc>>,
    /// The first of the consecutive refusals.
    refused_since: Option<DateTime<Utc>>,
    /// Consecutive refusals without `Retry-After`.
    refusals: usize,
    /// Exponent of the delay without `Retry-After`.
    growth: u32,
    delay: TimeDelta,
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    Closed,
    Open { until: DateTime<Utc> },
    HalfOpen,
    GaveUp,
}

impl CircuitBreaker {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).unwrap_or(WINDOW);
        Self {
            state: BreakerState::Closed,
            first_wait: delta(limits.rate_limit_first_wait),
            longest_wait: delta(limits.rate_limit_longest_wait),
            longest_total_wait: delta(limits.rate_limit_longest_total_wait),
            retries: limits.rate_limit_retries,
            opened_at: None,
            closed_at: None,
            refused_since: None,
            refusals: 0,
            growth: 0,
            delay: TimeDelta::zero(),
            random: seed,
        }
    }

    /// Return why no request may be sent at `now`, if any reason exists.
    pub(super) fn check(&self, now: DateTime<Utc>) -> Result<(), Wait> {
        match self.state {
            BreakerState::Open { until } if now < until => Err(Wait::Until(until)),
            BreakerState::Closed | BreakerState::Open { .. } => Ok(()),
            BreakerState::HalfOpen => Err(Wait::ForResponse),
            BreakerState::GaveUp => Err(Wait::Forever),
        }
    }

    /// Whether a request was refused and none was answered since.
    pub(super) fn has_refusals(&self) -> bool {
        self.refused_since.is_some()
    }

    /// Record that a request is sent. Return whether it is the probe.
    pub(super) fn start_request(&mut self) -> bool {
        let is_probe = matches!(self.state, BreakerState::Open { .. });
        if is_probe {
            self.state = BreakerState::HalfOpen;
        }
        is_probe
    }

    /// Record a 429. `retry_after`: the delay that the response names; zero counts as none.
    pub(super) fn record_refusal(
        &mut self,
        sent: SentRequest,
        now: DateTime<Utc>,
        retry_after: Option<TimeDelta>,
    ) {
        // No wait for a rolling hour is longer than an hour.
        let retry_after = retry_after.filter(|delay| *delay > TimeDelta::zero());
        let retry_after = retry_after.map(|delay| delay.min(WINDOW));
        if self.state == BreakerState::GaveUp {
            return;
        }
        if !sent.is_probe && self.opened_at.is_some_and(|opened| sent.at < opened) {
            if let Some(delay) = retry_after {
                self.open(now, now + delay);
            }
            return;
        }
        let since = *self.refused_since.get_or_insert(now);
        let gives_up = if retry_after.is_some() {
            now - since >= self.longest_total_wait
        } else {
            self.refusals += 1;
            self.refusals > self.retries
        };
        if gives_up {
            self.state = BreakerState::GaveUp;
            return;
        }
        self.delay = if let Some(delay) = retry_after {
            delay + self.jitter(delay.min(self.first_wait))
        } else {
            let delay = self.next_delay(sent, now);
            delay + self.jitter(delay)
        };
        self.open(now, now + self.delay);
    }

    /// Return the delay after a 429 without `Retry-After`: longer than the last one when that was too short.
    fn next_delay(&mut self, sent: SentRequest, now: DateTime<Utc>) -> TimeDelta {
        let is_repeated = sent.is_probe && self.refusals > 1;
        let was_too_short = is_repeated
            || self
                .closed_at
                .is_some_and(|closed| now - closed < self.delay);
        self.growth = if was_too_short { self.growth + 1 } else { 0 };
        let factor = GROWTH.saturating_pow(self.growth.min(20));
        let delay = self.first_wait.checked_mul(factor).unwrap_or(WINDOW);
        delay.min(self.longest_wait)
    }

    /// Record any response but a 429.
    pub(super) fn record_response(&mut self, sent: SentRequest, now: DateTime<Utc>) {
        if sent.is_probe && self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Closed;
            self.closed_at = Some(now);
            self.refused_since = None;
            self.refusals = 0;
        }
    }

    /// Record that a request will not be answered. After a lost probe the next request is the probe.
    pub(super) fn record_lost(&mut self, sent: SentRequest, now: DateTime<Utc>) {
        if sent.is_probe && self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open { until: now };
        }
    }

    /// Return until when the breaker is open; `None` when requests may be sent at `now`.
    pub(super) fn open_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.state {
            BreakerState::Open { until } => Some(until).filter(|until| now < *until),
            _ => None,
        }
    }

    /// Open the breaker until `until`, or longer when it is open longer already.
    pub(super) fn open(&mut self, now: DateTime<Utc>, until: DateTime<Utc>) {
        let until = match self.state {
            BreakerState::Open { until: known } => known.max(until),
            _ => until,
        };
        self.state = BreakerState::Open { until };
        self.opened_at = Some(now);
    }

    /// Return a random part of `delay`, so that machines that were refused at the same time do not retry at the same
    /// time.
    fn jitter(&mut self, delay: TimeDelta) -> TimeDelta {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = i32::try_from((mixed >> 32) % 1000).unwrap_or_default();
        delay / 1000 * thousandths
    }
}
