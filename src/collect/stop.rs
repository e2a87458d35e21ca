//! Why a collection ends before its work does: the deadline, the quota, a signal. Walks look at it between pages, save
//! what they have, and return; nothing is torn off.

use std::time::{Duration, Instant};

use tokio::sync::watch;

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deadline => f.write_str("the deadline has passed"),
            Self::Quota(said) => f.write_str(said),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Shared by everything that collects.
#[derive(Debug)]
pub struct StopSignal {
    deadline: Option<Instant>,
    asked: watch::Sender<Option<StopReason>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// `--deadline` has passed.
    Deadline,
    /// Bitbucket refuses more requests; what it said.
    Quota(String),
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl StopSignal {
    /// `within`: from now on; `None` for no deadline.
    pub fn new(within: Option<Duration>) -> Self {
        Self {
            deadline: within.and_then(|within| Instant::now().checked_add(within)),
            asked: watch::Sender::new(None),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Asks everybody to stop; the first reason stays.
    pub fn ask(&self, reason: StopReason) {
        self.asked.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(reason);
            }
            first
        });
    }

    pub fn reason(&self) -> Option<StopReason> {
        let passed = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        let asked = self.asked.borrow().clone();
        asked.or(passed.then_some(StopReason::Deadline))
    }

    /// Resolves when it is time to stop.
    pub async fn wait(&self) {
        let mut asked = self.asked.subscribe();
        let asked = async {
            if asked.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match self.deadline {
            Some(deadline) => tokio::select! {
                () = asked => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            },
            None => asked.await,
        }
    }
}
