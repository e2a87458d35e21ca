//! Reads the rows of a query by the value of its first column, holding one batch at a time.

use super::row_reader::{RowBatch, RowReader};
use crate::engine::Engine;
use crate::transform::write::QueryFailure;

/// The rows of a query that is ordered by its first column. Its rows of equal values are a group.
pub(super) struct GroupReader {
    rows: RowReader,
    /// The unread rows of the current batch.
    rest: Option<RowBatch>,
}

impl GroupReader {
    pub(super) async fn open(engine: &Engine, sql: &str) -> Result<Self, QueryFailure> {
        let rows = RowReader::open(engine, sql).await?;
        Ok(Self { rows, rest: None })
    }

    /// Return the unread rows of the current batch, of which there is at least one; `None` after the last row.
    pub(super) async fn peek(&mut self) -> Result<Option<&RowBatch>, QueryFailure> {
        while self.rest.as_ref().is_none_or(|rest| rest.rows() == 0) {
            self.rest = self.rows.next().await?;
            if self.rest.is_none() {
                break;
            }
        }
        Ok(self.rest.as_ref())
    }

    /// Return the value of the next group, `''` for null; `None` after the last group.
    pub(super) async fn next_group(&mut self) -> Result<Option<String>, QueryFailure> {
        let Some(batch) = self.peek().await? else {
            return Ok(None);
        };
        Ok(Some(batch.texts(0)?.text(0).to_owned()))
    }

    /// Return the next rows of this group, as many as the current batch has; `None` if the next row is of another group.
    pub(super) async fn rows_of(&mut self, group: &str) -> Result<Option<RowBatch>, QueryFailure> {
        let Some(batch) = self.peek().await? else {
            return Ok(None);
        };
        let values = batch.texts(0)?;
        let other = (0..batch.rows()).find(|row| values.text(*row) != group);
        let (rows, rest) = batch.split(other.unwrap_or(batch.rows()));
        self.rest = Some(rest);
        Ok(Some(rows).filter(|rows| rows.rows() > 0))
    }

    /// Skip the next rows of this group.
    pub(super) async fn skip(&mut self, group: &str) -> Result<(), QueryFailure> {
        while self.rows_of(group).await?.is_some() {}
        Ok(())
    }
}
