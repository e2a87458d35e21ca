//! The visits of one run: repositories with their rules, in the order in which the run reads them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::context::RunContext;
use super::deferral::choose_deferred;
use super::discovered::DiscoveredRepository;
use super::freshness::candidate;
use super::report::RepositoryReport;
use super::repository::RepositoryCollector;
use super::selection::RunSelection;
use crate::bitbucket::Client;
use crate::config::RuleSet;
use crate::error::Result;

/// A repository that a run visits.
pub(super) struct RepositoryVisit<'a> {
    pub(super) repository: RepositoryCollector<'a>,
    pub(super) rules: &'a RuleSet,
    pub(super) discovered: &'a DiscoveredRepository,
}

impl<'a> RepositoryVisit<'a> {
    /// Open all repositories of a selection.
    pub(super) fn open_all(
        context: &'a RunContext<'a>,
        selection: &RunSelection<'a>,
    ) -> Result<Vec<Self>> {
        let repositories = selection.repositories.iter();
        let open = repositories.map(|selected| {
            Ok(Self {
                repository: RepositoryCollector::open(
                    context,
                    selected.client,
                    selected.discovered,
                )?,
                rules: selected.rules,
                discovered: selected.discovered,
            })
        });
        open.collect()
    }
}

/// Split visits into those of this run and the reports of deferred repositories.
pub(super) fn defer_visits<'a>(
    visits: Vec<RepositoryVisit<'a>>,
    clients: &BTreeMap<String, Client>,
    now: DateTime<Utc>,
) -> (Vec<RepositoryVisit<'a>>, Vec<RepositoryReport>) {
    let candidates: Vec<_> = visits
        .iter()
        .map(|visit| candidate(Some(visit.repository.state()), visit.discovered))
        .collect();
    let head_rooms = clients
        .iter()
        .map(|(connection, client)| (connection.clone(), client.head_room()))
        .collect();
    let deferred = choose_deferred(&candidates, &head_rooms, now);
    let (mut kept, mut reports) = (Vec::new(), Vec::new());
    for (position, visit) in visits.into_iter().enumerate() {
        match deferred.contains(&position) {
            true => reports.push(visit.repository.defer()),
            false => kept.push(visit),
        }
    }
    (kept, reports)
}
