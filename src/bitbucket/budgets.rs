//! All budgets of a process, and where requests wait for their turn.
//!
//! A budget belongs to an identity as Bitbucket counts: all API tokens of one user share one, whichever connection they
//! are written in, while every access token has its own. A request takes the identity that has most left; while one is
//! kept out by a 429, the others go on. What is spent is written down before it is spent, so that the next process
//! knows it even when this one is killed.
//!
//! ```text
//! acquire ─▶ choose ─▶ Permit ─▶ send ─▶ answered | refused | dropped
//!              ├─ unread: read what earlier processes spent
//!              ├─ no block left: write the next one down
//!              └─ wait: for the hour, for the gate, for an answer under way
//! ```

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::failures::{late, quota};
use super::rate_limiter::{BudgetRecord, InFlight, RateLimiter, Wait};
use super::retry::{Limits, RateLimitHeaders};
use crate::clock;
use crate::error::Result;

/// A shorter wait is nobody's concern.
const WORTH_SAYING: Duration = Duration::from_secs(10);

/// Keeps what identities have spent, from one process to the next. Names of identities hold no secret.
pub trait BudgetStore: Send + Sync {
    fn read<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Option<BudgetRecord>>>;
    fn write<'a>(&'a self, identity: &'a str, spent: BudgetRecord) -> BoxFuture<'a, Result<()>>;
}

/// The budgets of a process, by identity. Cheap to clone; clones are the same budgets.
#[derive(Clone)]
pub struct Budgets(Arc<Inner>);

struct Inner {
    began: (Instant, DateTime<Utc>),
    paces: Mutex<BTreeMap<String, RateLimiter>>,
    /// Told when a request is settled, which may let others go.
    settled: Notify,
    keeper: Option<Box<dyn BudgetStore>>,
    /// One writes at a time; the others then find a block.
    desk: tokio::sync::Mutex<()>,
}

/// The requests that can be sent now without waiting, and the hourly limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadRoom {
    pub left: u32,
    pub limit: u32,
}

impl std::fmt::Debug for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Budgets").field(&self.paces()).finish()
    }
}

impl Default for Budgets {
    /// Budgets that end with the process.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Budgets {
    /// Budgets that `keeper` remembers.
    pub fn with_store(keeper: impl BudgetStore + 'static) -> Self {
        Self::new(Some(Box::new(keeper)))
    }

    fn new(keeper: Option<Box<dyn BudgetStore>>) -> Self {
        Self(Arc::new(Inner {
            began: (Instant::now(), clock::now()),
            paces: Mutex::default(),
            settled: Notify::new(),
            keeper,
            desk: tokio::sync::Mutex::default(),
        }))
    }

    /// `configured`: the connection's `requests_per_hour`; `usual` holds until the server says otherwise.
    pub(super) fn open(
        &self,
        identity: &str,
        configured: Option<u32>,
        usual: u32,
        limits: &Limits,
    ) {
        let new = || {
            let seed = getrandom::u64().unwrap_or_default();
            RateLimiter::new(configured, usual, limits, seed)
        };
        let mut paces = self.paces();
        paces
            .entry(identity.to_owned())
            .or_insert_with(new)
            .lower(configured);
    }

    /// Return the head room of one identity; zero for an unknown one.
    pub(super) fn head_room(&self, identity: &str) -> HeadRoom {
        let now = self.now();
        let mut paces = self.paces();
        let pace = paces.get_mut(identity);
        pace.map(|pace| HeadRoom {
            left: pace.left(now),
            limit: pace.limit(),
        })
        .unwrap_or_default()
    }

    /// Waits until one of the identities may send. Dropping the permit says that no answer came.
    ///
    /// # Errors
    /// [`Quota`](crate::error::ErrorKind::Quota) when all have given up, or would have to wait beyond the deadline;
    /// those of the keeper.
    pub(super) async fn acquire(
        &self,
        identities: &[&str],
        deadline: Option<Instant>,
    ) -> Result<Permit> {
        let mut said = false;
        loop {
            let mut settled = pin!(self.0.settled.notified());
            settled.as_mut().enable();
            let choice = choose(&mut self.paces(), identities, self.now(), self.is_kept());
            let until = match choice {
                Choice::Go(identity, ticket) => {
                    return Ok(Permit {
                        budgets: self.clone(),
                        identity,
                        ticket: Some(ticket),
                    });
                }
                Choice::Read(identity) => {
                    self.read(&identity).await?;
                    continue;
                }
                Choice::Book(identity) => {
                    self.write(&identity, Write::Block).await?;
                    continue;
                }
                Choice::Wait(Wait::Until(until)) => until,
                Choice::Wait(Wait::Answer) => {
                    settled.await;
                    continue;
                }
                Choice::Wait(Wait::Never) => return Err(quota()),
            };
            let wait = (until - self.now()).to_std().unwrap_or_default();
            if deadline.is_some_and(|deadline| Instant::now() + wait > deadline) {
                return Err(late(wait));
            }
            if !std::mem::replace(&mut said, true) && wait > WORTH_SAYING {
                tracing::warn!(
                    seconds = wait.as_secs(),
                    "no request may go out yet: waiting"
                );
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = settled => {}
            }
        }
    }

    /// At the end of a run: what was booked and not used is given back.
    ///
    /// # Errors
    /// Those of the keeper.
    pub async fn close(&self) -> Result<()> {
        let used =
            |(identity, pace): (&String, &RateLimiter)| pace.is_kept().then(|| identity.clone());
        let identities: Vec<String> = self.paces().iter().filter_map(used).collect();
        for identity in identities {
            self.write(&identity, Write::Rest).await?;
        }
        Ok(())
    }

    async fn read(&self, identity: &str) -> Result<()> {
        let Some(keeper) = &self.0.keeper else {
            return Ok(());
        };
        let _one = self.0.desk.lock().await;
        let known = self.paces().get(identity).is_none_or(RateLimiter::is_kept);
        if !known {
            let spent = keeper.read(identity).await?;
            let now = self.now();
            if let Some(pace) = self.paces().get_mut(identity) {
                pace.remember(spent, now, clock::now());
            }
        }
        Ok(())
    }

    async fn write(&self, identity: &str, what: Write) -> Result<()> {
        let Some(keeper) = &self.0.keeper else {
            return Ok(());
        };
        let _one = self.0.desk.lock().await;
        let now = self.now();
        let (spent, block) = {
            let mut paces = self.paces();
            let Some(pace) = paces.get_mut(identity) else {
                return Ok(());
            };
            let block = match what {
                Write::Block if !pace.needs_block() => return Ok(()),
                Write::Block => pace.block(),
                Write::Refusal => 0,
                Write::Rest => {
                    pace.close_book();
                    0
                }
            };
            (pace.spent(block, now, clock::now()), block)
        };
        keeper.write(identity, spent).await?;
        if let Some(pace) = self.paces().get_mut(identity) {
            pace.book(block);
        }
        Ok(())
    }

    fn is_kept(&self) -> bool {
        self.0.keeper.is_some()
    }

    /// Never goes back, whatever happens to the machine's clock.
    fn now(&self) -> DateTime<Utc> {
        let (instant, time) = self.0.began;
        time + instant.elapsed()
    }

    fn paces(&self) -> MutexGuard<'_, BTreeMap<String, RateLimiter>> {
        self.0.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle<T: Default>(
        &self,
        identity: &str,
        how: impl FnOnce(&mut RateLimiter, DateTime<Utc>) -> T,
    ) -> T {
        let now = self.now();
        let settled = self.paces().get_mut(identity).map(|pace| how(pace, now));
        self.0.settled.notify_waiters();
        settled.unwrap_or_default()
    }
}

/// What is to be written down.
enum Write {
    /// What was spent and a block more, unless somebody has booked one meanwhile.
    Block,
    Refusal,
    Rest,
}

pub(super) enum Choice {
    Go(String, InFlight),
    /// What it has spent before is not known yet.
    Read(String),
    /// A block has to be written down first.
    Book(String),
    Wait(Wait),
}

/// The identity that may send and has most left, or what has to happen first.
pub(super) fn choose(
    paces: &mut BTreeMap<String, RateLimiter>,
    identities: &[&str],
    now: DateTime<Utc>,
    kept: bool,
) -> Choice {
    let mut wait = Wait::Never;
    let mut best: Option<(u32, &str)> = None;
    for identity in identities {
        let Some(pace) = paces.get_mut(*identity) else {
            continue;
        };
        if kept && !pace.is_kept() {
            return Choice::Read((*identity).to_owned());
        }
        match pace.look(now) {
            Ok(()) => {
                let left = pace.left(now);
                if best.is_none_or(|(most, _)| left > most) {
                    best = Some((left, identity));
                }
            }
            Err(other) => wait = wait.sooner(other),
        }
    }
    let Some((_, identity)) = best else {
        return Choice::Wait(wait);
    };
    let ticket = paces.get_mut(identity).and_then(|pace| pace.take(now));
    match ticket {
        Some(ticket) => Choice::Go(identity.to_owned(), ticket),
        None => Choice::Book(identity.to_owned()),
    }
}

/// The right to send one request.
pub(super) struct Permit {
    budgets: Budgets,
    identity: String,
    ticket: Option<InFlight>,
}

impl Permit {
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Any answer but 429.
    pub(super) fn answered(mut self, said: &RateLimitHeaders) {
        if let Some(ticket) = self.ticket.take() {
            let how = |pace: &mut RateLimiter, now| pace.answered(ticket, now, said);
            self.budgets.settle(&self.identity, how);
        }
    }

    /// A 429. It is written down, so that the next process waits as well. Returns whether it is the first in a row.
    ///
    /// # Errors
    /// Those of the keeper.
    pub(super) async fn refused(mut self, said: &RateLimitHeaders) -> Result<bool> {
        let first = self.ticket.take().is_some_and(|ticket| {
            let how = |pace: &mut RateLimiter, now| pace.refused(ticket, now, said);
            self.budgets.settle(&self.identity, how)
        });
        self.budgets.write(&self.identity, Write::Refusal).await?;
        Ok(first)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let how = |pace: &mut RateLimiter, now| pace.lost(ticket, now);
            self.budgets.settle(&self.identity, how);
        }
    }
}
