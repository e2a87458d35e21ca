//! The progress of a run on the terminal. A collection has one line for each active repository, and one line for the
//! number of repositories, the requests and the remaining time. A transform has one line, first for its tables, then for
//! its files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::remaining::format_hours;
use crate::bitbucket::Client;
use crate::collect::CollectEvent;
use crate::collect::plan::hours;
use crate::plural::counted;
use crate::progress::{Progress, RepositoryProgress};
use crate::transform::{TransformEvent, TransformListener};

/// Shows the events of a collection.
pub(super) struct CollectWatch(Mutex<ShownProgress>);

struct ShownProgress {
    progress: Progress,
    repositories: BTreeMap<String, RepositoryProgress>,
    /// The number of repositories to visit, and the number of those that are finished.
    total: u64,
    done: u64,
    started: Instant,
    /// Estimated requests of the run; 0 when there is no estimate.
    planned: f64,
    budgets: BTreeMap<String, RequestCounts>,
}

/// The requests of one or all connections.
#[derive(Debug, Clone, Copy, Default)]
struct RequestCounts {
    spent: u64,
    /// The requests that are left in this hour.
    left: u32,
    per_hour: u32,
}

impl CollectWatch {
    pub(super) fn new(progress: &Progress) -> Self {
        progress.start_phase("finding repositories");
        Self(Mutex::new(ShownProgress {
            progress: progress.clone(),
            repositories: BTreeMap::new(),
            total: 0,
            done: 0,
            started: Instant::now(),
            planned: 0.0,
            budgets: BTreeMap::new(),
        }))
    }

    /// Show an event.
    pub(super) fn show(&self, event: CollectEvent<'_>) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            CollectEvent::Discovered { repositories } => {
                tracing::info!(repositories, "discovered");
            }
            CollectEvent::Planned {
                repositories,
                requests,
            } => {
                if requests > 0.0 {
                    tracing::info!(requests = requests.round(), "planned");
                }
                shown.planned = requests;
                shown.total = repositories as u64;
                shown.progress.start_count("repositories", shown.total);
            }
            CollectEvent::Page {
                repository,
                entity,
                records,
                client,
            } => {
                shown.page(repository, entity, records);
                shown.spend(client);
            }
            CollectEvent::Finished {
                repository,
                is_last_round,
            } => {
                tracing::info!(repository, "collected");
                if let Some(bar) = shown.repositories.remove(repository) {
                    bar.finish();
                }
                if is_last_round {
                    shown.done += 1;
                    shown.progress.set_count(shown.done, shown.total);
                }
            }
        }
    }
}

impl ShownProgress {
    fn page(&mut self, repository: &str, entity: &str, records: u64) {
        let progress = &self.progress;
        let bar = self.repositories.entry(repository.to_owned());
        let bar = bar.or_insert_with(|| progress.repository(repository));
        bar.entity(entity);
        bar.inc(records, 1);
    }

    fn spend(&mut self, client: &Client) {
        let room = client.head_room();
        let counts = RequestCounts {
            spent: client.requests().values().sum(),
            left: room.left,
            per_hour: room.limit,
        };
        self.budgets.insert(client.connection().to_owned(), counts);
        let all = self
            .budgets
            .values()
            .fold(RequestCounts::default(), |all, one| RequestCounts {
                spent: all.spent + one.spent,
                left: all.left.saturating_add(one.left),
                per_hour: all.per_hour.saturating_add(one.per_hour),
            });
        self.progress
            .set_message(&all.line(self.planned, self.started.elapsed()));
    }
}

impl RequestCounts {
    fn line(self, planned: f64, elapsed: Duration) -> String {
        let Self {
            spent,
            left,
            per_hour,
        } = self;
        let budget = format!("{left} left of {per_hour} an hour");
        if planned <= 0.0 {
            return format!("{}, {budget}", counted(spent, "request"));
        }
        let to_ask = (planned - spent as f64).max(0.0);
        // If the budget causes no delay, requests continue at the rate so far.
        let waits = hours(to_ask, left, per_hour);
        let works = elapsed.as_secs_f64() / 3600.0 * to_ask / spent.max(1) as f64;
        format!(
            "{spent}/{:.0} requests, {} to go; {budget}",
            planned.max(spent as f64),
            format_hours(waits.max(works))
        )
    }
}

/// Return a listener that shows the events of a transform.
pub(super) fn watch_transform(progress: &Progress) -> TransformListener {
    progress.start_phase("reading the lake");
    let shown = Mutex::new(ShownTransform {
        progress: progress.clone(),
        phase: TransformPhase::Reading,
        running: BTreeSet::new(),
        rows: 0,
    });
    TransformListener::new(move |event| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.show(event);
    })
}

struct ShownTransform {
    progress: Progress,
    phase: TransformPhase,
    /// The tables in computation.
    running: BTreeSet<String>,
    /// The rows of the computed tables.
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransformPhase {
    Reading,
    Tables,
    Files,
}

impl ShownTransform {
    fn show(&mut self, event: TransformEvent<'_>) {
        match event {
            TransformEvent::Reading { table } => self.progress.set_message(table),
            TransformEvent::Started { table } => {
                self.running.insert(table.to_string());
                self.show_tables();
            }
            TransformEvent::Finished {
                table,
                rows,
                done,
                total,
            } => {
                self.begin(TransformPhase::Tables, "tables", total as u64);
                self.running.remove(&table.to_string());
                self.rows += rows;
                self.progress.set_count(done as u64, total as u64);
                self.show_tables();
            }
            TransformEvent::Checking => self.progress.start_phase("checking the tables"),
            TransformEvent::Publishing { done, total } => {
                self.begin(TransformPhase::Files, "files published", total);
                self.progress.set_count(done, total);
            }
        }
    }

    fn begin(&mut self, phase: TransformPhase, things: &str, total: u64) {
        if self.phase != phase {
            self.phase = phase;
            self.progress.start_count(things, total);
        }
    }

    fn show_tables(&self) {
        let running: Vec<_> = self.running.iter().map(String::as_str).collect();
        let text = format!("{} rows  {}", self.rows, running.join(", "));
        self.progress.set_message(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPENT: RequestCounts = RequestCounts {
        spent: 400,
        left: 600,
        per_hour: 1_000,
    };

    #[test]
    fn a_repository_of_several_rounds_is_counted_once() {
        let watch = CollectWatch::new(&Progress::hidden());
        watch.show(CollectEvent::Planned {
            repositories: 2,
            requests: 10.0,
        });
        for (repository, is_last_round) in [
            ("acme", false),
            ("acme/web", false),
            ("acme/api", true),
            ("acme/web", false),
            ("acme/web", true),
        ] {
            watch.show(CollectEvent::Finished {
                repository,
                is_last_round,
            });
        }
        let shown = watch.0.lock().unwrap();
        assert_eq!((shown.done, shown.total), (2, 2));
    }

    #[test]
    fn the_time_left_follows_the_rate_until_the_budget_is_used_up() {
        let minute = Duration::from_secs(60);
        for (planned, line) in [
            (0.0, "400 requests, 600 left of 1000 an hour"),
            (
                1_000.0,
                "400/1000 requests, 2 min to go; 600 left of 1000 an hour",
            ),
            (
                21_000.0,
                "400/21000 requests, 20.0 h to go; 600 left of 1000 an hour",
            ),
            (
                300.0,
                "400/400 requests, less than a minute to go; 600 left of 1000 an hour",
            ),
        ] {
            assert_eq!(SPENT.line(planned, minute), line);
        }
    }
}
