//! The door of one identity: a 429 closes it for all its requests, because refused requests count against the hour
//! too, and many workers that each ask again keep everybody out.
//!
//! ```text
//! open ──429──▶ closed until … ──▶ one request tries ──answered──▶ open
//!                 ▲                       │
//!                 └──────── 429 ──────────┘
//! ```
//!
//! A wait that the 429 names is kept as it is, however often it comes, and given up after `patience`. Without one the
//! wait grows, and is given up after `tries` in a row.
//!
//! Pure: callers bring the time.

use chrono::{DateTime, TimeDelta, Utc};

use super::rate_limiter::{InFlight, WINDOW, Wait};
use super::retry::Limits;

const GROWTH: i32 = 3;

#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: State,
    first_wait: TimeDelta,
    longest_wait: TimeDelta,
    retries: usize,
    patience: TimeDelta,
    /// When it closed last: the refusals of requests sent before belong to the same storm.
    closed_at: Option<DateTime<Utc>>,
    opened_at: Option<DateTime<Utc>>,
    /// The first of the refusals in a row, and how many of them named no wait.
    refused_since: Option<DateTime<Utc>>,
    refusals: usize,
    growth: u32,
    wait: TimeDelta,
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed { until: DateTime<Utc> },
    Trying,
    GivenUp,
}

impl CircuitBreaker {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let delta = |wait| TimeDelta::from_std(wait).unwrap_or(WINDOW);
        Self {
            state: State::Open,
            first_wait: delta(limits.rate_limit_first_wait),
            longest_wait: delta(limits.rate_limit_longest_wait),
            retries: limits.rate_limit_retries,
            patience: delta(limits.rate_limit_longest_total_wait),
            closed_at: None,
            opened_at: None,
            refused_since: None,
            refusals: 0,
            growth: 0,
            wait: TimeDelta::zero(),
            random: seed,
        }
    }

    pub(super) fn look(&self, now: DateTime<Utc>) -> Result<(), Wait> {
        match self.state {
            State::Closed { until } if now < until => Err(Wait::Until(until)),
            State::Open | State::Closed { .. } => Ok(()),
            State::Trying => Err(Wait::Answer),
            State::GivenUp => Err(Wait::Never),
        }
    }

    /// Whether no request was refused since the last that got through.
    pub(super) fn is_calm(&self) -> bool {
        self.refused_since.is_none()
    }

    /// A request goes out; `true`: alone, to see whether Bitbucket answers again.
    pub(super) fn pass(&mut self) -> bool {
        let tries = matches!(self.state, State::Closed { .. });
        if tries {
            self.state = State::Trying;
        }
        tries
    }

    /// A 429. `asked`: the wait that it names; none at all is no wait.
    pub(super) fn refused(&mut self, sent: InFlight, now: DateTime<Utc>, asked: Option<TimeDelta>) {
        // The window is an hour: whoever names more is wrong.
        let asked = asked.filter(|wait| *wait > TimeDelta::zero());
        let asked = asked.map(|wait| wait.min(WINDOW));
        if self.state == State::GivenUp {
            return;
        }
        if !sent.alone && self.closed_at.is_some_and(|closed| sent.at < closed) {
            if let Some(wait) = asked {
                self.close(now, now + wait);
            }
            return;
        }
        let since = *self.refused_since.get_or_insert(now);
        let given_up = match asked {
            Some(_) => now - since >= self.patience,
            None => {
                self.refusals += 1;
                self.refusals > self.retries
            }
        };
        if given_up {
            self.state = State::GivenUp;
            return;
        }
        self.wait = match asked {
            Some(asked) => asked + self.part_of(asked.min(self.first_wait)),
            None => {
                let grown = self.grown(sent, now);
                grown + self.part_of(grown)
            }
        };
        self.close(now, now + self.wait);
    }

    /// A wait of our own: longer than the last one where that was not enough.
    fn grown(&mut self, sent: InFlight, now: DateTime<Utc>) -> TimeDelta {
        let again = sent.alone && self.refusals > 1;
        let relapse = again || self.opened_at.is_some_and(|at| now - at < self.wait);
        self.growth = if relapse { self.growth + 1 } else { 0 };
        let grown = GROWTH.saturating_pow(self.growth.min(20));
        let grown = self.first_wait.checked_mul(grown).unwrap_or(WINDOW);
        grown.min(self.longest_wait)
    }

    pub(super) fn answered(&mut self, sent: InFlight, now: DateTime<Utc>) {
        if sent.alone && self.state == State::Trying {
            self.state = State::Open;
            self.opened_at = Some(now);
            self.refused_since = None;
            self.refusals = 0;
        }
    }

    /// No answer came: another request may try.
    pub(super) fn lost(&mut self, sent: InFlight, now: DateTime<Utc>) {
        if sent.alone && self.state == State::Trying {
            self.state = State::Closed { until: now };
        }
    }

    pub(super) fn closed_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.state {
            State::Closed { until } => Some(until).filter(|until| now < *until),
            _ => None,
        }
    }

    pub(super) fn close(&mut self, now: DateTime<Utc>, until: DateTime<Utc>) {
        let until = match self.state {
            State::Closed { until: known } => known.max(until),
            _ => until,
        };
        self.state = State::Closed { until };
        self.closed_at = Some(now);
    }

    /// A random part of a wait, so that machines refused together do not come back together.
    fn part_of(&mut self, wait: TimeDelta) -> TimeDelta {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = i32::try_from((mixed >> 32) % 1000).unwrap_or_default();
        wait / 1000 * thousandths
    }
}
