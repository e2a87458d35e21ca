//! Decodes files of the source layer again from the payloads that they keep, so that a new column needs no new
//! collection.
//!
//! The rows keep their order and the writer is the same, so a file whose schema did not change keeps its bytes. Files
//! are read one at a time, a few rows at once. Payloads are redacted again, because the current rules may cover more.

use std::collections::BTreeMap;
use std::path::Path;

use futures::StreamExt;
use url::Url;

use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{Lake, NextFile, NextTable, ParquetFile, WrittenFile, file_url};
use crate::schema::{Contract, Redecoder, times::OddTimes};

const SCHEMA: &str = "redecode";

/// The findings of a new decoding.
pub(super) struct Redecoded {
    /// The number of values that did not fit their type, by path.
    pub(super) misfits: BTreeMap<String, u64>,
    /// The misfits that are times outside the range of the engines, by path.
    pub(super) odd_times: BTreeMap<String, OddTimes>,
    /// The number of secrets removed.
    pub(super) redactions: u64,
}

/// Decode the files of a table for which `stale` is true. `engine` must read files in order.
pub(super) async fn redecode(
    lake: &Lake,
    engine: &Engine,
    mut decoder: Redecoder,
    contract: &Contract,
    table: &mut NextTable,
    stale: impl Fn(&str) -> bool,
    folder: &Path,
) -> Result<Redecoded> {
    let files = table.files.iter_mut();
    for (n, (path, file)) in files.filter(|(path, _)| stale(path)).enumerate() {
        let from = match file {
            NextFile::Staged(written) => file_url(&written.path)?,
            NextFile::Kept => lake.file_url(path)?,
        };
        let to = folder.join(format!("redecoded-{n}.parquet"));
        let redecoded = decode(engine, &mut decoder, contract, from, &to).await;
        let redecoded = redecoded.map_err(|error| error.with("file", path))?;
        *file = NextFile::Staged(redecoded);
    }
    Ok(Redecoded {
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
    engine.register_parquet(
        SCHEMA,
        &contract.table,
        contract.arrow_schema(),
        &[from.into()],
    )?;
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
