//! The request budgets of a process, and how requests wait for them.
//!
//! A budget belongs to an identity as Bitbucket counts: all API tokens of one user share one budget, whichever
//! connections they are configured for, while every access token has its own. A request uses the identity with the most
//! requests left. A 429 blocks one identity only. Requests are persisted before they are sent, so that the next process
//! counts them even when this one is killed.
//!
//! ```text
//! acquire ─▶ choose ─▶ Permit ─▶ send ─▶ record_response | record_refusal | dropped
//!              ├─ Restore: read the record of earlier processes
//!              ├─ Reserve: persist the next block of requests
//!              └─ Wait:    for the window, the circuit breaker, or a response in flight
//! ```

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::budget_record::BudgetRecord;
use super::rate_limit::{RateLimitHeaders, SentRequest, Wait};
use super::rate_limiter::RateLimiter;
use super::retry::Limits;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// A shorter wait is not logged.
const MIN_LOGGED_WAIT: Duration = Duration::from_secs(10);

/// Stores the budget of each identity between two processes. The name of an identity contains no secret.
pub trait BudgetStore: Send + Sync {
    /// Read the record of an identity; `None` when none was written.
    fn read<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Option<BudgetRecord>>>;

    /// Replace the record of an identity.
    fn write<'a>(&'a self, identity: &'a str, record: BudgetRecord) -> BoxFuture<'a, Result<()>>;
}

/// The budgets of a process, by identity. Clones share the budgets.
#[derive(Clone)]
pub struct Budgets(Arc<SharedBudgets>);

struct SharedBudgets {
    started: (Instant, DateTime<Utc>),
    limiters: Mutex<BTreeMap<String, RateLimiter>>,
    /// Notified when a request is answered or lost, which may allow another one.
    finished: Notify,
    store: Option<Box<dyn BudgetStore>>,
    /// Serializes reads and writes of the store, so that one write serves all requests that need a block.
    store_lock: tokio::sync::Mutex<()>,
}

/// The requests that can be sent now without a wait, and the hourly limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadRoom {
    /// Requests that can be sent now.
    pub left: u32,
    /// Requests per hour.
    pub limit: u32,
}

impl std::fmt::Debug for Budgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Budgets").field(&self.limiters()).finish()
    }
}

impl Default for Budgets {
    /// Create budgets that are not persisted.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Budgets {
    /// Create budgets that `store` persists.
    pub fn with_store(store: impl BudgetStore + 'static) -> Self {
        Self::new(Some(Box::new(store)))
    }

    fn new(store: Option<Box<dyn BudgetStore>>) -> Self {
        Self(Arc::new(SharedBudgets {
            started: (Instant::now(), clock::now()),
            limiters: Mutex::default(),
            finished: Notify::new(),
            store,
            store_lock: tokio::sync::Mutex::default(),
        }))
    }

    /// Add the budget of an identity, or lower the ceiling of an existing one. `configured`: the connection's
    /// `requests_per_hour`; `default_limit` applies until the server reports a limit.
    pub(super) fn add(
        &self,
        identity: &str,
        configured: Option<u32>,
        default_limit: u32,
        limits: &Limits,
    ) {
        let create = || {
            let seed = getrandom::u64().unwrap_or_default();
            RateLimiter::new(configured, default_limit, limits, seed)
        };
        let mut limiters = self.limiters();
        limiters
            .entry(identity.to_owned())
            .or_insert_with(create)
            .lower_ceiling(configured);
    }

    /// Return the head room of one identity; zero for an unknown one.
    pub(super) fn head_room(&self, identity: &str) -> HeadRoom {
        let now = self.now();
        let mut limiters = self.limiters();
        let limiter = limiters.get_mut(identity);
        limiter
            .map(|limiter| HeadRoom {
                left: limiter.available(now),
                limit: limiter.limit(),
            })
            .unwrap_or_default()
    }

    /// Wait until one of the identities may send a request. A permit that is dropped records a lost request.
    ///
    /// # Errors
    /// [`ErrorKind::Quota`] when every identity has given up, or would have to wait beyond the deadline; errors of the
    /// store.
    pub(super) async fn acquire(
        &self,
        identities: &[&str],
        deadline: Option<Instant>,
    ) -> Result<Permit> {
        let mut is_logged = false;
        loop {
            let mut finished = pin!(self.0.finished.notified());
            finished.as_mut().enable();
            let choice = choose(
                &mut self.limiters(),
                identities,
                self.now(),
                self.has_store(),
            );
            let until = match choice {
                Choice::Send(identity, sent) => {
                    return Ok(Permit {
                        budgets: self.clone(),
                        identity,
                        sent: Some(sent),
                    });
                }
                Choice::Restore(identity) => {
                    self.restore(&identity).await?;
                    continue;
                }
                Choice::Reserve(identity) => {
                    self.persist(&identity, Change::Reserve).await?;
                    continue;
                }
                Choice::Wait(Wait::Until(until)) => until,
                Choice::Wait(Wait::ForResponse) => {
                    finished.await;
                    continue;
                }
                Choice::Wait(Wait::Forever) => return Err(given_up()),
            };
            let wait = (until - self.now()).to_std().unwrap_or_default();
            if deadline.is_some_and(|deadline| Instant::now() + wait > deadline) {
                return Err(beyond_deadline(wait));
            }
            if !std::mem::replace(&mut is_logged, true) && wait > MIN_LOGGED_WAIT {
                tracing::warn!(
                    seconds = wait.as_secs(),
                    "the request budget is used up: paused"
                );
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = finished => {}
            }
        }
    }

    /// Release the reserved requests that were not sent, at the end of a run.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn close(&self) -> Result<()> {
        let restored = |(identity, limiter): (&String, &RateLimiter)| {
            limiter.is_restored().then(|| identity.clone())
        };
        let identities: Vec<String> = self.limiters().iter().filter_map(restored).collect();
        for identity in identities {
            self.persist(&identity, Change::Release).await?;
        }
        Ok(())
    }

    async fn restore(&self, identity: &str) -> Result<()> {
        let Some(store) = &self.0.store else {
            return Ok(());
        };
        let _guard = self.0.store_lock.lock().await;
        let is_restored = self
            .limiters()
            .get(identity)
            .is_none_or(RateLimiter::is_restored);
        if !is_restored {
            let record = store.read(identity).await?;
            let now = self.now();
            if let Some(limiter) = self.limiters().get_mut(identity) {
                limiter.restore(record, now, clock::now());
            }
        }
        Ok(())
    }

    async fn persist(&self, identity: &str, change: Change) -> Result<()> {
        let Some(store) = &self.0.store else {
            return Ok(());
        };
        let _guard = self.0.store_lock.lock().await;
        let now = self.now();
        let (record, block) = {
            let mut limiters = self.limiters();
            let Some(limiter) = limiters.get_mut(identity) else {
                return Ok(());
            };
            let block = match change {
                Change::Reserve if !limiter.needs_reservation() => return Ok(()),
                Change::Reserve => limiter.block_size(),
                Change::Refusal => 0,
                Change::Release => {
                    limiter.release_reservation();
                    0
                }
            };
            (limiter.snapshot(block, now, clock::now()), block)
        };
        store.write(identity, record).await?;
        if let Some(limiter) = self.limiters().get_mut(identity) {
            limiter.reserve(block);
        }
        Ok(())
    }

    fn has_store(&self) -> bool {
        self.0.store.is_some()
    }

    /// Return a time that never decreases, even when the machine's clock is set back.
    fn now(&self) -> DateTime<Utc> {
        let (instant, time) = self.0.started;
        time + instant.elapsed()
    }

    fn limiters(&self) -> MutexGuard<'_, BTreeMap<String, RateLimiter>> {
        self.0
            .limiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Apply the result of a request to the identity's limiter, and wake the requests that are blocked.
    fn finish<T: Default>(
        &self,
        identity: &str,
        apply: impl FnOnce(&mut RateLimiter, DateTime<Utc>) -> T,
    ) -> T {
        let now = self.now();
        let result = self
            .limiters()
            .get_mut(identity)
            .map(|limiter| apply(limiter, now));
        self.0.finished.notify_waiters();
        result.unwrap_or_default()
    }
}

fn given_up() -> Error {
    Error::new(
        ErrorKind::Quota,
        "bitbucket still refuses requests after more than an hour of retries",
    )
    .hint("run again later, or lower requests_per_hour if others use the same credentials")
}

/// `wait`: the time until the next request may be sent.
fn beyond_deadline(wait: Duration) -> Error {
    let minutes = wait.as_secs().div_ceil(60);
    let message =
        format!("no request may be sent for {minutes} minutes, and the deadline is sooner");
    Error::new(ErrorKind::Quota, message)
        .hint("run again later: the next run resumes where this one stopped")
}

/// The reason why a budget is persisted.
enum Change {
    /// A block of requests is reserved, unless a concurrent request has reserved one.
    Reserve,
    /// A request was refused with 429.
    Refusal,
    /// Reserved requests that were not sent are released.
    Release,
}

/// What has to happen for a request to be sent.
pub(super) enum Choice {
    /// The identity may send the request.
    Send(String, SentRequest),
    /// The record of the identity has to be read.
    Restore(String),
    /// A block of requests has to be persisted for the identity.
    Reserve(String),
    Wait(Wait),
}

/// Choose the identity that may send a request and has the most requests left.
pub(super) fn choose(
    limiters: &mut BTreeMap<String, RateLimiter>,
    identities: &[&str],
    now: DateTime<Utc>,
    has_store: bool,
) -> Choice {
    let mut wait = Wait::Forever;
    let mut best: Option<(u32, &str)> = None;
    for identity in identities {
        let Some(limiter) = limiters.get_mut(*identity) else {
            continue;
        };
        if has_store && !limiter.is_restored() {
            return Choice::Restore((*identity).to_owned());
        }
        match limiter.check(now) {
            Ok(()) => {
                let left = limiter.available(now);
                if best.is_none_or(|(most, _)| left > most) {
                    best = Some((left, identity));
                }
            }
            Err(other) => wait = wait.earlier(other),
        }
    }
    let Some((_, identity)) = best else {
        return Choice::Wait(wait);
    };
    let limiter = limiters.get_mut(identity);
    match limiter.and_then(|limiter| limiter.start_request(now)) {
        Some(sent) => Choice::Send(identity.to_owned(), sent),
        None => Choice::Reserve(identity.to_owned()),
    }
}

/// The permission to send one request. Dropping it records a lost request.
pub(super) struct Permit {
    budgets: Budgets,
    identity: String,
    /// `None` once the result is recorded.
    sent: Option<SentRequest>,
}

impl Permit {
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Record any response but a 429.
    pub(super) fn record_response(mut self, headers: &RateLimitHeaders) {
        if let Some(sent) = self.sent.take() {
            self.budgets.finish(&self.identity, |limiter, now| {
                limiter.record_response(sent, now, headers);
            });
        }
    }

    /// Record a 429 and persist it, so that the next process respects the delay. Return whether it is the first of
    /// consecutive ones.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn record_refusal(mut self, headers: &RateLimitHeaders) -> Result<bool> {
        let is_first = self.sent.take().is_some_and(|sent| {
            self.budgets.finish(&self.identity, |limiter, now| {
                limiter.record_refusal(sent, now, headers)
            })
        });
        self.budgets
            .persist(&self.identity, Change::Refusal)
            .await?;
        Ok(is_first)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.budgets.finish(&self.identity, |limiter, now| {
                limiter.record_lost(sent, now)
            });
        }
    }
}
