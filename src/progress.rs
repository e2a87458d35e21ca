//! Draws progress on a terminal. Other outputs, such as the log of a scheduler, show none.
//!
//! ```text
//! ⠹ acme/web      pull_requests  1240 records  31 requests
//! ⠹ acme/api      pipelines       310 records   4 requests
//! ⠹ ███████░░░░░ 14/40 repositories  00:02:10
//!   412/1012 requests, 2 min to go; 588 left of 1000 an hour
//! ```
//!
//! The last two lines are the phase of the command, such as `57/103 tables`. A thread redraws it, so that it moves while all
//! other threads work. Lines are cut at the terminal's width. Progress is drawn on stderr, because stdout carries results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape::escape;
use crate::plural::counted;

/// The interval at which spinners are redrawn.
const TICK: Duration = Duration::from_millis(120);
/// The most characters of a repository's name that a line shows.
const MAX_NAME: usize = 40;

/// The progress display. It is cheap to clone, and clones draw the same lines.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    phase: ProgressBar,
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
        let phase = bars.add(ProgressBar::new_spinner());
        Self { bars, phase }
    }

    /// Show a phase that counts nothing.
    pub fn start_phase(&self, text: &str) {
        self.start(
            style("{spinner} {prefix}  {elapsed_precise}  {wide_msg}"),
            text,
        );
    }

    /// Show a phase that counts `total` things, such as repositories.
    pub fn start_count(&self, things: &str, total: u64) {
        let two_lines = "{spinner} {bar:12} {pos}/{len} {prefix}  {elapsed_precise}\n  {wide_msg}";
        self.start(style(two_lines), things);
        self.set_count(0, total);
    }

    fn start(&self, style: ProgressStyle, text: &str) {
        if self.bars.is_hidden() {
            return;
        }
        if self.phase.is_finished() {
            self.phase.reset();
        }
        // Every setter redraws the line. With the style last, no frame lacks the name of the phase.
        self.phase.set_prefix(text.to_owned());
        self.phase.set_message("");
        self.phase.set_style(style);
        self.phase.enable_steady_tick(TICK);
    }

    /// Set the numbers of the phase that counts.
    pub fn set_count(&self, done: u64, total: u64) {
        self.phase.set_length(total);
        self.phase.set_position(done);
    }

    /// Set the text after the count or the name of the phase.
    pub fn set_message(&self, text: &str) {
        self.phase.set_message(escape(text).into_owned());
    }

    /// Add a line for a repository. The line is removed when its last handle is finished or dropped.
    pub fn repository(&self, full_name: &str) -> RepositoryProgress {
        let bar = self.bars.insert(0, ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix}  {wide_msg}"));
        let name: String = escape(full_name).chars().take(MAX_NAME).collect();
        bar.set_prefix(name);
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        RepositoryProgress(Arc::new(Repository {
            bar,
            entity: Mutex::new(String::new()),
            records: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }))
    }

    /// Run `write` while the lines are hidden, so that a log line does not break them.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Remove all lines.
    pub fn finish(&self) {
        if !self.bars.is_hidden() {
            self.phase.finish_and_clear();
        }
    }
}

/// The line of a repository. It is cheap to clone, and clones share their counts.
#[derive(Debug, Clone)]
pub struct RepositoryProgress(Arc<Repository>);

#[derive(Debug)]
struct Repository {
    bar: ProgressBar,
    entity: Mutex<String>,
    records: AtomicU64,
    requests: AtomicU64,
}

impl RepositoryProgress {
    /// Set the entity that is being collected. Another one than before resets the counts.
    pub fn entity(&self, name: &str) {
        let mut entity = self.0.entity.lock().unwrap_or_else(PoisonError::into_inner);
        if *entity != name {
            name.clone_into(&mut entity);
            self.0.records.store(0, Ordering::Relaxed);
            self.0.requests.store(0, Ordering::Relaxed);
        }
        drop(entity);
        self.0.show();
    }

    /// Add to the counts of the entity.
    pub fn inc(&self, records: u64, requests: u64) {
        self.0.records.fetch_add(records, Ordering::Relaxed);
        self.0.requests.fetch_add(requests, Ordering::Relaxed);
        self.0.show();
    }

    /// Remove the line. A second call has no effect.
    pub fn finish(&self) {
        self.0.bar.finish_and_clear();
    }
}

impl Repository {
    fn show(&self) {
        self.bar.set_message(escape(&self.message()).into_owned());
    }

    fn message(&self) -> String {
        format!(
            "{}  {}  {}",
            self.entity.lock().unwrap_or_else(PoisonError::into_inner),
            counted(self.records.load(Ordering::Relaxed), "record"),
            counted(self.requests.load(Ordering::Relaxed), "request")
        )
    }
}

impl Drop for Repository {
    /// Remove the line of a repository whose collection fails.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
    use indicatif::TermLike;

    use super::*;

    #[test]
    fn pages_of_one_entity_are_counted_together_and_a_new_entity_resets_the_counts() {
        let handle = Progress::hidden().repository("acme/web");
        for _ in 0..2 {
            handle.entity("commits");
            handle.clone().inc(100, 1);
        }
        assert_eq!(handle.0.message(), "commits  200 records  2 requests");
        handle.entity("tags");
        assert_eq!(handle.0.message(), "tags  0 records  0 requests");
    }

    #[test]
    fn a_name_cannot_control_the_terminal() {
        let progress = Progress::hidden();
        let handle = progress.repository("acme/\u{1b}[2Jweb");
        assert_eq!(handle.0.bar.prefix(), "acme/\\u{1b}[2Jweb");
        progress.set_message("left\r\n");
        assert_eq!(progress.phase.message(), "left\\r\\n");
    }

    /// A terminal of 80 columns that keeps what was written to it.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<String>>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push(text.trim_end().to_owned());
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_phases_follow_each_other() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let progress = Progress::drawn_on(target);
        progress.start_phase("finding repositories");
        std::thread::sleep(TICK * 2);
        progress.start_count("repositories", 40);
        progress.set_count(14, 40);
        progress.set_message(&"a long message ".repeat(10));
        let repository = progress.repository(&"acme/a-long-name".repeat(9));
        repository.entity("pull_request_activity");
        std::thread::sleep(TICK * 2);
        progress.finish();
        progress.start_phase("reading the metrics");
        std::thread::sleep(TICK * 2);
        let lines = terminal.0.lock().unwrap().clone();
        for shown in [
            "finding repositories",
            "14/40 repositories",
            "reading the metrics",
        ] {
            assert!(
                lines.iter().any(|line| line.contains(shown)),
                "{shown}: {lines:?}"
            );
        }
        let widest = lines.iter().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{lines:?}");
    }
}
