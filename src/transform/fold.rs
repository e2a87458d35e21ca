//! Segments into the source layer: newer records, and those older ones that no newer record replaces.
//!
//! ```text
//! newer = the segments' records, the last seen of each key       older = the file published before
//! file  = newer ∪ (older NOT EXISTS in newer)                    nothing older, when a segment replaces everything;
//!                                                                nothing of a parent whose list came again whole
//! ```
//!
//! The hash table of that join holds only what changed. A file whose repository has no new segment is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::write;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{
    Lake, ListState, Manifest, NextFile, NextTable, ParquetFile, Replaces, RepositoryState,
    SEQUENCE, SegmentRef, is_lost_race, layout, segment_schema,
};
use crate::schema::Contract;

const SCHEMA: &str = "fold";
/// The columns that name the parent of a record.
const PARENTS: [&str; 2] = ["_pull_request_id", "_issue_id"];

/// One state per name: when a repository was deleted and made anew, its name belongs to the new one.
pub(super) fn current(states: Vec<RepositoryState>) -> Vec<RepositoryState> {
    let mut by_name: BTreeMap<(i64, String), RepositoryState> = BTreeMap::new();
    let seen = |state: &RepositoryState| {
        let through = state
            .entities
            .values()
            .filter_map(|entity| entity.complete_through)
            .max();
        (state.missing_since.is_none(), through)
    };
    for state in states {
        let name = (state.connection_id, state.full_name.clone());
        if by_name
            .get(&name)
            .is_none_or(|known| seen(known) < seen(&state))
        {
            by_name.insert(name, state);
        }
    }
    by_name.into_values().collect()
}

/// The source table of `contract`: staged where something changed, kept where not.
pub(super) async fn fold(
    lake: &Lake,
    engine: &Engine,
    contract: &Contract,
    states: &[RepositoryState],
    manifest: &Manifest,
    folder: &Path,
) -> Result<NextTable> {
    let entity = contract.table.as_str();
    let mut next = NextTable {
        schema_version: contract.version,
        ..NextTable::default()
    };
    let published = manifest.table(&contract.name());
    let is_published =
        |path: &String| published.is_some_and(|table| table.files.contains_key(path));
    for (n, state) in states.iter().enumerate() {
        let path = layout::source_file(entity, state.connection_id, &state.full_name);
        let base = base(lake, manifest, &is_published, entity, state, &path).await?;
        let segments = state.entities.get(entity).map_or(&[][..], pending);
        if segments.is_empty()
            && base
                .as_ref()
                .is_none_or(|base| *base == path && is_published(base))
        {
            if base.is_some() {
                next.files.insert(path, NextFile::Kept);
            }
            continue;
        }
        let sql = register(lake, engine, contract, state, segments, base.as_deref())?;
        let files = write::query(engine, &sql, &[], contract, &folder.join(n.to_string())).await;
        let files = files.map_err(|error| error.with("repository", &state.full_name))?;
        // Without rows there is no file, as if there never had been any.
        for (_, written) in files.into_iter().filter(|(_, written)| written.rows > 0) {
            next.files.insert(path.clone(), NextFile::Staged(written));
        }
    }
    if next.files.is_empty() {
        let path = folder.join("empty.parquet");
        let written = ParquetFile::create(&path, contract.arrow_schema(), contract)?.finish()?;
        next.files
            .insert(layout::empty_source_file(entity), NextFile::Staged(written));
    }
    Ok(next)
}

/// The file that the new one is made from. A run that died while it moved a repository to its new name may have said so
/// in the manifest and not yet in the state, or moved the file and said so nowhere.
async fn base(
    lake: &Lake,
    manifest: &Manifest,
    is_published: &impl Fn(&String) -> bool,
    entity: &str,
    state: &RepositoryState,
    path: &String,
) -> Result<Option<String>> {
    let was_named = state.published_as.as_ref().unwrap_or(&state.full_name);
    let old = layout::source_file(entity, state.connection_id, was_named);
    if !is_published(&old) {
        return Ok(Some(path.clone()).filter(is_published));
    }
    let moved = manifest.intent.is_some()
        && old != *path
        && lake.current_version(&old).await?.is_none()
        && lake.current_version(path).await?.is_some();
    Ok(Some(if moved { path.clone() } else { old }))
}

/// The segments that count: what came before a complete one is superseded.
fn pending(state: &ListState) -> &[SegmentRef] {
    let complete = |segment: &SegmentRef| segment.replaces == Replaces::Everything;
    let from = state.segments.iter().rposition(complete).unwrap_or(0);
    state.segments.get(from..).unwrap_or(&[])
}

/// Registers the inputs and returns the query over them.
fn register(
    lake: &Lake,
    engine: &Engine,
    contract: &Contract,
    state: &RepositoryState,
    segments: &[SegmentRef],
    base: Option<&str>,
) -> Result<String> {
    if let Some(older) = base {
        let files = [lake.file_url(older)?];
        engine.register_parquet(SCHEMA, "older", contract.arrow_schema(), &files)?;
    }
    let columns = columns(contract, state);
    if segments.is_empty() {
        // A rename alone: the rows move to the ids of the new name.
        return match base {
            Some(_) => Ok(format!("SELECT {columns} FROM {SCHEMA}.older")),
            None => Err(Error::new(ErrorKind::Internal, "nothing to fold")),
        };
    }
    let replaces_all = |segment: &SegmentRef| segment.replaces == Replaces::Everything;
    let older = base.filter(|_| !segments.iter().any(replaces_all));
    let files = segments.iter().map(|segment| lake.file_url(&segment.path));
    let files = files.collect::<Result<Vec<_>>>()?;
    engine.register_parquet(SCHEMA, "arrived", segment_schema(contract), &files)?;
    let replaced = replaced(segments);
    let parent = PARENTS.iter().find(|name| contract.column(name).is_some());
    let parent = parent.filter(|_| !replaced.is_empty());

    let key: Vec<_> = contract
        .primary_key
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    let mut sql = "WITH ".to_owned();
    if !replaced.is_empty() {
        let rows = replaced
            .iter()
            .map(|(id, first)| format!("({id}, {first})"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        sql.push_str(&format!("replaced (parent, first) AS (VALUES {rows}), "));
    }
    sql.push_str(&format!(
        "newer AS (SELECT * FROM {SCHEMA}.arrived AS arrived"
    ));
    if let Some(parent) = parent {
        sql.push_str(&format!(
            " WHERE NOT EXISTS (SELECT 1 FROM replaced WHERE replaced.parent = arrived.\"{parent}\" \
             AND arrived.{SEQUENCE} < replaced.first)"
        ));
    }
    sql.push_str(&format!(
        " QUALIFY row_number() OVER (PARTITION BY {} ORDER BY {SEQUENCE} DESC) = 1) \
         SELECT {columns} FROM newer",
        key.join(", "),
    ));
    if older.is_some() {
        let same: Vec<_> = key
            .iter()
            .filter(|name| *name != "\"_workspace\"")
            .map(|name| format!("newer.{name} = older.{name}"))
            .collect();
        sql.push_str(&format!(
            " UNION ALL SELECT {columns} FROM {SCHEMA}.older AS older \
             WHERE NOT EXISTS (SELECT 1 FROM newer WHERE {})",
            same.join(" AND "),
        ));
        if let Some(parent) = parent {
            sql.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM replaced WHERE replaced.parent = older.\"{parent}\")"
            ));
        }
    }
    Ok(sql)
}

/// Parents whose lists came whole, and the record from which on they did so last.
fn replaced(segments: &[SegmentRef]) -> BTreeMap<i64, u64> {
    let mut last = BTreeMap::new();
    for segment in segments {
        if let Replaces::Parents(parents) = &segment.replaces {
            last.extend(parents.iter().map(|parent| (*parent, segment.first)));
        }
    }
    last
}

/// The contract's columns, under the name that the repository has now.
fn columns(contract: &Contract, state: &RepositoryState) -> String {
    let workspace = state.full_name.split('/').next().unwrap_or_default();
    let named = contract
        .columns
        .iter()
        .map(|column| match column.name.as_str() {
            "_workspace" => format!("{} AS \"_workspace\"", literal(workspace)),
            "_repository" => format!("{} AS \"_repository\"", literal(&state.full_name)),
            name => format!("\"{name}\""),
        });
    named.collect::<Vec<_>>().join(", ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// After publishing: the segments are part of the source layer now, and the states say so. A segment goes when no state
/// names it any more; what was collected meanwhile stays. `given_up`: segments and files of the source layer that were lost
/// for good; their lists are read anew.
pub(super) async fn settle(
    lake: &Lake,
    folded: &[RepositoryState],
    given_up: &BTreeSet<String>,
) -> Result<()> {
    for state in folded {
        while let Some((mut settled, version)) =
            lake.state(state.connection_id, &state.uuid).await?
        {
            let before = settled.clone();
            settled.published_as = Some(state.full_name.clone());
            for (entity, folded) in &state.entities {
                let was_published_as = state.source_file(entity);
                if let Some(entity) = settled.entities.get_mut(entity) {
                    let is_given_up = given_up.contains(&was_published_as)
                        || entity.segments.iter().any(|it| given_up.contains(&it.path));
                    entity.segments.retain(|segment| {
                        !folded.segments.contains(segment) && !given_up.contains(&segment.path)
                    });
                    entity.is_lost &= !folded.is_lost;
                    if is_given_up {
                        entity.is_lost = false;
                        entity.start_over("what was collected of it was given up");
                    }
                }
            }
            if settled == before {
                break;
            }
            match lake.put_state(&settled, Some(&version)).await {
                Err(error) if is_lost_race(&error) => {}
                put => {
                    put?;
                    break;
                }
            }
        }
        for segment in state.entities.values().flat_map(|entity| &entity.segments) {
            lake.remove(&segment.path).await?;
        }
    }
    Ok(())
}
