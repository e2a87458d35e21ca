//! The progress of a collection on the terminal: a line for each repository under way, and one for the budget and the
//! time left.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::remaining::format_hours;
use crate::bitbucket::Client;
use crate::collect::CollectEvent;
use crate::collect::plan::hours;
use crate::progress::{Progress, RepositoryProgress};

/// Shows the events of a collection.
pub(super) struct CollectWatch(Mutex<ShownProgress>);

struct ShownProgress {
    progress: Progress,
    repositories: BTreeMap<String, RepositoryProgress>,
    started: Instant,
    /// Estimated requests of the run; 0 when there is no estimate.
    planned: f64,
    budgets: BTreeMap<String, RequestCounts>,
}

/// The requests of one or all connections.
#[derive(Debug, Clone, Copy, Default)]
struct RequestCounts {
    spent: u64,
    /// Requests of this hour that are left.
    left: u32,
    per_hour: u32,
}

impl CollectWatch {
    pub(super) fn new(progress: &Progress) -> Self {
        Self(Mutex::new(ShownProgress {
            progress: progress.clone(),
            repositories: BTreeMap::new(),
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
                shown.progress = shown.progress.clone().expecting(repositories as u64);
            }
            CollectEvent::Planned { requests } => {
                if requests > 0.0 {
                    tracing::info!(requests = requests.round(), "planned");
                }
                shown.planned = requests;
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
            CollectEvent::Finished { repository } => {
                tracing::info!(repository, "collected");
                if let Some(bar) = shown.repositories.remove(repository) {
                    bar.finish();
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
        let so_far = format!("{spent} requests, {left} left of {per_hour} an hour");
        if planned <= 0.0 {
            return so_far;
        }
        let to_ask = (planned - spent as f64).max(0.0);
        // Without a wait for the budget, requests go out at the rate so far.
        let waits = hours(to_ask, left, per_hour);
        let works = elapsed.as_secs_f64() / 3600.0 * to_ask / spent.max(1) as f64;
        format!(
            "{so_far}, about {to_ask:.0} to go: {}",
            format_hours(waits.max(works))
        )
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
    fn the_time_left_follows_the_rate_until_the_budget_is_used_up() {
        let minute = Duration::from_secs(60);
        let so_far = "400 requests, 600 left of 1000 an hour";
        assert_eq!(SPENT.line(0.0, minute), so_far);
        assert_eq!(
            SPENT.line(1_000.0, minute),
            format!("{so_far}, about 600 to go: 2 min")
        );
        assert_eq!(
            SPENT.line(21_000.0, minute),
            format!("{so_far}, about 20600 to go: 20.0 h")
        );
        assert_eq!(
            SPENT.line(300.0, minute),
            format!("{so_far}, about 0 to go: less than a minute")
        );
    }
}
