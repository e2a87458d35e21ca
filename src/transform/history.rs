//! Keeps every version of every record, for `keep_history = true`. The source layer keeps the latest version only.
//!
//! ```text
//! arrived = the records of the segments, one per key and run        known = the published versions
//! new     = arrived, if its content differs from the previous version and it is not known
//! file of a month = known ∪ new                                     the files of other months are kept
//! ```
//!
//! New versions are compared with `history` itself and not with the source layer, because a run that dies while it
//! publishes may publish only one of them.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{published, write};
use crate::engine::{Engine, TableFile};
use crate::error::Result;
use crate::lake::{
    Lake, Manifest, NextFile, NextTable, RepositoryState, SEQUENCE, SegmentRef, layout,
    segment_schema,
};
use crate::schema::{CONTENT, Contract, SEEN_AT};

const SCHEMA: &str = "versions";

/// The inputs of an extension of the history.
pub(super) struct HistoryExtension<'a> {
    pub(super) lake: &'a Lake,
    pub(super) engine: &'a Engine,
    pub(super) states: &'a [RepositoryState],
    pub(super) manifest: &'a Manifest,
    /// The start of this run, which is the time of versions that come from no segment.
    pub(super) now: DateTime<Utc>,
}

impl HistoryExtension<'_> {
    /// Return the history table with the versions from the segments of `source`. The folded source table must be
    /// registered: a new history starts with all its records.
    pub(super) async fn extend(
        &self,
        source: &Contract,
        contract: &Contract,
        folder: &Path,
    ) -> Result<NextTable> {
        let mut next = NextTable {
            schema_version: contract.version,
            ..NextTable::default()
        };
        let Some(published) = self.manifest.table(&contract.name()) else {
            let sql = format!(
                "SELECT {} AS {SEEN_AT}, content_key(_payload) AS {CONTENT}, * FROM {}",
                time(self.now),
                name(source)
            );
            let files = write::query(self.engine, &sql, &[], contract, folder)
                .await?
                .files;
            for (month, written) in files {
                let path = layout::table_file(contract, month.as_deref());
                next.files.insert(path, NextFile::Staged(written));
            }
            return Ok(next);
        };
        for path in published.files.keys() {
            next.files.insert(path.clone(), NextFile::Kept);
        }
        for (month, new) in self.new_versions(source, contract, folder).await? {
            let path = layout::table_file(contract, month.as_deref());
            let known = match published.files.contains_key(&path) {
                true => vec![self.lake.file_url(&path)?.into()],
                false => Vec::new(),
            };
            let schema = contract.arrow_schema();
            self.engine
                .register_parquet(SCHEMA, "new", schema.clone(), &new)?;
            self.engine
                .register_parquet(SCHEMA, "known", schema, &known)?;
            let sql =
                format!("SELECT * FROM {SCHEMA}.known UNION ALL SELECT * FROM {SCHEMA}.\"new\"");
            let folder = folder.join(month.as_deref().unwrap_or_default());
            let files = write::query(self.engine, &sql, &[], contract, &folder)
                .await?
                .files;
            for (_, written) in files {
                next.files.insert(path.clone(), NextFile::Staged(written));
            }
        }
        Ok(next)
    }

    /// Write the new versions of every repository, and return their files by month.
    async fn new_versions(
        &self,
        source: &Contract,
        contract: &Contract,
        folder: &Path,
    ) -> Result<BTreeMap<Option<String>, Vec<TableFile>>> {
        let known = published::files(self.lake, self.manifest, contract)?;
        self.engine.register(contract, &known)?;
        let mut new: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (n, state) in self.states.iter().enumerate() {
            let Some(entity) = state.entities.get(&source.table) else {
                continue;
            };
            if entity.segments.is_empty() {
                continue;
            }
            let sql = self.arrived(source, contract, state, &entity.segments)?;
            let folder = folder.join(format!("new-{n}"));
            let files = write::query(self.engine, &sql, &[], contract, &folder).await;
            let files = files.map_err(|error| error.with("repository", &state.full_name))?;
            for (month, written) in files.files {
                if written.rows > 0 {
                    new.entry(month)
                        .or_default()
                        .push(TableFile::written(&written)?);
                }
            }
        }
        Ok(new)
    }

    /// Register the segments of one repository and return the query for its new versions.
    fn arrived(
        &self,
        source: &Contract,
        contract: &Contract,
        state: &RepositoryState,
        segments: &[SegmentRef],
    ) -> Result<String> {
        let mut arrived = Vec::new();
        for (n, segment) in segments.iter().enumerate() {
            let table = format!("segment_{n}");
            let files = [self.lake.file_url(&segment.path)?.into()];
            self.engine
                .register_parquet(SCHEMA, &table, segment_schema(source), &files)?;
            let seen_at = layout::run_started_at(&segment.path).unwrap_or(self.now);
            arrived.push(format!(
                "SELECT *, {n} AS _segment, {} AS {SEEN_AT} FROM {SCHEMA}.{table}",
                time(seen_at)
            ));
        }
        let key: Vec<_> = source
            .primary_key
            .iter()
            .map(|it| format!("\"{it}\""))
            .collect();
        let same = |left: &str, right: &str| {
            let pairs = key.iter().map(|it| format!("{left}.{it} = {right}.{it}"));
            pairs.collect::<Vec<_>>().join(" AND ")
        };
        let columns = contract
            .columns
            .iter()
            .map(|it| format!("chain.\"{}\"", it.name));
        // Read only the rows of this repository. The files are sorted by key, so the reader skips the others.
        let uuid = match state.is_workspace() {
            true => "_workspace_uuid",
            false => "_repository_uuid",
        };
        Ok(format!(
            "WITH arrived AS ({arrived}),
            last AS (SELECT *, content_key(_payload) AS {CONTENT} FROM arrived QUALIFY row_number() OVER \
                (PARTITION BY {key}, {SEEN_AT} ORDER BY _segment DESC, {SEQUENCE} DESC) = 1),
            chain AS (SELECT *, lag({CONTENT}) OVER (PARTITION BY {key} ORDER BY {SEEN_AT}) AS _before FROM last),
            known AS (SELECT {key}, {SEEN_AT}, {CONTENT} FROM {name} WHERE _connection_id = {connection} AND {uuid} = '{own}'),
            newest AS (SELECT * FROM known QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {SEEN_AT} DESC) = 1)
            SELECT {columns} FROM chain LEFT JOIN newest ON {chain_newest}
            WHERE (chain.{CONTENT} IS DISTINCT FROM coalesce(chain._before, newest.{CONTENT}))
            AND NOT EXISTS (SELECT 1 FROM known WHERE {known_chain} AND known.{SEEN_AT} = chain.{SEEN_AT})",
            arrived = arrived.join(" UNION ALL "),
            key = key.join(", "),
            name = name(contract),
            connection = state.connection_id,
            own = state.uuid.replace('\'', "''"),
            columns = columns.collect::<Vec<_>>().join(", "),
            chain_newest = same("chain", "newest"),
            known_chain = same("known", "chain"),
        ))
    }
}

fn name(contract: &Contract) -> String {
    format!("{}.\"{}\"", contract.layer, contract.table)
}

/// Return a time as a SQL literal in microseconds. The literals of DataFusion are in nanoseconds.
fn time(time: DateTime<Utc>) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
}
