//! The estimated requests of the run under way, which its report shows next to the requests that it sent.

use std::collections::BTreeMap;

use super::super::context::RunContext;
use super::super::report::{CollectReport, RepositoryReport};
use super::super::visit::RepositoryVisit;
use super::estimate::count_requests;
use super::known::{KnownRepository, is_untouched};
use super::{Plan, RepositoryPlan, Requests, sum, total};
use crate::bitbucket::Client;
use crate::error::Result;
use crate::lake::layout;

/// The estimated requests of a run.
pub(in super::super) struct RunEstimate {
    repositories: Vec<RepositoryPlan>,
    /// The plan that `bitlake plan` put on the lake.
    former: Option<Plan>,
    /// Requests that belong to no repository.
    once: Requests,
    /// By table, over all repositories; empty when there is no estimate for some of them.
    pub(in super::super) requests: Requests,
}

impl RunEstimate {
    /// Estimate the requests of the visits. No request is sent: a new repository is only known from a plan. `report`:
    /// the workspaces, which are collected by now.
    pub(in super::super) async fn new(
        context: &RunContext<'_>,
        visits: &[RepositoryVisit<'_>],
        report: &CollectReport,
        clients: &BTreeMap<String, Client>,
    ) -> Result<Self> {
        let former: Option<Plan> = context.lake.get_json(layout::PLAN).await?;
        let visited = visits.iter();
        let repositories: Vec<_> = visited
            .filter_map(|visit| estimate(context, visit, former.as_ref()))
            .collect();
        // Discovery and the lists of members are over.
        let lists = report
            .repositories
            .iter()
            .flat_map(|one| one.entities.values());
        let members = lists.map(|list| list.requests).sum::<u64>();
        let discovery = count_requests(clients).saturating_sub(members);
        let once = Requests::from([
            ("repositories".to_owned(), discovery as f64),
            ("workspace_members".to_owned(), members as f64),
        ]);
        let requests = match repositories.len() == visits.len() {
            true => sum(repositories.iter().map(|one| &one.next).chain([&once])),
            false => Requests::new(),
        };
        Ok(Self {
            repositories,
            former,
            once,
            requests,
        })
    }

    /// Estimate the requests of the next run, if it starts right after this one: what that run will plan.
    pub(in super::super) fn next_run(
        &self,
        context: &RunContext<'_>,
        visits: &[RepositoryVisit<'_>],
    ) -> u64 {
        let visited = visits.iter();
        let next = visited.filter_map(|visit| estimate(context, visit, self.former.as_ref()));
        let requests = next.map(|plan| total(&plan.next)).sum::<f64>() + total(&self.once);
        requests.round() as u64
    }

    /// Write the estimates into the report.
    pub(in super::super) fn add_to(&self, report: &mut CollectReport) {
        for plan in &self.repositories {
            let is_planned = |one: &&mut RepositoryReport| {
                one.connection == plan.connection && one.uuid == plan.uuid
            };
            let Some(report) = report.repositories.iter_mut().find(is_planned) else {
                continue;
            };
            for (table, list) in &mut report.entities {
                let planned = plan.next.get(table).copied().unwrap_or_default();
                list.planned = Some(planned.round() as u64);
            }
        }
        let rounded = |(table, n): (&String, &f64)| (table.clone(), n.round() as u64);
        let planned = self.requests.iter().map(rounded);
        report.planned = planned.filter(|(_, n)| *n > 0).collect();
    }
}

fn estimate(
    context: &RunContext<'_>,
    visit: &RepositoryVisit<'_>,
    former: Option<&Plan>,
) -> Option<RepositoryPlan> {
    let (state, discovered) = (visit.repository.state(), visit.discovered);
    let former = former.and_then(|plan| plan.find(&discovered.connection, &state.uuid));
    if is_untouched(state) {
        return former.cloned();
    }
    let sync = &context.config.sync;
    let known = KnownRepository {
        state,
        discovered,
        rules: visit.rules,
        former,
        now: context.options.now,
        sync,
    };
    Some(known.plan().without_git_commits(sync))
}
