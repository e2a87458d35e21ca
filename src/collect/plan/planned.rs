//! What a run expects to spend, to set beside what it spends.

use std::collections::BTreeMap;

use super::super::report::CollectReport;
use super::super::{RunContext, Work};
use super::{Known, Plan, RepositoryPlan, Requests, is_new, spent, sum};
use crate::bitbucket::Client;
use crate::error::Result;
use crate::lake::layout;

pub(in super::super) struct Planned {
    repositories: Vec<RepositoryPlan>,
    /// By table, over all.
    pub all: Requests,
}

impl Planned {
    /// `report`: the workspaces' lists, which are read by now.
    pub async fn of(
        context: &RunContext<'_>,
        work: &[Work<'_>],
        report: &CollectReport,
        clients: &BTreeMap<String, Client>,
    ) -> Result<Self> {
        let former: Option<Plan> = context.lake.get_json(layout::PLAN).await?;
        let of = |(repo, rules, discovered): &Work<'_>| {
            let state = repo.state();
            let former = former.as_ref();
            let former = former.and_then(|plan| plan.of(&discovered.connection, &state.uuid));
            if is_new(state) {
                return former.cloned();
            }
            let (now, sync) = (context.options.now, &context.config.sync);
            Some(
                Known {
                    state,
                    discovered,
                    rules,
                    former,
                    now,
                    sync,
                }
                .plan()
                .by(sync),
            )
        };
        let repositories: Vec<_> = work.iter().filter_map(of).collect();
        // Both were asked already.
        let members = report
            .repositories
            .iter()
            .flat_map(|one| one.entities.iter());
        let members = members.map(|(_, entity)| entity.requests).sum::<u64>();
        let once = Requests::from([
            ("repositories".to_owned(), (spent(clients) - members) as f64),
            ("workspace_members".to_owned(), members as f64),
        ]);
        let all = match repositories.len() == work.len() {
            true => sum(repositories.iter().map(|one| &one.next).chain([&once])),
            // Of some new ones nothing is known.
            false => Requests::new(),
        };
        Ok(Self { repositories, all })
    }

    pub fn tell(&self, report: &mut CollectReport) {
        for plan in &self.repositories {
            let of = |one: &&mut super::super::RepositoryReport| {
                one.connection == plan.connection && one.uuid == plan.uuid
            };
            let Some(report) = report.repositories.iter_mut().find(of) else {
                continue;
            };
            for (table, entity) in &mut report.entities {
                let planned = plan.next.get(table).copied().unwrap_or_default();
                entity.planned = Some(planned.round() as u64);
            }
        }
        let whole = |(table, n): (&String, &f64)| (table.clone(), n.round() as u64);
        report.planned = self.all.iter().map(whole).filter(|(_, n)| *n > 0).collect();
    }
}
