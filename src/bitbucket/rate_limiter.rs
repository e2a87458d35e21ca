//! What one identity may send: so many requests in any 60 minutes, because a refused request counts against Bitbucket's
//! window too, and a client that runs into the limit keeps itself locked out.
//!
//! A request counts from its sending until an hour after its *answer*, which is the latest that Bitbucket can have
//! counted it. What others spend of the same budget is known from what the server says is left. A process that is
//! killed cannot tell what it sent; so requests are booked in blocks before they go out, and after a kill the whole
//! block counts.
//!
//! Pure: callers bring the time, so a test can let hours pass.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::circuit_breaker::CircuitBreaker;
use super::retry::{Limits, RateLimitHeaders};

pub(super) const WINDOW: TimeDelta = TimeDelta::hours(1);

/// A block is this part of the limit.
const BLOCKS: u32 = 50;
/// `X-RateLimit-NearLimit` means that less than this part of the limit is left.
const NEAR: u32 = 5;
/// No limit is larger.
const MOST: u32 = 1_000_000_000;
/// Nobody sends more requests an hour through one client: a budget that counts more was damaged, or made up.
const PLAUSIBLE: u64 = 10_000_000;

/// A request on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub(super) at: DateTime<Utc>,
    /// It tries whether Bitbucket answers again; the others wait for its outcome.
    pub(super) alone: bool,
}

/// Why nothing may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Until(DateTime<Utc>),
    /// Until a request under way has its answer.
    Answer,
    /// Bitbucket has refused for longer than an hour.
    Never,
}

impl Wait {
    pub(super) fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
            (Self::Until(at), _) | (_, Self::Until(at)) => Self::Until(at),
            (Self::Answer, _) | (_, Self::Answer) => Self::Answer,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// What an identity has spent, as it outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// Answered requests, by the end of their minute.
    pub minutes: BTreeMap<DateTime<Utc>, u32>,
    /// Requests that may have gone out since this was written.
    pub open: u32,
    /// The limit, where the server has said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Nothing goes out before, because Bitbucket said 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_until: Option<DateTime<Utc>>,
}

impl BudgetRecord {
    /// What makes its counts impossible, if anything does.
    pub fn flaw(&self) -> Option<String> {
        let answered: u64 = self.minutes.values().map(|count| u64::from(*count)).sum();
        let spent = answered.saturating_add(self.open.into());
        if spent > PLAUSIBLE {
            return Some(format!("it counts {spent} requests in an hour"));
        }
        let limit = self.limit?;
        let impossible = limit == 0 || limit > MOST;
        impossible.then(|| format!("it says that {limit} requests an hour are allowed"))
    }
}

/// The requests of one identity in the last hour, and what holds back the next one.
#[derive(Debug)]
pub(super) struct RateLimiter {
    /// Set by the configuration.
    ceiling: Option<u32>,
    usual: u32,
    /// As the server says it.
    told: Option<u32>,
    /// Answered requests by time, rounded up to the second.
    spent: BTreeMap<DateTime<Utc>, u32>,
    in_flight: u32,
    /// What others have spent of the same budget, and until when that counts.
    others: u32,
    others_until: DateTime<Utc>,
    gate: CircuitBreaker,
    /// Requests that may go out before the next block is booked; `None`: nobody keeps book.
    booked: Option<u32>,
}

impl RateLimiter {
    /// `configured` is `requests_per_hour` of the connection; `usual` holds until the server says otherwise.
    pub(super) fn new(configured: Option<u32>, usual: u32, limits: &Limits, seed: u64) -> Self {
        Self {
            ceiling: configured.map(|ceiling| ceiling.clamp(1, MOST)),
            usual: configured.unwrap_or(usual).clamp(1, MOST),
            told: None,
            spent: BTreeMap::new(),
            in_flight: 0,
            others: 0,
            others_until: DateTime::UNIX_EPOCH,
            gate: CircuitBreaker::new(limits, seed),
            booked: None,
        }
    }

    /// Another connection uses the same identity: the lower ceiling holds.
    pub(super) fn lower(&mut self, configured: Option<u32>) {
        let Some(configured) = configured else { return };
        let configured = configured.clamp(1, MOST);
        self.ceiling = Some(
            self.ceiling
                .map_or(configured, |ceiling| ceiling.min(configured)),
        );
        self.usual = self.usual.min(configured);
    }

    fn server(&self) -> u32 {
        self.told.unwrap_or(self.usual)
    }

    /// Requests an hour: the configured ceiling, or less where the server says less.
    pub(super) fn limit(&self) -> u32 {
        self.server().min(self.ceiling.unwrap_or(MOST))
    }

    /// Requests that can go out at `now` without waiting.
    pub(super) fn left(&mut self, now: DateTime<Utc>) -> u32 {
        if self.gate.look(now).is_err() {
            return 0;
        }
        self.room(now)
    }

    fn room(&mut self, now: DateTime<Utc>) -> u32 {
        let own = self.own(now);
        let used = own.saturating_add(self.others(now));
        let by_server = self.server().saturating_sub(used);
        by_server.min(self.limit().saturating_sub(own))
    }

    /// Whether a request may go out at `now`; a block may have to be booked before.
    pub(super) fn look(&mut self, now: DateTime<Utc>) -> Result<(), Wait> {
        self.gate.look(now)?;
        match self.room(now) {
            0 => Err(self.until_room(now)),
            _ => Ok(()),
        }
    }

    /// Sends a request out, if one may.
    pub(super) fn take(&mut self, now: DateTime<Utc>) -> Option<InFlight> {
        if self.look(now).is_err() || self.needs_block() {
            return None;
        }
        self.booked = self.booked.map(|left| left.saturating_sub(1));
        self.in_flight = self.in_flight.saturating_add(1);
        let alone = self.gate.pass();
        Some(InFlight { at: now, alone })
    }

    /// Any answer but 429.
    pub(super) fn answered(&mut self, sent: InFlight, now: DateTime<Utc>, said: &RateLimitHeaders) {
        self.settle(now);
        self.gate.answered(sent, now);
        self.hear(now, said);
    }

    /// A 429; returns whether it is the first in a row.
    pub(super) fn refused(
        &mut self,
        sent: InFlight,
        now: DateTime<Utc>,
        said: &RateLimitHeaders,
    ) -> bool {
        self.settle(now);
        let first = self.gate.is_calm();
        self.gate.refused(sent, now, said.wait.or(said.reset));
        self.hear(now, said);
        first
    }

    /// No answer will come. The server may have counted the request all the same.
    pub(super) fn lost(&mut self, sent: InFlight, now: DateTime<Utc>) {
        self.settle(now);
        self.gate.lost(sent, now);
    }

    fn settle(&mut self, now: DateTime<Utc>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.count(now, 1);
    }

    fn count(&mut self, at: DateTime<Utc>, requests: u32) {
        let at = end_of(at, TimeDelta::seconds(1));
        let count = self.spent.entry(at).or_default();
        *count = count.saturating_add(requests);
    }

    fn hear(&mut self, now: DateTime<Utc>, said: &RateLimitHeaders) {
        if let Some(limit) = said.limit {
            self.told = Some(limit.clamp(1, MOST));
        }
        let own = self.own(now);
        let answered = own.saturating_sub(self.in_flight);
        let (server, others) = (self.server(), self.others(now));
        let near = server - server / NEAR;
        let (others, until) = match (said.remaining, said.near_limit) {
            (Some(left), _) => {
                let others = server.saturating_sub(left).saturating_sub(answered);
                (others, said.reset.unwrap_or(WINDOW))
            }
            (None, Some(true)) if own.saturating_add(others) < near => (near - own, WINDOW),
            (None, Some(false)) if answered.saturating_add(others) > near => {
                (near.saturating_sub(answered), self.others_until - now)
            }
            _ => return,
        };
        self.others = others;
        self.others_until = now + until.clamp(TimeDelta::zero(), WINDOW);
    }

    /// Own requests of the last hour and those under way.
    fn own(&mut self, now: DateTime<Utc>) -> u32 {
        self.spent = self
            .spent
            .split_off(&(now - WINDOW + TimeDelta::nanoseconds(1)));
        let spent = self.spent.values();
        spent.fold(self.in_flight, |sum, count| sum.saturating_add(*count))
    }

    fn others(&self, now: DateTime<Utc>) -> u32 {
        match now < self.others_until {
            true => self.others,
            false => 0,
        }
    }

    /// When there will be room again.
    fn until_room(&mut self, now: DateTime<Utc>) -> Wait {
        let (own, others) = (self.own(now), self.others(now));
        let over = |limit: u32, used: u32| used.saturating_add(1).saturating_sub(limit);
        let for_limit = self.when_gone(over(self.limit(), own));
        let used = own.saturating_add(others);
        let beside_others = self.when_gone(over(self.server(), used));
        let without_others = self.when_gone(over(self.server(), own));
        let without_others = without_others.map(|at| at.max(self.others_until));
        let for_server = beside_others.into_iter().chain(without_others).min();
        match for_limit.zip(for_server) {
            Some((one, other)) => Wait::Until(one.max(other)),
            None => Wait::Answer,
        }
    }

    /// When so many answered requests will have left the window; `None`: there are fewer.
    fn when_gone(&self, mut requests: u32) -> Option<DateTime<Utc>> {
        let mut at = DateTime::UNIX_EPOCH;
        for (time, count) in &self.spent {
            if requests == 0 {
                break;
            }
            requests = requests.saturating_sub(*count);
            at = *time + WINDOW;
        }
        (requests == 0).then_some(at)
    }

    /// Takes over what earlier processes spent. `wall`: now by the clock of the machine, whose jumps since that was
    /// written cannot be seen; what lies in its future counts as now.
    pub(super) fn remember(
        &mut self,
        spent: Option<BudgetRecord>,
        now: DateTime<Utc>,
        wall: DateTime<Utc>,
    ) {
        self.booked = Some(0);
        let Some(spent) = spent else { return };
        let jump = jump(now, wall);
        let open = (spent.open > 0).then_some((wall, spent.open));
        for (at, count) in spent.minutes.into_iter().chain(open) {
            self.count(back(at, jump).min(now), count);
        }
        self.told = self.told.or(spent.limit.map(|limit| limit.clamp(1, MOST)));
        if let Some(until) = spent.closed_until {
            self.gate.close(now, back(until, jump).min(now + WINDOW));
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.booked.is_some()
    }

    pub(super) fn needs_block(&self) -> bool {
        self.booked == Some(0)
    }

    pub(super) fn block(&self) -> u32 {
        (self.limit() / BLOCKS).max(1)
    }

    /// What has to be written down before `block` more requests go out; 0 at the end of a run.
    pub(super) fn spent(
        &mut self,
        block: u32,
        now: DateTime<Utc>,
        wall: DateTime<Utc>,
    ) -> BudgetRecord {
        self.own(now);
        let jump = jump(now, wall);
        let mut minutes = BTreeMap::new();
        for (at, count) in &self.spent {
            let minute = end_of(*at + jump, TimeDelta::minutes(1));
            let sum: &mut u32 = minutes.entry(minute).or_default();
            *sum = sum.saturating_add(*count);
        }
        BudgetRecord {
            minutes,
            open: (self.in_flight)
                .saturating_add(self.booked.unwrap_or_default())
                .saturating_add(block),
            limit: self.told,
            closed_until: self.gate.closed_until(now).map(|until| until + jump),
        }
    }

    /// `block` more requests have been written down.
    pub(super) fn book(&mut self, block: u32) {
        self.booked = self.booked.map(|left| left.saturating_add(block));
    }

    /// Gives back what was booked and not used; a last [`RateLimiter::spent`] has to follow.
    pub(super) fn close_book(&mut self) {
        self.booked = self.booked.map(|_| 0);
    }
}

/// How far the machine's clock has been put forward since this process began; less than a second is none, so that
/// minutes stay minutes however often they are read and written.
fn jump(now: DateTime<Utc>, wall: DateTime<Utc>) -> TimeDelta {
    let jump = wall - now;
    match jump.abs() < TimeDelta::seconds(1) {
        true => TimeDelta::zero(),
        false => jump,
    }
}

/// `at`, so much earlier, as far as times go.
fn back(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    let farthest = match by < TimeDelta::zero() {
        true => DateTime::<Utc>::MAX_UTC,
        false => DateTime::<Utc>::MIN_UTC,
    };
    at.checked_sub_signed(by).unwrap_or(farthest)
}

/// `at`, rounded up.
fn end_of(at: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    // Rounding fails only for times centuries away.
    match at.duration_trunc(unit) {
        Ok(begin) if begin < at => begin + unit,
        _ => at,
    }
}
