//! Branches and tags, from the one list that has both: most repositories have fewer than a hundred refs, and then one request
//! reads both tables. Where the server refuses that list, each table has its own.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::value::RawValue;

use super::checkpoint::CheckpointStore;
use super::entity::text;
use super::list_reader::{ListOutcome, ListReading, read_list};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use super::whole_list::read_whole;
use super::{branches, tags};
use crate::bitbucket::{Page, Pages, endpoints};
use crate::error::{Error, Result};
use crate::json::JsonValue;
use crate::lake::{Cursor, Replaces};
use crate::redaction::ReceivedRecord;
use crate::schema::Parent;

/// What reading branches and tags finds.
#[derive(Default)]
pub(super) struct RefLists {
    /// The commits that they name.
    pub(super) heads: BTreeSet<String>,
    /// Whether the server refuses the list of both.
    pub(super) has_separate_lists: bool,
}

impl RefLists {
    /// Fill the table of branches, and that of tags where one list has both.
    pub(super) async fn collect_branches(
        &mut self,
        run: &mut RepositoryRun<'_>,
        report: &mut EntityReport,
    ) -> Result<ListOutcome> {
        match read_refs(run, &mut self.heads, report).await {
            Ok(ListOutcome::Unavailable(reason)) if reason.status == StatusCode::NOT_FOUND => {}
            Err(error) if is_refused(&error) => {}
            outcome => return outcome,
        }
        self.has_separate_lists = true;
        self.heads.clear();
        let see_head = |record: JsonValue<'_>| self.heads.extend(text(record, "/target/hash"));
        read_whole(
            run,
            &branches::ENTITY,
            &endpoints::BRANCHES,
            report,
            see_head,
        )
        .await
    }

    /// Fill the table of tags, unless the list of both did.
    pub(super) async fn collect_tags(
        &mut self,
        run: &mut RepositoryRun<'_>,
        report: &mut EntityReport,
    ) -> Result<ListOutcome> {
        if !self.has_separate_lists {
            return Ok(ListOutcome::Complete);
        }
        let see_head = |record: JsonValue<'_>| self.heads.extend(text(record, "/target/hash"));
        read_whole(run, &tags::ENTITY, &endpoints::TAGS, report, see_head).await
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

async fn read_refs(
    run: &mut RepositoryRun<'_>,
    heads: &mut BTreeSet<String>,
    report: &mut EntityReport,
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        ..
    } = run;
    let mut reading = RefsReading {
        repository,
        cursor: Cursor::default(),
        branches: Sink::new(repository, &branches::ENTITY, checkpoints)?,
        tags: Sink::new(repository, &tags::ENTITY, checkpoints)?,
        tags_report: EntityReport::default(),
        heads,
    };
    read_list(repository, checkpoints, &mut reading, report).await
}

/// The list of branches and tags.
struct RefsReading<'r, 'a> {
    repository: &'r RepositoryContext<'a>,
    cursor: Cursor,
    branches: Sink<'r>,
    tags: Sink<'r>,
    tags_report: EntityReport,
    heads: &'r mut BTreeSet<String>,
}

impl ListReading for RefsReading<'_, '_> {
    const IS_RESUMABLE: bool = false;

    fn pages(&self) -> Pages {
        let repository = self.repository;
        repository
            .client
            .list(&endpoints::REFS, repository.target())
    }

    fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    fn take(
        &mut self,
        page: Page,
        _: &Pages,
        report: &mut EntityReport,
    ) -> Result<Option<ListOutcome>> {
        let mut see_head = |record: JsonValue<'_>| self.heads.extend(text(record, "/target/hash"));
        let (tags, branches): (Vec<_>, Vec<_>) =
            page.values.into_iter().partition(|record| is_tag(record));
        let parent = Some(&Parent::None);
        self.branches
            .take(&branches, parent, report, &mut see_head)?;
        self.tags
            .take(&tags, parent, &mut self.tags_report, &mut see_head)?;
        Ok(None)
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        _: Option<&ListOutcome>,
        _: Option<String>,
    ) -> Result<()> {
        // An empty list is no proof that all refs are gone; a list that only lacks tags proves that the tags are.
        let is_believed = self.repository.is_full_refresh() || !self.heads.is_empty();
        let last_complete = self.cursor.started.unwrap_or(self.repository.now());
        for (table, sink) in [
            (branches::ENTITY.table, &mut self.branches),
            (tags::ENTITY.table, &mut self.tags),
        ] {
            match is_believed && checkpoints.list(table).sequence > 0 {
                true => {
                    sink.save_even_empty(checkpoints, Replaces::Everything)
                        .await?
                }
                false => sink.save(checkpoints, Replaces::Everything).await?,
            }
            let list = checkpoints.list_mut(table);
            list.complete_from = None;
            list.complete_through = Some(last_complete);
        }
        let tags_report = std::mem::take(&mut self.tags_report);
        checkpoints.embedded.insert(tags::ENTITY.table, tags_report);
        Ok(())
    }
}

fn is_tag(record: &RawValue) -> bool {
    let received = ReceivedRecord::read(record.get());
    text(received.value(), "/type").as_deref() == Some("tag")
}
