//! Estimates the next run of a known repository from its state, without a request.

use chrono::{DateTime, Utc};

use super::super::discovered::DiscoveredRepository;
use super::super::environments;
use super::super::freshness::{is_known_unavailable, is_unmoved};
use super::rates::{ENVIRONMENTS_PER_DAY, Rates};
use super::{RepositoryPlan, Requests, VisitKind, days_between};
use crate::bitbucket::{Endpoint, endpoints};
use crate::config::{RuleSet, SyncSettings};
use crate::lake::{ListState, RepositoryState};
use crate::schema::SourceTable;

/// A repository of which at least one list was read.
pub(super) struct KnownRepository<'a> {
    pub(super) state: &'a RepositoryState,
    pub(super) discovered: &'a DiscoveredRepository,
    pub(super) rules: &'a RuleSet,
    /// Its part of the previous plan.
    pub(super) former: Option<&'a RepositoryPlan>,
    pub(super) now: DateTime<Utc>,
    pub(super) sync: &'a SyncSettings,
}

/// The lists of a repository, in the order in which they are read.
const LISTS: [&Endpoint; 8] = [
    &endpoints::REFS,
    &endpoints::COMMITS,
    &endpoints::PULL_REQUESTS,
    &endpoints::REPOSITORY_ACTIVITY,
    &endpoints::PULL_REQUEST_COMMITS,
    &endpoints::ISSUES,
    &endpoints::PIPELINES,
    &endpoints::DEPLOYMENTS,
];

/// Lists that are read whole again every `full_every` days.
const FULL_REFRESHED: [&str; 2] = [endpoints::PULL_REQUESTS.name, endpoints::ISSUES.name];

/// Whether no list of the repository was ever begun. Its own record does not count.
pub(super) fn is_untouched(state: &RepositoryState) -> bool {
    let mut lists = state.entities.iter();
    !lists.any(|(table, list)| table != SourceTable::Repositories.as_str() && is_begun(list))
}

fn is_begun(list: &ListState) -> bool {
    list.ever_returned() || list.backfill.is_some()
}

impl KnownRepository<'_> {
    /// Estimate the next run and a usual day.
    pub(super) fn plan(&self) -> RepositoryPlan {
        let is_unfinished = self.state.entities.values().any(|list| {
            let backfill = list.backfill.as_ref();
            let is_loading = backfill.is_some_and(|cursor| !cursor.full_refresh);
            is_loading || !list.ever_returned() && list.incremental.is_some()
        });
        let is_moved = !is_unmoved(self.state, self.discovered);
        let environments = self.list("environments");
        let are_environments_due = environments.is_none_or(|list| {
            environments::is_due(list, self.now) && !is_known_unavailable(list, self.now)
        });
        let next = Rates {
            is_moved,
            environments: f64::from(u8::from(are_environments_due)),
            ..self.rates()
        };
        let usual = Rates {
            is_moved: true,
            environments: ENVIRONMENTS_PER_DAY,
            ..self.rates()
        };
        let next = next.requests_after(self.days_since_visit(), self.rules);
        RepositoryPlan {
            connection: self.discovered.connection.clone(),
            repository: self.discovered.found.full_name.clone(),
            uuid: self.state.uuid.clone(),
            kind: match is_unfinished {
                true => VisitKind::Unfinished,
                false => VisitKind::Update,
            },
            next: self.with_unfinished_lists(next),
            usual_day: usual.requests_after(1.0, self.rules),
            reason: None,
        }
    }

    fn list(&self, table: &str) -> Option<&ListState> {
        self.state.entities.get(table)
    }

    fn days_since_visit(&self) -> f64 {
        let visit = self
            .list("repositories")
            .and_then(|list| list.complete_through);
        visit.map_or(1.0, |visit| days_between(visit, self.now))
    }

    fn rates(&self) -> Rates {
        let rate = |table: &str| self.list(table).map_or(0.0, |list| self.per_day(list));
        let heads = self.list("commits").map_or(0, |list| list.heads().len());
        let former = self
            .former
            .and_then(|plan| plan.usual_day.get("pull_request_commits"));
        Rates {
            is_moved: true,
            ref_pages: heads.div_ceil(endpoints::REFS.pagelen.into()).max(1) as f64,
            // Commits are read from the beginning of the history, so there is no first date to measure from.
            commits: 0.0,
            open_pull_requests: 0.0,
            pull_requests: rate("pull_requests"),
            activity: rate("pull_request_activity"),
            commit_lists: former.copied().unwrap_or_default(),
            pipelines: Some(rate("pipelines")),
            deployments: rate("deployments"),
            issues: self.discovered.has_issues.then(|| rate("issues")),
            environments: 0.0,
        }
    }

    /// Return the new records of a list per day, on average over the time that it covers.
    fn per_day(&self, list: &ListState) -> f64 {
        let Some(last_complete) = list.complete_through else {
            return 0.0;
        };
        let from = list.complete_from.unwrap_or(self.state.since);
        list.sequence as f64 / days_between(from, last_complete).max(1.0)
    }

    /// Add unfinished lists and pending records, and leave out unavailable lists.
    fn with_unfinished_lists(&self, mut next: Requests) -> Requests {
        for endpoint in LISTS {
            let Some(list) = self.list(endpoint.name).filter(|list| is_begun(list)) else {
                // The run that loads the repository did not reach this list yet.
                let planned = self.former.and_then(|plan| plan.next.get(endpoint.name));
                next.extend(planned.map(|n| (endpoint.name.to_owned(), *n)));
                continue;
            };
            if is_known_unavailable(list, self.now) {
                next.remove(endpoint.name);
                continue;
            }
            let pages = self.remaining_pages(list, endpoint);
            if pages > 0.0 {
                *next.entry(endpoint.name.to_owned()).or_default() += pages;
            }
        }
        for table in self.state.entities.keys() {
            let pending = self.state.pending_requests(table);
            if pending > 0 {
                *next.entry(table.clone()).or_default() += pending as f64;
            }
        }
        next
    }

    /// Return the pages of an unfinished backfill, or of a full refresh that is due.
    fn remaining_pages(&self, list: &ListState, endpoint: &Endpoint) -> f64 {
        let read = (list.sequence as f64 / f64::from(endpoint.pagelen)).floor();
        let Some(cursor) = &list.backfill else {
            let every = self.sync.full_every.zip(list.full_refresh_on);
            let is_due = every.is_some_and(|(every, last)| every.has_passed(last, self.now));
            return match is_due && FULL_REFRESHED.contains(&endpoint.name) {
                true => read + 1.0,
                false => 0.0,
            };
        };
        let planned = self.former.and_then(|plan| {
            let pages = *plan.next.get(endpoint.name)?;
            Some(match plan.kind {
                VisitKind::FirstLoad => (pages - read).max(1.0),
                VisitKind::Unfinished | VisitKind::Update | VisitKind::Deferred => pages,
            })
        });
        let reported = cursor.pages_left.map(|pages| pages as f64);
        reported.or(planned).unwrap_or(1.0)
    }
}
