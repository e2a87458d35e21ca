//! Queries over the tables that a lake has published.

use std::sync::Arc;

use super::checks::{self, CheckResults};
use crate::config::LakeConfig;
use crate::engine::{Engine, TableFile};
use crate::error::Result;
use crate::lake::{Lake, Manifest};
use crate::schema::{Contract, Contracts};

/// Open an engine in which every published table of `lake` is registered. `memory_limit` is in bytes.
///
/// # Errors
/// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when the manifest cannot be read.
pub async fn open_published(lake: &Lake, memory_limit: Option<u64>) -> Result<Engine> {
    let engine = engine_over(lake, memory_limit)?;
    let manifest = lake.manifest().await?;
    register_published(&engine, lake, &manifest, Contracts::bundled()?.all())?;
    Ok(engine)
}

/// Run the check `unmatched` over the published tables: rows that join no other row.
///
/// # Errors
/// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when the lake cannot be read.
pub async fn check_unmatched(lake: &Lake, memory_limit: Option<u64>) -> Result<CheckResults> {
    let engine = open_published(lake, memory_limit).await?;
    checks::run_checks(&engine, |file| file.ends_with("/unmatched.sql")).await
}

/// Create an engine that can read the files of the lake.
pub(super) fn engine_over(lake: &Lake, memory_limit: Option<u64>) -> Result<Engine> {
    let engine = Engine::new(memory_limit)?;
    if let Some((url, store)) = lake.engine_store() {
        engine.add_store(url, store);
    }
    Ok(engine)
}

/// Create the engine of a worker, which can read the lake. Nothing is read yet, so that there need be no lake.
///
/// # Errors
/// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) for an address or a store option that is not
/// understood.
pub fn worker_engine(lake: &LakeConfig) -> Result<Engine> {
    let engine = Engine::new(lake.memory_limit)?;
    if let Some((url, store)) = Lake::store_of(&lake.url, &lake.options)? {
        engine.add_store(&url, store);
    }
    Ok(engine)
}

/// Register the published files of each contract. A table that is not published is empty.
pub(super) fn register_published<'a>(
    engine: &Engine,
    lake: &Lake,
    manifest: &Manifest,
    contracts: impl Iterator<Item = &'a Arc<Contract>>,
) -> Result<()> {
    for contract in contracts {
        engine.register(contract, &files(lake, manifest, contract)?)?;
    }
    Ok(())
}

/// Return the published files of a table.
pub(super) fn files(
    lake: &Lake,
    manifest: &Manifest,
    contract: &Contract,
) -> Result<Vec<TableFile>> {
    let files = manifest.files(&contract.name());
    files
        .map(|(path, _)| file(lake, manifest, &contract.name(), path))
        .collect()
}

/// Return the published file at `path` of `table`. Its size is known, unless a run died while it published: the file may
/// then be newer than its entry.
pub(super) fn file(lake: &Lake, manifest: &Manifest, table: &str, path: &str) -> Result<TableFile> {
    let entry = manifest.table(table).and_then(|it| it.files.get(path));
    let entry = entry.filter(|_| manifest.intent.is_none());
    Ok(TableFile {
        url: lake.file_url(path)?,
        bytes: entry.map(|entry| entry.bytes),
        rows: entry.map(|entry| entry.rows),
    })
}
