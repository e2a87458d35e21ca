//! Writes source files, two at a time. A file that runs out of memory beside another is written again alone.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::tasks::next_finished;
use super::write::{self, QueryFailure, WrittenFiles, WrittenTable};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lake::{NextFile, NextTable};
use crate::schema::Contract;

/// The files that are written at the same time.
const AT_ONCE: usize = 2;

/// A file to write, whose inputs are registered.
pub(super) struct SourceFile {
    pub(super) engine: Arc<Engine>,
    pub(super) contract: Arc<Contract>,
    /// The full name of the repository.
    pub(super) repository: String,
    /// The place of the file in the lake.
    pub(super) path: String,
    /// The query of the rows.
    pub(super) sql: String,
    /// Where the file is staged.
    pub(super) folder: PathBuf,
}

impl SourceFile {
    async fn attempt(self) -> (Self, Result<WrittenTable, QueryFailure>) {
        let Self {
            engine,
            contract,
            sql,
            folder,
            ..
        } = &self;
        let written = write::attempt(engine, sql, &[], contract, folder).await;
        (self, written)
    }

    /// Write the file with as little memory as possible.
    async fn write_alone(&self) -> Result<WrittenFiles> {
        let Self {
            engine,
            contract,
            sql,
            folder,
            ..
        } = self;
        let written = write::query(engine, sql, &[], contract, folder).await;
        Ok(written.map_err(|error| self.named(error))?.files)
    }

    fn named(&self, error: Error) -> Error {
        error.with("repository", &self.repository)
    }

    /// Add the file to the table. A list without rows has no file.
    fn add(self, files: WrittenFiles, next: &mut NextTable) {
        let files = files.into_iter().map(|(_, written)| written);
        for written in files.filter(|written| written.rows > 0) {
            let file = NextFile::Staged(written);
            next.files.insert(self.path.clone(), file);
        }
    }
}

/// The files that are being written.
#[derive(Default)]
pub(super) struct SourceFiles {
    running: JoinSet<(SourceFile, Result<WrittenTable, QueryFailure>)>,
    /// The files that ran out of memory beside another.
    left: Vec<SourceFile>,
}

impl SourceFiles {
    /// Start to write a file, once fewer than [`AT_ONCE`] files are being written.
    pub(super) async fn start(&mut self, file: SourceFile, next: &mut NextTable) -> Result<()> {
        if self.running.len() >= AT_ONCE {
            self.add_next(next).await?;
        }
        self.running.spawn(file.attempt());
        Ok(())
    }

    /// Wait for the files that are not added yet.
    pub(super) async fn finish(mut self, next: &mut NextTable) -> Result<()> {
        while self.add_next(next).await? {}
        for file in self.left {
            let files = file.write_alone().await?;
            file.add(files, next);
        }
        Ok(())
    }

    /// Wait for a file and add it to the table. Return whether one was being written.
    async fn add_next(&mut self, next: &mut NextTable) -> Result<bool> {
        let Some((file, written)) = next_finished(&mut self.running).await? else {
            return Ok(false);
        };
        match written {
            Ok(table) => file.add(table.files, next),
            Err(QueryFailure::OutOfMemory(_)) => self.left.push(file),
            Err(failure) => {
                // Another task may still stage a file.
                self.running.shutdown().await;
                return Err(file.named(failure.into_error(&file.contract)));
            }
        }
        Ok(true)
    }
}
