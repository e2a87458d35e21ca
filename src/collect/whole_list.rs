//! Lists that are read whole or not at all: they are short, and half of one does not show which records are gone.

use super::checkpoint::CheckpointStore;
use super::entity::Entity;
use super::list_reader::{ListOutcome, ListReading, read_list};
use super::report::EntityReport;
use super::repository_context::RepositoryContext;
use super::repository_run::RepositoryRun;
use super::sink::Sink;
use crate::bitbucket::{Endpoint, Page, Pages};
use crate::error::Result;
use crate::json::JsonValue;
use crate::lake::{Cursor, Replaces};
use crate::schema::Parent;

/// Read a whole list into one segment. `each` gets every record that is kept.
pub(super) async fn read_whole(
    run: &mut RepositoryRun<'_>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    report: &mut EntityReport,
    each: impl FnMut(JsonValue<'_>),
) -> Result<ListOutcome> {
    let RepositoryRun {
        repository,
        checkpoints,
        ..
    } = run;
    let sink = Sink::new(repository, entity, checkpoints)?;
    let mut reading = WholeList {
        repository,
        entity,
        endpoint,
        cursor: Cursor::default(),
        sink,
        each,
    };
    read_list(repository, checkpoints, &mut reading, report).await
}

struct WholeList<'r, 'a, F> {
    repository: &'r RepositoryContext<'a>,
    entity: &'static Entity,
    endpoint: &'static Endpoint,
    cursor: Cursor,
    sink: Sink<'r>,
    each: F,
}

impl<F: FnMut(JsonValue<'_>)> ListReading for WholeList<'_, '_, F> {
    const IS_RESUMABLE: bool = false;

    fn pages(&self) -> Pages {
        let repository = self.repository;
        repository.client.list(self.endpoint, repository.target())
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
        let parent = Some(&Parent::None);
        self.sink
            .take(&page.values, parent, report, &mut self.each)?;
        Ok(None)
    }

    async fn checkpoint(
        &mut self,
        checkpoints: &mut CheckpointStore<'_>,
        _: Option<&ListOutcome>,
        _: Option<String>,
    ) -> Result<()> {
        match self.entity.deletes_missing {
            // A full refresh takes an empty list at its word.
            true if self.repository.is_full_refresh() => {
                self.sink
                    .save_even_empty(checkpoints, Replaces::Everything)
                    .await?;
            }
            true => self.sink.save(checkpoints, Replaces::Everything).await?,
            false => self.sink.save(checkpoints, Replaces::Nothing).await?,
        }
        let list = checkpoints.list_mut(self.entity.table);
        list.complete_from = None;
        list.complete_through = Some(self.cursor.started.unwrap_or(self.repository.now()));
        Ok(())
    }
}
