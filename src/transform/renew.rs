//! Files of the source layer, decoded again from the payloads that they keep: what makes a new column need no new
//! collection.
//!
//! The rows stay in their order and the writer is the same, so a file whose schema did not change is the same bytes
//! again. One file at a time, a few rows at once. Payloads are redacted anew: today's rules may know more.

use std::collections::BTreeMap;
use std::path::Path;

use futures::StreamExt;
use url::Url;

use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{Lake, NextFile, NextTable, ParquetFile, WrittenFile, file_url};
use crate::schema::{Contract, Redecoder, times::OddTimes};

const SCHEMA: &str = "renew";

/// What decoding again found.
pub(super) struct Renewed {
    /// Values that did not fit, by path.
    pub(super) misfits: BTreeMap<String, u64>,
    /// Those of them that are times which no engine can hold, by path.
    pub(super) odd_times: BTreeMap<String, OddTimes>,
    /// Secrets that were removed.
    pub(super) redactions: u64,
}

/// Decodes those files of a table again that `stale` tells of. The engine is one that reads in order.
pub(super) async fn renew(
    lake: &Lake,
    engine: &Engine,
    mut decoder: Redecoder,
    contract: &Contract,
    table: &mut NextTable,
    stale: impl Fn(&str) -> bool,
    folder: &Path,
) -> Result<Renewed> {
    let files = table.files.iter_mut();
    for (n, (path, file)) in files.filter(|(path, _)| stale(path)).enumerate() {
        let from = match file {
            NextFile::Staged(written) => file_url(&written.path)?,
            NextFile::Kept => lake.file_url(path)?,
        };
        let to = folder.join(format!("renewed-{n}.parquet"));
        let renewed = decode(engine, &mut decoder, contract, from, &to).await;
        let renewed = renewed.map_err(|error| error.with("file", path))?;
        *file = NextFile::Staged(renewed);
    }
    Ok(Renewed {
        misfits: decoder.misfits().clone(),
        odd_times: decoder.take_odd_times(),
        redactions: decoder.redactions(),
    })
}

async fn decode(
    engine: &Engine,
    decoder: &mut Redecoder,
    contract: &Contract,
    from: Url,
    to: &Path,
) -> Result<WrittenFile> {
    engine.register_parquet(SCHEMA, &contract.table, contract.arrow_schema(), &[from])?;
    let envelope: Vec<_> = contract
        .columns
        .iter()
        .filter(|column| column.name.starts_with('_'))
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    let sql = format!(
        "SELECT {} FROM {SCHEMA}.\"{}\"",
        envelope.join(", "),
        contract.table
    );
    let failed = "cannot read payloads";
    let frame = engine.plan(&sql, &[]).await?;
    let rows = frame.execute_stream().await;
    let mut rows = rows.or_error(ErrorKind::Lake, failed)?;
    let mut file = ParquetFile::create(to, contract.arrow_schema(), contract)?;
    while let Some(batch) = rows.next().await {
        file.write(&decoder.decode(&batch.or_error(ErrorKind::Lake, failed)?)?)?;
    }
    file.finish()
}
