//! Limits the time and the memory of a query.
//!
//! ```text
//! query, on the runtime's workers ──▶ rows ─────────────────┐
//! thread that watches clock and resident size ──▶ breach ───┴▶ the first of both
//! ```
//!
//! The limits are watched by a thread instead of a task, because a task that never yields blocks the timers of the
//! runtime. A query that exceeds a limit may compute until the process ends, which follows immediately.

use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, OrError, Result};
use crate::memory::resident_size;

/// The interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The limits of one query.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryLimits {
    /// The maximum duration.
    pub(super) time: Duration,
    /// The maximum resident size of the process in bytes.
    pub(super) memory: u64,
}

impl QueryLimits {
    /// Run `work` and return its result, or the error of the limit that it exceeds.
    ///
    /// # Errors
    /// The error of `work`; [`ErrorKind::Usage`] if it exceeds a limit.
    pub(super) async fn watch<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (report, breach) = oneshot::channel();
        // The sender is dropped with this future, which ends the thread.
        let (_over, is_over) = mpsc::channel::<()>();
        std::thread::Builder::new()
            .name("limits".to_owned())
            .spawn(move || {
                if let Some(error) = self.wait_for_breach(&is_over) {
                    let _ = report.send(error);
                }
            })
            .or_error(ErrorKind::Internal, "cannot watch the query's limits")?;
        let mut work = tokio::spawn(work);
        tokio::select! {
            biased;
            result = &mut work => match result {
                Ok(result) => result,
                Err(error) => Err(Error::new(ErrorKind::Internal, "the query engine failed").source(error)),
            },
            Ok(error) = breach => {
                work.abort();
                Err(error)
            }
        }
    }

    /// Block until a limit is exceeded or the sender of `is_over` is dropped.
    fn wait_for_breach(self, is_over: &mpsc::Receiver<()>) -> Option<Error> {
        let started = Instant::now();
        while let Err(mpsc::RecvTimeoutError::Timeout) = is_over.recv_timeout(CHECK_INTERVAL) {
            if started.elapsed() >= self.time {
                return Some(self.too_long());
            }
            if resident_size().is_some_and(|bytes| bytes > self.memory) {
                return Some(too_large(self.memory));
            }
        }
        None
    }

    fn too_long(self) -> Error {
        Error::new(ErrorKind::Usage, "the query exceeds its time limit")
            .with("timeout", Seconds(self.time))
            .hint("query less data, or raise --timeout")
    }
}

/// Return the error of a query that needs more than `memory` bytes.
pub(super) fn too_large(memory: u64) -> Error {
    Error::new(ErrorKind::Usage, "the query exceeds the memory limit")
        .with("memory_limit", format!("{} MiB", memory >> 20))
        .hint("query less data, or raise --memory-limit")
}

/// Formats a duration as the command line spells it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueryLimits = QueryLimits {
        time: Duration::from_millis(100),
        memory: u64::MAX,
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_that_never_yields_is_stopped_with_the_error_of_its_limit() {
        let work = async {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        };
        let started = Instant::now();
        let error = LIMITS.watch(work).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains("--timeout"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn memory_that_the_engine_does_not_count_is_counted() {
        if resident_size().is_none() {
            return;
        }
        let limits = QueryLimits {
            time: Duration::from_secs(60),
            memory: 1 << 20,
        };
        let error = limits.watch(std::future::pending::<Result<()>>()).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("memory_limit=1 MiB") && error.contains("--memory-limit"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn work_within_its_limits_gives_its_result_and_a_panic_is_an_error() {
        assert_eq!(LIMITS.watch(async { Ok(7) }).await.unwrap(), 7);
        let error = LIMITS
            .watch::<()>(async { panic!("no") })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
