//! Draws progress on a terminal. Other outputs, such as the log of a scheduler, show none.
//!
//! ```text
//! ⠹ acme/web      pull_requests  1240 records  31 requests
//! ⠹ acme/api      pipelines       310 records   4 requests
//! [███████░░░░░░░░░░░░░] 14/40 repositories  00:02:10  412 requests, 588 left of 1000 an hour
//! ```
//!
//! Progress is drawn on stderr, because stdout carries results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape::escape;

/// The interval at which spinners are redrawn.
const TICK: Duration = Duration::from_millis(120);

/// The progress display. It is cheap to clone, and clones draw the same lines.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    repositories: ProgressBar,
}

impl Progress {
    /// Return a display that draws on stderr if it is a terminal.
    pub fn on_terminal() -> Self {
        Self::drawn_on(ProgressDrawTarget::stderr())
    }

    /// Return a display that draws nothing.
    pub fn hidden() -> Self {
        Self::drawn_on(ProgressDrawTarget::hidden())
    }

    fn drawn_on(target: ProgressDrawTarget) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        // The bar is added when its length is known.
        let repositories = ProgressBar::hidden();
        Self { bars, repositories }
    }

    /// Add the line that counts `total` repositories. Clones of the result share it.
    #[must_use]
    pub fn expecting(self, total: u64) -> Self {
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(style(
            "[{bar:20}] {pos}/{len} repositories  {elapsed_precise}  {msg}",
        ));
        Self {
            repositories: bar,
            ..self
        }
    }

    /// Set the text after the count of repositories.
    pub fn set_message(&self, text: &str) {
        self.repositories.set_message(escape(text).into_owned());
    }

    /// Add a line for a repository. The line is removed when its last handle is finished or dropped.
    pub fn repository(&self, full_name: &str) -> RepositoryProgress {
        let bar = self.bars.insert(0, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix}  {msg}"));
        bar.set_prefix(escape(full_name).into_owned());
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        RepositoryProgress(Arc::new(Repository {
            bar,
            total: self.repositories.clone(),
            entity: Mutex::new(String::new()),
            records: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }))
    }

    /// Run `write` while the lines are hidden, so that a log line does not break them.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Remove all lines.
    pub fn finish(&self) {
        self.repositories.finish_and_clear();
    }
}

/// The line of a repository. It is cheap to clone, and clones share their counts.
#[derive(Debug, Clone)]
pub struct RepositoryProgress(Arc<Repository>);

#[derive(Debug)]
struct Repository {
    bar: ProgressBar,
    total: ProgressBar,
    entity: Mutex<String>,
    records: AtomicU64,
    requests: AtomicU64,
    finished: AtomicBool,
}

impl RepositoryProgress {
    /// Set the entity that is being collected, and reset its counts.
    pub fn entity(&self, name: &str) {
        name.clone_into(&mut self.0.entity.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.records.store(0, Ordering::Relaxed);
        self.0.requests.store(0, Ordering::Relaxed);
        self.0.show();
    }

    /// Add to the counts of the entity.
    pub fn inc(&self, records: u64, requests: u64) {
        self.0.records.fetch_add(records, Ordering::Relaxed);
        self.0.requests.fetch_add(requests, Ordering::Relaxed);
        self.0.show();
    }

    /// Remove the line and count the repository. A second call has no effect.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl Repository {
    fn show(&self) {
        self.bar.set_message(escape(&self.message()).into_owned());
    }

    fn message(&self) -> String {
        format!(
            "{}  {} records  {} requests",
            self.entity.lock().unwrap_or_else(PoisonError::into_inner),
            self.records.load(Ordering::Relaxed),
            self.requests.load(Ordering::Relaxed)
        )
    }

    fn finish(&self) {
        if !self.finished.swap(true, Ordering::Relaxed) {
            self.bar.finish_and_clear();
            self.total.inc(1);
        }
    }
}

impl Drop for Repository {
    /// Remove the line of a repository whose collection fails.
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, so that parsing never fails.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌░")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_counts_and_a_new_entity_resets_them() {
        let handle = Progress::hidden().repository("acme/web");
        handle.entity("commits");
        handle.inc(100, 1);
        handle.clone().inc(50, 1);
        assert_eq!(handle.0.message(), "commits  150 records  2 requests");
        handle.entity("tags");
        assert_eq!(handle.0.message(), "tags  0 records  0 requests");
    }

    #[test]
    fn a_name_cannot_control_the_terminal() {
        let progress = Progress::hidden().expecting(1);
        let handle = progress.repository("acme/\u{1b}[2Jweb");
        assert_eq!(handle.0.bar.prefix(), "acme/\\u{1b}[2Jweb");
        progress.set_message("left\r\n");
        assert_eq!(progress.repositories.message(), "left\\r\\n");
    }

    #[test]
    fn a_repository_is_counted_once() {
        let progress = Progress::hidden().expecting(2);
        let finished = progress.repository("acme/web");
        finished.finish();
        drop(finished);
        drop(progress.repository("acme/api"));
        assert_eq!(progress.repositories.position(), 2);
    }
}
