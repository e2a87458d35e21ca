//! What one query may use: a time and an amount of memory, watched from a thread of its own.
//!
//! ```text
//! the query, on the runtime's workers ──▶ rows ──┐
//! the watch: clock, resident size ──▶ breach ────┴▶ whichever comes first
//! ```
//!
//! A task that computes without ever yielding starves the runtime's own timers, so the watch is no task. What it stops
//! may go on computing until the process ends, which is right after.

use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, OrError, Result};

const GLANCE: Duration = Duration::from_millis(20);

/// The limits of one query.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryLimits {
    pub(super) time: Duration,
    /// Bytes of the whole process.
    pub(super) memory: u64,
}

impl QueryLimits {
    /// The work's result, or the error of the limit that it breaks.
    ///
    /// # Errors
    /// The work's own; [`ErrorKind::Usage`] when it needs more than it may.
    pub(super) async fn watch<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (tell, breach) = oneshot::channel();
        // Dropped with this future, which ends the thread.
        let (_over, is_over) = mpsc::channel::<()>();
        std::thread::Builder::new()
            .name("limits".to_owned())
            .spawn(move || {
                if let Some(error) = self.breach(&is_over) {
                    let _ = tell.send(error);
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

    /// Blocks until a limit is broken, or the other end of `is_over` is dropped.
    fn breach(self, is_over: &mpsc::Receiver<()>) -> Option<Error> {
        let started = Instant::now();
        while let Err(mpsc::RecvTimeoutError::Timeout) = is_over.recv_timeout(GLANCE) {
            if started.elapsed() >= self.time {
                return Some(self.too_long());
            }
            if resident().is_some_and(|bytes| bytes > self.memory) {
                return Some(too_large(self.memory));
            }
        }
        None
    }

    fn too_long(self) -> Error {
        Error::new(ErrorKind::Usage, "the query takes longer than it may")
            .with("timeout", Seconds(self.time))
            .hint("ask for less, or allow it more time with --timeout")
    }
}

/// The error of a query that needs more than `memory` bytes, whoever notices it: the watch or the engine.
pub(super) fn too_large(memory: u64) -> Error {
    Error::new(ErrorKind::Usage, "the query needs more memory than it may")
        .with("memory_limit", format!("{} MiB", memory >> 20))
        .hint("ask for less, or allow it more with --memory-limit")
}

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

/// Bytes of this process in memory; nothing where the system does not tell. DataFusion's own account misses windows,
/// joins and formatted rows.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueryLimits = QueryLimits {
        time: Duration::from_millis(100),
        memory: u64::MAX,
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_that_never_yields_is_stopped_and_says_which_limit() {
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
        if resident().is_none() {
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
