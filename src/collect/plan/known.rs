//! What the state tells of the next run, without a request.

use chrono::{DateTime, Utc};

use super::super::environments;
use super::super::freshness::{is_known_unavailable, is_unmoved};
use super::super::repositories::DiscoveredRepository;
use super::night::Rates;
use super::{Kind, RepositoryPlan, Requests};
use crate::bitbucket::{Endpoint, endpoints};
use crate::config::{RuleSet, SyncSettings};
use crate::lake::{ListState, RepositoryState};

/// A repository of which something is collected.
pub(in super::super) struct Known<'a> {
    pub state: &'a RepositoryState,
    pub discovered: &'a DiscoveredRepository,
    pub rules: &'a RuleSet,
    /// What was planned for it before.
    pub former: Option<&'a RepositoryPlan>,
    pub now: DateTime<Utc>,
    pub sync: &'a SyncSettings,
}

/// Its lists, in the order that they are read.
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

impl Known<'_> {
    pub fn plan(&self) -> RepositoryPlan {
        let unfinished = self.state.entities.values().any(|entity| {
            let load = entity
                .backfill
                .as_ref()
                .is_some_and(|walk| !walk.full_refresh);
            load || !entity.ever_returned() && entity.incremental.is_some()
        });
        let moved = !is_unmoved(self.state, self.discovered);
        let environments = self.entity("environments");
        let due = environments.is_none_or(|known| {
            environments::is_due(known, self.now) && !is_known_unavailable(known, self.now)
        });
        let next = Rates {
            moved,
            environments: f64::from(u8::from(due)),
            ..self.rates()
        };
        let usual = Rates {
            moved: true,
            environments: 1.0 / 7.0,
            ..self.rates()
        };
        RepositoryPlan {
            connection: self.discovered.connection.clone(),
            repository: self.discovered.found.full_name.clone(),
            uuid: self.state.uuid.clone(),
            kind: if unfinished {
                Kind::Unfinished
            } else {
                Kind::Update
            },
            next: self.with_what_waits(next.night(self.days(), self.rules)),
            usual_day: usual.night(1.0, self.rules),
            reason: None,
        }
    }

    fn entity(&self, table: &str) -> Option<&ListState> {
        self.state.entities.get(table)
    }

    /// Days since it was read.
    fn days(&self) -> f64 {
        let read = self
            .entity("repositories")
            .and_then(|known| known.complete_through);
        read.map_or(1.0, |read| days(read, self.now))
    }

    fn rates(&self) -> Rates {
        let rate = |table: &str| self.entity(table).map_or(0.0, |known| self.per_day(known));
        let heads = self
            .entity("commits")
            .map_or(0, |known| known.heads().len());
        let former = self
            .former
            .and_then(|plan| plan.usual_day.get("pull_request_commits"));
        Rates {
            moved: true,
            refs: heads.div_ceil(endpoints::REFS.pagelen.into()).max(1) as f64,
            // Their history has no beginning to measure from.
            commits: 0.0,
            open: 0.0,
            pull_requests: rate("pull_requests"),
            activity: rate("pull_request_activity"),
            lists: former.copied().unwrap_or_default(),
            pipelines: Some(rate("pipelines")),
            deployments: rate("deployments"),
            issues: self.discovered.has_issues.then(|| rate("issues")),
            environments: 0.0,
        }
    }

    /// New records a day, by how many there are.
    fn per_day(&self, known: &ListState) -> f64 {
        let Some(through) = known.complete_through else {
            return 0.0;
        };
        let from = known.complete_from.unwrap_or(self.state.since);
        known.sequence as f64 / days(from, through).max(1.0)
    }

    /// Adds what earlier runs left, and takes away what is not asked for.
    fn with_what_waits(&self, mut next: Requests) -> Requests {
        for list in LISTS {
            let begun = |known: &&ListState| known.ever_returned() || known.backfill.is_some();
            let Some(known) = self.entity(list.name).filter(begun) else {
                // An earlier run did not come to it.
                let planned = self.former.and_then(|plan| plan.next.get(list.name));
                next.extend(planned.map(|n| (list.name.to_owned(), *n)));
                continue;
            };
            if is_known_unavailable(known, self.now) {
                next.remove(list.name);
                continue;
            }
            let left = self.left(known, list);
            if left > 0.0 {
                *next.entry(list.name.to_owned()).or_default() += left;
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

    /// The pages of a walk that was not ended, or that is due.
    fn left(&self, known: &ListState, list: &Endpoint) -> f64 {
        let pagelen = f64::from(list.pagelen);
        let read = (known.sequence as f64 / pagelen).floor();
        match &known.backfill {
            Some(walk) => {
                let former = self.former.filter(|plan| plan.next.contains_key(list.name));
                let planned = former.map(|plan| match plan.kind {
                    Kind::FirstLoad => (plan.next[list.name] - read).max(1.0),
                    Kind::Unfinished | Kind::Update | Kind::Rest => plan.next[list.name],
                });
                walk.pages_left
                    .map(|left| left as f64)
                    .or(planned)
                    .unwrap_or(1.0)
            }
            None => {
                let every = self.sync.full_every.zip(known.full_refresh_on);
                let due = every.is_some_and(|(every, last)| every.has_passed(last, self.now));
                let reconciles = [endpoints::PULL_REQUESTS.name, endpoints::ISSUES.name];
                f64::from(u8::from(due && reconciles.contains(&list.name))) * (read + 1.0)
            }
        }
    }
}

fn days(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_minutes() as f64 / (24.0 * 60.0)
}
