//! Runs one step: its table is written, registered, and its key is checked.

use std::path::Path;
use std::sync::Arc;

use super::on_workers;
use super::steps::{Step, StepBody};
use super::write::{self, WrittenFiles, WrittenTable};
use crate::engine::{Engine, TableFile};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// Run one step: write its table below `folder`, register it in `engine`, and check its key.
///
/// # Errors
/// Every error names the file of the step. [`ErrorKind::Configuration`] for SQL that fails, [`ErrorKind::Contract`] for
/// rows that break the contract of the table.
pub async fn run_step(
    engine: &Engine,
    step: &Step,
    folder: &Path,
) -> Result<(Arc<Contract>, WrittenFiles)> {
    let run = async {
        let (contract, table) = match (&step.work, &step.contract) {
            (StepBody::Sql(sql), Some(contract)) => {
                let table = on_workers::query(engine, sql, &step.params, contract, folder).await?;
                (Arc::clone(contract), table)
            }
            (StepBody::Sql(sql), None) => {
                let contract = step.inferred_contract(engine, sql).await?;
                let table = on_workers::query(engine, sql, &step.params, &contract, folder).await?;
                (contract, table)
            }
            (StepBody::Native(native), Some(contract)) => {
                let table = native.write(engine, contract, folder).await?;
                (Arc::clone(contract), table)
            }
            (StepBody::Native(_), None) => {
                return Err(Error::new(ErrorKind::Internal, "table has no contract"));
            }
        };
        register_with_unique_key(engine, &contract, &table).await?;
        Ok((contract, table.files))
    };
    run.await
        .map_err(|error: Error| error.with("file", &step.origin))
}

/// Register written files as the table of `contract`.
pub(super) fn register_written(
    engine: &Engine,
    contract: &Contract,
    files: &WrittenFiles,
) -> Result<()> {
    let files = files.iter().map(|(_, written)| TableFile::written(written));
    engine.register(contract, &files.collect::<Result<Vec<_>>>()?)
}

/// Register written files, and reject duplicate keys before anything is published.
pub(super) async fn register_with_unique_key(
    engine: &Engine,
    contract: &Contract,
    table: &WrittenTable,
) -> Result<()> {
    register_written(engine, contract, &table.files)?;
    if !table.may_repeat_keys {
        return Ok(());
    }
    let duplicates = write::duplicate_keys(engine, contract).await?;
    if duplicates.is_empty() {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Contract, "the table has duplicate keys")
            .with("table", contract.name())
            .with("key", contract.primary_key.join(", "))
            .with("for example", duplicates.join("; "))
            .hint("nothing was published"),
    )
}
