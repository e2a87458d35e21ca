//! Finds the repositories whose new segments only repeat published records.
//!
//! A list is read again from a little before its end, so that every night brings a few records of every repository that are
//! already published. They are compared for many repositories at once, because each of their source files would be read,
//! sorted and written otherwise, with the same result.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::effective_segments;
use super::published;
use crate::engine::{Engine, TableFile, text_literal};
use crate::error::Result;
use crate::lake::{Lake, Manifest, Replaces, RepositoryState, SegmentRef, layout, segment_schema};
use crate::schema::Contract;

const SCHEMA: &str = "repeated";
/// The rows of a repository's segments. More of them are folded without a look.
const MOST_ROWS: u64 = 512;
/// The rows of the segments of one query. The scan of each published file takes the list of their keys apart.
const ROWS_AT_ONCE: u64 = 1024;

/// A repository whose segments may repeat its published file.
struct RepeatCandidate<'a> {
    /// The index of its state.
    index: usize,
    state: &'a RepositoryState,
    segments: &'a [SegmentRef],
    rows: u64,
    published: TableFile,
}

/// Return the indices of the states whose segments of a source table only repeat records of the published file, which
/// therefore remains as it is.
///
/// # Errors
/// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when a segment or a published file cannot be read.
pub(super) async fn repeated(
    lake: &Lake,
    engine: &Engine,
    contract: &Contract,
    states: &[RepositoryState],
    manifest: &Manifest,
) -> Result<BTreeSet<usize>> {
    let mut candidates = Vec::new();
    for (index, state) in states.iter().enumerate() {
        let list = state.entities.get(&contract.table);
        let segments = list.map_or(&[][..], effective_segments);
        let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
        let is_of_parents = |segment: &SegmentRef| matches!(segment.replaces, Replaces::Parents(_));
        let path = layout::source_file(&contract.table, state.connection_id, &state.full_name);
        let is_published = manifest
            .table(&contract.name())
            .is_some_and(|table| table.files.contains_key(&path));
        let is_possible = (1..=MOST_ROWS).contains(&rows)
            && !segments.iter().any(is_of_parents)
            && state.published_as.as_ref() == Some(&state.full_name)
            && manifest.intent.is_none()
            && is_published;
        if is_possible {
            candidates.push(RepeatCandidate {
                index,
                state,
                segments,
                rows,
                published: published::file(lake, manifest, &contract.name(), &path)?,
            });
        }
    }
    let mut repeated = BTreeSet::new();
    for some in in_batches(&candidates) {
        let same = same_records(lake, engine, contract, some).await?;
        for candidate in some {
            let RepositoryState {
                connection_id,
                uuid,
                ..
            } = candidate.state;
            let records = same.get(&format!("{connection_id} {uuid}"));
            let replaces_all = |it: &SegmentRef| it.replaces == Replaces::Everything;
            let is_repeated = match candidate.segments.iter().any(replaces_all) {
                // A record that the whole list lacks is gone.
                true => records.is_some() && records.copied() == candidate.published.rows,
                false => records.is_some(),
            };
            if is_repeated {
                repeated.insert(candidate.index);
            }
        }
    }
    Ok(repeated)
}

/// Cut the candidates into batches of a limited number of rows.
fn in_batches<'c, 'a>(candidates: &'c [RepeatCandidate<'a>]) -> Vec<&'c [RepeatCandidate<'a>]> {
    let mut rows = 0;
    let mut batch = 0;
    let batches = candidates.chunk_by(move |_, next| {
        rows += next.rows;
        let is_same = rows / ROWS_AT_ONCE == batch;
        batch = rows / ROWS_AT_ONCE;
        is_same
    });
    batches.collect()
}

/// Return the number of records of each repository (`1 {uuid}`), all of which are published already.
async fn same_records(
    lake: &Lake,
    engine: &Engine,
    contract: &Contract,
    candidates: &[RepeatCandidate<'_>],
) -> Result<BTreeMap<String, u64>> {
    let Some(owner) = contract.primary_key.get(1) else {
        return Ok(BTreeMap::new());
    };
    let segments = candidates.iter().flat_map(|it| it.segments);
    let segments = segments.map(|segment| lake.file_url(&segment.path).map(TableFile::from));
    let segments = segments.collect::<Result<Vec<_>>>()?;
    let files: Vec<_> = candidates.iter().map(|it| it.published.clone()).collect();
    engine.register_parquet(SCHEMA, "arrived", segment_schema(contract), &segments)?;
    engine.register_parquet(SCHEMA, "older", contract.arrow_schema(), &files)?;
    let keys = engine
        .query_texts(&format!("SELECT DISTINCT _key FROM {SCHEMA}.arrived"))
        .await?;
    let keys = keys.iter().map(|key| text_literal(key));
    let keys = keys.collect::<Vec<_>>().join(", ");
    // The keys are given as values, so that the payloads of other records are not read.
    let sql = format!(
        "SELECT concat_ws(' ', cast(a._connection_id AS varchar), a.{owner}, cast(count(DISTINCT a._key) AS varchar)) \
         FROM {SCHEMA}.arrived AS a LEFT JOIN \
         (SELECT _connection_id, {owner}, _key, _payload FROM {SCHEMA}.older WHERE _key IN ({keys})) AS o \
         ON o._connection_id = a._connection_id AND o.{owner} = a.{owner} AND o._key = a._key \
         AND o._payload = a._payload \
         GROUP BY a._connection_id, a.{owner} HAVING count(*) = count(o._key)"
    );
    let found = engine.query_texts(&sql).await?;
    let found = found.iter().filter_map(|text| text.rsplit_once(' '));
    Ok(found
        .filter_map(|(repository, records)| Some((repository.to_owned(), records.parse().ok()?)))
        .collect())
}
