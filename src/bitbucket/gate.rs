//! The door of one identity: a 429 closes it for all its requests, because refused requests count against the hour
//! too, and many workers that each ask again keep everybody out.
//!
//! ```text
//! open ──429──▶ closed until … ──▶ one request tries ──answered──▶ open
//!                 ▲                       │
//!                 └──────── 429 ──────────┘   the wait grows; after `tries` in a row: given up
//! ```
//!
//! Pure: callers bring the time.

use chrono::{DateTime, TimeDelta, Utc};

use super::pace::{Ticket, WINDOW, Wait};
use super::retry::Limits;

const GROWTH: i32 = 3;

#[derive(Debug)]
pub(super) struct Gate {
    state: State,
    first_wait: TimeDelta,
    longest_wait: TimeDelta,
    tries: usize,
    /// When it closed last: the refusals of requests sent before belong to the same storm.
    closed_at: Option<DateTime<Utc>>,
    opened_at: Option<DateTime<Utc>>,
    /// In a row.
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

impl Gate {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let delta = |wait| TimeDelta::from_std(wait).unwrap_or(WINDOW);
        Self {
            state: State::Open,
            first_wait: delta(limits.refused_first_wait),
            longest_wait: delta(limits.refused_longest_wait),
            tries: limits.refused_tries,
            closed_at: None,
            opened_at: None,
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

    /// A request goes out; `true`: alone, to see whether Bitbucket answers again.
    pub(super) fn pass(&mut self) -> bool {
        let tries = matches!(self.state, State::Closed { .. });
        if tries {
            self.state = State::Trying;
        }
        tries
    }

    /// A 429. `asked`: the wait that it names.
    pub(super) fn refused(&mut self, sent: Ticket, now: DateTime<Utc>, asked: Option<TimeDelta>) {
        // The window is an hour: whoever names more is wrong.
        let asked = asked.map(|wait| wait.clamp(TimeDelta::zero(), WINDOW));
        if self.state == State::GivenUp {
            return;
        }
        if !sent.alone && self.closed_at.is_some_and(|closed| sent.at < closed) {
            if let Some(wait) = asked {
                self.close(now, now + wait);
            }
            return;
        }
        self.refusals += 1;
        if self.refusals > self.tries {
            self.state = State::GivenUp;
            return;
        }
        let relapse = sent.alone || self.opened_at.is_some_and(|at| now - at < self.wait);
        self.growth = if relapse { self.growth + 1 } else { 0 };
        let grown = GROWTH.saturating_pow(self.growth.min(20));
        let grown = self.first_wait.checked_mul(grown).unwrap_or(WINDOW);
        let grown = grown.min(self.longest_wait);
        self.wait = asked.unwrap_or_default().max(grown) + self.part_of(grown);
        self.close(now, now + self.wait);
    }

    pub(super) fn answered(&mut self, sent: Ticket, now: DateTime<Utc>) {
        if sent.alone && self.state == State::Trying {
            self.state = State::Open;
            self.opened_at = Some(now);
            self.refusals = 0;
        }
    }

    /// No answer came: another request may try.
    pub(super) fn lost(&mut self, sent: Ticket, now: DateTime<Utc>) {
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
