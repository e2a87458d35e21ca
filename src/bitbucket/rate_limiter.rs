//! The rate limiter of one identity. It allows a fixed number of requests in any 60 minutes, because a refused request
//! counts against Bitbucket's window too: a client that exceeds the limit keeps itself locked out.
//!
//! A request counts from the time it is sent until an hour after its *response*, the latest time at which Bitbucket can
//! have counted it. The usage of other programs with the same budget is derived from the remaining requests that the
//! server reports. Requests are reserved in blocks and the reservation is persisted before they are sent, so that after
//! a kill the whole block counts as sent.
//!
//! The limiter reads no clock: callers pass the time, so that tests can simulate hours.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::budget_record::{BudgetRecord, MAX_LIMIT};
use super::circuit_breaker::CircuitBreaker;
use super::rate_limit::{RateLimitHeaders, SentRequest, WINDOW, Wait};
use super::retry::Limits;

/// A reserved block is the limit divided by this number.
const BLOCKS_PER_LIMIT: u32 = 50;
/// `X-RateLimit-NearLimit` means that less than the limit divided by this number is left.
const NEAR_LIMIT_DIVISOR: u32 = 5;

/// The requests of one identity in the last hour, and the conditions for the next one.
#[derive(Debug)]
pub(super) struct RateLimiter {
    /// The hourly limit of the configuration.
    ceiling: Option<u32>,
    /// The hourly limit until the server reports one.
    default_limit: u32,
    /// The hourly limit that the server reported last.
    reported_limit: Option<u32>,
    /// Answered requests by the time of their response, rounded up to the second.
    answered: BTreeMap<DateTime<Utc>, u32>,
    in_flight: u32,
    /// Requests of other programs with the same budget, and when they leave the window.
    other_requests: u32,
    other_requests_until: DateTime<Utc>,
    breaker: CircuitBreaker,
    /// Requests that may be sent before another block is persisted; `None` when the budget is not persisted.
    reserved: Option<u32>,
}

impl RateLimiter {
    /// Create a limiter without history. `configured`: `requests_per_hour` of the connection; `default_limit` applies
    /// until the server reports a limit.
    pub(super) fn new(
        configured: Option<u32>,
        default_limit: u32,
        limits: &Limits,
        seed: u64,
    ) -> Self {
        Self {
            ceiling: configured.map(|ceiling| ceiling.clamp(1, MAX_LIMIT)),
            default_limit: configured.unwrap_or(default_limit).clamp(1, MAX_LIMIT),
            reported_limit: None,
            answered: BTreeMap::new(),
            in_flight: 0,
            other_requests: 0,
            other_requests_until: DateTime::UNIX_EPOCH,
            breaker: CircuitBreaker::new(limits, seed),
            reserved: None,
        }
    }

    /// Apply the `requests_per_hour` of another connection with the same identity: the lower one applies.
    pub(super) fn lower_ceiling(&mut self, configured: Option<u32>) {
        let Some(configured) = configured else { return };
        let configured = configured.clamp(1, MAX_LIMIT);
        self.ceiling = Some(
            self.ceiling
                .map_or(configured, |ceiling| ceiling.min(configured)),
        );
        self.default_limit = self.default_limit.min(configured);
    }

    fn server_limit(&self) -> u32 {
        self.reported_limit.unwrap_or(self.default_limit)
    }

    /// Return the requests per hour: the lower of the server's limit and the configured ceiling.
    pub(super) fn limit(&self) -> u32 {
        self.server_limit().min(self.ceiling.unwrap_or(MAX_LIMIT))
    }

    /// Return how many requests can be sent at `now` without a wait.
    pub(super) fn available(&mut self, now: DateTime<Utc>) -> u32 {
        if self.breaker.check(now).is_err() {
            return 0;
        }
        self.unused(now)
    }

    fn unused(&mut self, now: DateTime<Utc>) -> u32 {
        let own = self.own_requests(now);
        let used = own.saturating_add(self.other_requests(now));
        let by_server = self.server_limit().saturating_sub(used);
        by_server.min(self.limit().saturating_sub(own))
    }

    /// Return why no request may be sent at `now`, if any reason exists. The missing reservation of a block is no such
    /// reason.
    pub(super) fn check(&mut self, now: DateTime<Utc>) -> Result<(), Wait> {
        self.breaker.check(now)?;
        match self.unused(now) {
            0 => Err(self.until_unused(now)),
            _ => Ok(()),
        }
    }

    /// Record that a request is sent; `None` when none may be sent.
    pub(super) fn start_request(&mut self, now: DateTime<Utc>) -> Option<SentRequest> {
        if self.check(now).is_err() || self.needs_reservation() {
            return None;
        }
        self.reserved = self.reserved.map(|left| left.saturating_sub(1));
        self.in_flight = self.in_flight.saturating_add(1);
        let is_probe = self.breaker.start_request();
        Some(SentRequest { at: now, is_probe })
    }

    /// Record any response but a 429.
    pub(super) fn record_response(
        &mut self,
        sent: SentRequest,
        now: DateTime<Utc>,
        headers: &RateLimitHeaders,
    ) {
        self.finish_request(now);
        self.breaker.record_response(sent, now);
        self.apply_headers(now, headers);
    }

    /// Record a 429. Return whether it is the first of consecutive ones.
    pub(super) fn record_refusal(
        &mut self,
        sent: SentRequest,
        now: DateTime<Utc>,
        headers: &RateLimitHeaders,
    ) -> bool {
        self.finish_request(now);
        let is_first = !self.breaker.has_refusals();
        let delay = headers.retry_after.or(headers.reset);
        self.breaker.record_refusal(sent, now, delay);
        self.apply_headers(now, headers);
        is_first
    }

    /// Record that a request will not be answered. The server may have counted it all the same.
    pub(super) fn record_lost(&mut self, sent: SentRequest, now: DateTime<Utc>) {
        self.finish_request(now);
        self.breaker.record_lost(sent, now);
    }

    fn finish_request(&mut self, now: DateTime<Utc>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.count(now, 1);
    }

    fn count(&mut self, at: DateTime<Utc>, requests: u32) {
        let at = round_up(at, TimeDelta::seconds(1));
        let count = self.answered.entry(at).or_default();
        *count = count.saturating_add(requests);
    }

    /// Update the limit and the usage of other programs.
    fn apply_headers(&mut self, now: DateTime<Utc>, headers: &RateLimitHeaders) {
        if let Some(limit) = headers.limit {
            self.reported_limit = Some(limit.clamp(1, MAX_LIMIT));
        }
        let own = self.own_requests(now);
        let answered = own.saturating_sub(self.in_flight);
        let (server, others) = (self.server_limit(), self.other_requests(now));
        let near = server - server / NEAR_LIMIT_DIVISOR;
        let (others, until) = match (headers.remaining, headers.near_limit) {
            (Some(left), _) => {
                let others = server.saturating_sub(left).saturating_sub(answered);
                (others, headers.reset.unwrap_or(WINDOW))
            }
            (None, Some(true)) if own.saturating_add(others) < near => (near - own, WINDOW),
            (None, Some(false)) if answered.saturating_add(others) > near => (
                near.saturating_sub(answered),
                self.other_requests_until - now,
            ),
            _ => return,
        };
        self.other_requests = others;
        self.other_requests_until = now + until.clamp(TimeDelta::zero(), WINDOW);
    }

    /// Forget requests that have left the window. Return how many are left, including those in flight.
    fn own_requests(&mut self, now: DateTime<Utc>) -> u32 {
        self.answered = self
            .answered
            .split_off(&(now - WINDOW + TimeDelta::nanoseconds(1)));
        let counts = self.answered.values();
        counts.fold(self.in_flight, |sum, count| sum.saturating_add(*count))
    }

    fn other_requests(&self, now: DateTime<Utc>) -> u32 {
        if now < self.other_requests_until {
            self.other_requests
        } else {
            0
        }
    }

    /// Return the wait until a request fits into the window.
    fn until_unused(&mut self, now: DateTime<Utc>) -> Wait {
        let (own, others) = (self.own_requests(now), self.other_requests(now));
        let excess = |limit: u32, used: u32| used.saturating_add(1).saturating_sub(limit);
        let for_limit = self.when_expired(excess(self.limit(), own));
        let used = own.saturating_add(others);
        let with_others = self.when_expired(excess(self.server_limit(), used));
        let without_others = self.when_expired(excess(self.server_limit(), own));
        let without_others = without_others.map(|at| at.max(self.other_requests_until));
        let for_server = with_others.into_iter().chain(without_others).min();
        match for_limit.zip(for_server) {
            Some((one, other)) => Wait::Until(one.max(other)),
            None => Wait::ForResponse,
        }
    }

    /// Return when the oldest `requests` answered requests will have left the window; `None` when there are fewer.
    fn when_expired(&self, mut requests: u32) -> Option<DateTime<Utc>> {
        let mut at = DateTime::UNIX_EPOCH;
        for (time, count) in &self.answered {
            if requests == 0 {
                break;
            }
            requests = requests.saturating_sub(*count);
            at = *time + WINDOW;
        }
        (requests == 0).then_some(at)
    }

    /// Count the requests of earlier processes. `wall` is `now` by the machine's clock, which may have been set since the
    /// record was written; times in its future count as now.
    pub(super) fn restore(
        &mut self,
        record: Option<BudgetRecord>,
        now: DateTime<Utc>,
        wall: DateTime<Utc>,
    ) {
        self.reserved = Some(0);
        let Some(record) = record else { return };
        let offset = clock_offset(now, wall);
        let open = (record.open > 0).then_some((wall, record.open));
        for (at, count) in record.minutes.into_iter().chain(open) {
            self.count(subtract(at, offset).min(now), count);
        }
        let limit = record.limit.map(|limit| limit.clamp(1, MAX_LIMIT));
        self.reported_limit = self.reported_limit.or(limit);
        if let Some(until) = record.closed_until {
            let until = subtract(until, offset).min(now + WINDOW);
            self.breaker.open(now, until);
        }
    }

    /// Whether the requests of earlier processes are counted and reservations are required.
    pub(super) fn is_restored(&self) -> bool {
        self.reserved.is_some()
    }

    /// Whether a block has to be persisted before the next request.
    pub(super) fn needs_reservation(&self) -> bool {
        self.reserved == Some(0)
    }

    /// Return the number of requests of one block.
    pub(super) fn block_size(&self) -> u32 {
        (self.limit() / BLOCKS_PER_LIMIT).max(1)
    }

    /// Return the record to persist before `block` more requests are sent; `block` is 0 at the end of a run.
    pub(super) fn snapshot(
        &mut self,
        block: u32,
        now: DateTime<Utc>,
        wall: DateTime<Utc>,
    ) -> BudgetRecord {
        self.own_requests(now);
        let offset = clock_offset(now, wall);
        let mut minutes = BTreeMap::new();
        for (at, count) in &self.answered {
            let minute = round_up(*at + offset, TimeDelta::minutes(1));
            let sum: &mut u32 = minutes.entry(minute).or_default();
            *sum = sum.saturating_add(*count);
        }
        BudgetRecord {
            minutes,
            open: (self.in_flight)
                .saturating_add(self.reserved.unwrap_or_default())
                .saturating_add(block),
            limit: self.reported_limit,
            closed_until: self.breaker.open_until(now).map(|until| until + offset),
        }
    }

    /// Allow `block` more requests, whose reservation is persisted.
    pub(super) fn reserve(&mut self, block: u32) {
        self.reserved = self.reserved.map(|left| left.saturating_add(block));
    }

    /// Release reserved requests that were not sent. The result of [`RateLimiter::snapshot`] has to be persisted
    /// afterwards.
    pub(super) fn release_reservation(&mut self) {
        self.reserved = self.reserved.map(|_| 0);
    }
}

/// Return how far the machine's clock was set forward since the process started. Less than a second counts as zero, so
/// that a time survives any number of reads and writes unchanged.
fn clock_offset(now: DateTime<Utc>, wall: DateTime<Utc>) -> TimeDelta {
    let offset = wall - now;
    if offset.abs() < TimeDelta::seconds(1) {
        TimeDelta::zero()
    } else {
        offset
    }
}

/// Return `at - by`, clamped to the range of times.
fn subtract(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    let limit = if by < TimeDelta::zero() {
        DateTime::<Utc>::MAX_UTC
    } else {
        DateTime::<Utc>::MIN_UTC
    };
    at.checked_sub_signed(by).unwrap_or(limit)
}

/// Return `at` rounded up to a multiple of `unit`.
fn round_up(at: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    // Truncation fails only for times outside the years 1677 to 2262.
    match at.duration_trunc(unit) {
        Ok(begin) if begin < at => begin + unit,
        _ => at,
    }
}
