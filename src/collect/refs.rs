//! Branches and tags, from the one list that has both: most repositories have fewer than a hundred of them together, and
//! then one request does for two. Where that list is refused, each has its own.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::value::RawValue;

use super::entity::{Entity, text};
use super::report::EntityReport;
use super::repository::Repo;
use super::sink::Sink;
use super::walk::{ListOutcome, next_page, whole};
use super::{branches, tags};
use crate::bitbucket::{NextPage, endpoints};
use crate::error::{Error, Result};
use crate::lake::Replaces;
use crate::redaction::ReceivedRecord;
use crate::schema::Parent;

/// Both lists, as they are read.
#[derive(Default)]
pub(super) struct Refs {
    /// The commits that they name.
    pub(super) heads: BTreeSet<String>,
    /// There is no list of both.
    pub(super) apart: bool,
}

impl Refs {
    /// Fills the table of branches, and that of tags where one list has both.
    pub(super) async fn branches(
        &mut self,
        repo: &mut Repo<'_>,
        report: &mut EntityReport,
    ) -> Result<ListOutcome> {
        match together(repo, &mut self.heads, report).await {
            Ok(ListOutcome::Unavailable(absence)) if absence.status == StatusCode::NOT_FOUND => {}
            Err(error) if is_refused(&error) => {}
            ended => return ended,
        }
        (self.apart, self.heads) = (true, BTreeSet::new());
        let see = |record: &_| self.heads.extend(text(record, "/target/hash"));
        whole(repo, &branches::ENTITY, &endpoints::BRANCHES, report, see).await
    }

    /// Fills that of tags, unless it came with the branches.
    pub(super) async fn tags(
        &mut self,
        repo: &mut Repo<'_>,
        report: &mut EntityReport,
    ) -> Result<ListOutcome> {
        if !self.apart {
            return Ok(ListOutcome::Complete);
        }
        let see = |record: &_| self.heads.extend(text(record, "/target/hash"));
        whole(repo, &tags::ENTITY, &endpoints::TAGS, report, see).await
    }
}

fn is_refused(error: &Error) -> bool {
    matches!(
        error.status(),
        Some(
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::GATEWAY_TIMEOUT
        )
    )
}

async fn together(
    repo: &mut Repo<'_>,
    heads: &mut BTreeSet<String>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let Repo {
        site, checkpoints, ..
    } = repo;
    let mut pages = site.client.list(&endpoints::REFS, site.target());
    let open = |entity: &'static Entity, checkpoints: &super::checkpoint::CheckpointStore<'_>| {
        Sink::open(site, entity, checkpoints.sequence(entity.table))
    };
    let mut branches = open(&branches::ENTITY, checkpoints)?;
    let mut tags = open(&tags::ENTITY, checkpoints)?;
    let mut of_tags = EntityReport::default();
    let mut started = None;
    let outcome = loop {
        match next_page(site, &mut pages).await {
            Err(error) => break Err(error),
            Ok(None) => break Ok(ListOutcome::Stopped),
            Ok(Some(NextPage::Unavailable(absence))) => {
                break Ok(ListOutcome::Unavailable(absence));
            }
            Ok(Some(NextPage::End)) => break Ok(ListOutcome::Complete),
            Ok(Some(NextPage::Page(page))) => {
                started = started.or(page.date);
                let mut see = |record: &_| heads.extend(text(record, "/target/hash"));
                let (first, second): (Vec<_>, Vec<_>) =
                    page.values.into_iter().partition(|record| !is_tag(record));
                let none = Some(&Parent::None);
                branches.take(&first, none, report, &mut see)?;
                tags.take(&second, none, &mut of_tags, &mut see)?;
            }
        }
    };
    report.requests += pages.requests();
    if !matches!(outcome, Ok(ListOutcome::Complete)) {
        return outcome;
    }
    // A list without anything is no proof that everything is gone; one that only lacks tags is.
    let believed = site.context.options.full || !heads.is_empty();
    for (entity, sink) in [(&branches::ENTITY, branches), (&tags::ENTITY, tags)] {
        let segment = match believed && checkpoints.sequence(entity.table) > 0 {
            true => Some(sink.finish_empty(Replaces::Everything).await?),
            false => sink.finish(Replaces::Everything).await?,
        };
        checkpoints.add(entity.table, segment);
        let state = checkpoints.entity(entity.table);
        state.complete_from = None;
        state.complete_through = Some(started.unwrap_or(site.context.options.now));
    }
    checkpoints.beside.insert(tags::ENTITY.table, of_tags);
    checkpoints.put().await?;
    outcome
}

fn is_tag(record: &RawValue) -> bool {
    let received = ReceivedRecord::read(record.get());
    text(received.value(), "/type").as_deref() == Some("tag")
}
