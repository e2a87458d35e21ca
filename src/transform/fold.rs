//! Folds segments into the source layer: newer records, and the older ones that no newer record replaces.
//!
//! ```text
//! newer = the records of the segments, the latest of each key       older = the published file
//! file  = newer ∪ (older NOT EXISTS in the segments)                without older, if a segment replaces everything;
//!                                                                   without the records of a parent whose list was read whole
//! ```
//!
//! The hash table of the join holds only the keys of the newer records. A file without new segments is kept as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::published;
use super::source_files::{SourceFile, SourceFiles};
use crate::engine::{Engine, TableFile, text_literal};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{
    Lake, ListState, Manifest, NextFile, NextTable, ParquetFile, Replaces, RepositoryState,
    SEQUENCE, SegmentRef, is_lost_race, layout, segment_schema,
};
use crate::schema::Contract;

const SCHEMA: &str = "fold";
/// The repositories whose states are put at the same time.
const REQUESTS: usize = 8;
/// The columns that name the parent of a record.
const PARENTS: [&str; 2] = ["_pull_request_id", "_issue_id"];

/// Return one state per repository name. If a repository was deleted and created again, the name belongs to the new
/// one.
pub(super) fn latest_by_name(states: Vec<RepositoryState>) -> Vec<RepositoryState> {
    let mut by_name: BTreeMap<(i64, String), RepositoryState> = BTreeMap::new();
    let collected = |state: &RepositoryState| {
        let latest = state
            .entities
            .values()
            .filter_map(|entity| entity.complete_through)
            .max();
        (state.missing_since.is_none(), latest)
    };
    for state in states {
        let name = (state.connection_id, state.full_name.clone());
        if by_name
            .get(&name)
            .is_none_or(|known| collected(known) < collected(&state))
        {
            by_name.insert(name, state);
        }
    }
    by_name.into_values().collect()
}

/// Return the source table of `contract`: staged files where something changed, kept files elsewhere. `repeated`: the
/// indices of states whose segments have only published records.
pub(super) async fn fold(
    lake: &Lake,
    engine: &Arc<Engine>,
    contract: &Arc<Contract>,
    states: &[RepositoryState],
    manifest: &Manifest,
    repeated: &BTreeSet<usize>,
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
    let mut writing = SourceFiles::default();
    for (n, state) in states.iter().enumerate() {
        let path = layout::source_file(entity, state.connection_id, &state.full_name);
        if repeated.contains(&n) {
            next.files.insert(path, NextFile::Kept);
            continue;
        }
        let base = base(lake, manifest, &is_published, entity, states, state, &path).await?;
        let segments = state
            .entities
            .get(entity)
            .map_or(&[][..], effective_segments);
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
        let inputs = (segments, base.as_deref());
        let file = SourceFile {
            sql: register(lake, manifest, engine, contract, (n, state), inputs)?,
            engine: Arc::clone(engine),
            contract: Arc::clone(contract),
            repository: state.full_name.clone(),
            path,
            folder: folder.join(n.to_string()),
        };
        writing.start(file, &mut next).await?;
    }
    writing.finish(&mut next).await?;
    if next.files.is_empty() {
        let path = folder.join("empty.parquet");
        let written = ParquetFile::create(&path, contract.arrow_schema(), contract)?.finish()?;
        next.files
            .insert(layout::empty_source_file(entity), NextFile::Staged(written));
    }
    Ok(next)
}

/// Return the published file to fold into. After a rename it still has the old name, which a new repository may have by now.
/// A run that died while it moved a repository may have updated the manifest but not the state, or moved the file and updated
/// neither.
async fn base(
    lake: &Lake,
    manifest: &Manifest,
    is_published: &impl Fn(&String) -> bool,
    entity: &str,
    states: &[RepositoryState],
    state: &RepositoryState,
    path: &String,
) -> Result<Option<String>> {
    let others = || {
        states
            .iter()
            .filter(|other| other.connection_id == state.connection_id && other.uuid != state.uuid)
    };
    let is_of_another = |name| others().any(|other| other.published_as.as_ref() == Some(name));
    let Some(was_named) = &state.published_as else {
        let is_own = is_published(path) && !is_of_another(&state.full_name);
        return Ok(is_own.then(|| path.clone()));
    };
    let old = layout::source_file(entity, state.connection_id, was_named);
    if !is_published(&old) {
        return Ok(Some(path.clone()).filter(is_published));
    }
    // The state was not updated: the old name's file is that of the new repository.
    let has_moved = others().any(|other| other.full_name == *was_named)
        && is_published(path)
        && !is_of_another(&state.full_name);
    let moves = manifest.intent.is_some()
        && old != *path
        && lake.current_version(&old).await?.is_none()
        && lake.current_version(path).await?.is_some();
    Ok(Some(if has_moved || moves {
        path.clone()
    } else {
        old
    }))
}

/// Return the segments from the last complete one on, which supersedes the earlier ones.
pub(super) fn effective_segments(state: &ListState) -> &[SegmentRef] {
    let complete = |segment: &SegmentRef| segment.replaces == Replaces::Everything;
    let from = state.segments.iter().rposition(complete).unwrap_or(0);
    state.segments.get(from..).unwrap_or(&[])
}

/// Register the inputs of the fold of the `n`th state, and return the query over them.
fn register(
    lake: &Lake,
    manifest: &Manifest,
    engine: &Engine,
    contract: &Contract,
    (n, state): (usize, &RepositoryState),
    (segments, base): (&[SegmentRef], Option<&str>),
) -> Result<String> {
    let (older_table, arrived_table) = (format!("older_{n}"), format!("arrived_{n}"));
    if let Some(older) = base {
        let files = [published::file(lake, manifest, &contract.name(), older)?];
        engine.register_parquet(SCHEMA, &older_table, contract.arrow_schema(), &files)?;
    }
    let columns = columns(contract, state);
    if segments.is_empty() {
        // Only the name changed: the rows get the new one.
        return match base {
            Some(_) => Ok(format!("SELECT {columns} FROM {SCHEMA}.{older_table}")),
            None => Err(Error::new(ErrorKind::Internal, "nothing to fold")),
        };
    }
    let replaces_all = |segment: &SegmentRef| segment.replaces == Replaces::Everything;
    let older = base.filter(|_| !segments.iter().any(replaces_all));
    let files = segments.iter().map(|segment| {
        Ok(TableFile {
            rows: Some(segment.rows),
            ..lake.file_url(&segment.path)?.into()
        })
    });
    let files = files.collect::<Result<Vec<_>>>()?;
    engine.register_parquet(SCHEMA, &arrived_table, segment_schema(contract), &files)?;
    let replaced = replaced(segments);
    let parent = PARENTS.iter().find(|name| contract.column(name).is_some());
    let parent = parent.filter(|_| !replaced.is_empty());

    let key: Vec<_> = contract
        .primary_key
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    let mut sql = String::new();
    if !replaced.is_empty() {
        let rows = replaced
            .iter()
            .map(|(id, first)| format!("({id}, {first})"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        sql.push_str(&format!(
            "WITH replaced (parent, first) AS (VALUES {rows}) "
        ));
    }
    sql.push_str(&format!(
        "SELECT {columns} FROM {SCHEMA}.{arrived_table} AS arrived"
    ));
    if let Some(parent) = parent {
        sql.push_str(&format!(
            " WHERE NOT EXISTS (SELECT 1 FROM replaced WHERE replaced.parent = arrived.\"{parent}\" \
             AND arrived.{SEQUENCE} < replaced.first)"
        ));
    }
    let own: Vec<_> = key.iter().map(|name| format!("arrived.{name}")).collect();
    sql.push_str(&format!(
        " QUALIFY row_number() OVER (PARTITION BY {} ORDER BY arrived.{SEQUENCE} DESC) = 1",
        own.join(", "),
    ));
    if older.is_some() {
        let same: Vec<_> = key
            .iter()
            .map(|name| format!("arrived.{name} = older.{name}"))
            .collect();
        sql.push_str(&format!(
            " UNION ALL SELECT {columns} FROM {SCHEMA}.{older_table} AS older \
             WHERE NOT EXISTS (SELECT 1 FROM {SCHEMA}.{arrived_table} AS arrived WHERE {})",
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

/// Return the parents whose lists were read whole, and the sequence number from which the last such list starts.
fn replaced(segments: &[SegmentRef]) -> BTreeMap<i64, u64> {
    let mut last = BTreeMap::new();
    for segment in segments {
        if let Replaces::Parents(parents) = &segment.replaces {
            last.extend(parents.iter().map(|parent| (*parent, segment.first)));
        }
    }
    last
}

/// Return the select list of the contract's columns, with the current name of the repository.
fn columns(contract: &Contract, state: &RepositoryState) -> String {
    let workspace = state.full_name.split('/').next().unwrap_or_default();
    let named = contract
        .columns
        .iter()
        .map(|column| match column.name.as_str() {
            "_workspace" => format!("{} AS \"_workspace\"", text_literal(workspace)),
            "_repository" => format!("{} AS \"_repository\"", text_literal(&state.full_name)),
            name => format!("\"{name}\""),
        });
    named.collect::<Vec<_>>().join(", ")
}

/// Update the states after publishing: remove the folded segments, and delete their files. Segments collected in the
/// meantime stay in the state. `given_up` are the segments and source files that are lost; their lists are read again.
pub(super) async fn remove_folded(
    lake: &Lake,
    folded: &[RepositoryState],
    given_up: &BTreeSet<String>,
) -> Result<()> {
    let has_changes = |state: &&RepositoryState| {
        let mut lists = state.entities.values();
        let is_published = state.published_as.as_ref() == Some(&state.full_name);
        !is_published || lists.any(|list| list.is_lost || !list.segments.is_empty())
    };
    let changed = folded
        .iter()
        .filter(|state| !given_up.is_empty() || has_changes(state));
    stream::iter(changed)
        .map(|state| remove_folded_of(lake, state, given_up))
        .buffer_unordered(REQUESTS)
        .try_collect()
        .await
}

/// Update the state of one repository, and delete the folded segments.
async fn remove_folded_of(
    lake: &Lake,
    state: &RepositoryState,
    given_up: &BTreeSet<String>,
) -> Result<()> {
    while let Some((mut updated, version)) = lake.state(state.connection_id, &state.uuid).await? {
        let before = updated.clone();
        updated.published_as = Some(state.full_name.clone());
        for (entity, folded) in &state.entities {
            let was_published_as = state.source_file(entity);
            if let Some(entity) = updated.entities.get_mut(entity) {
                let is_given_up = given_up.contains(&was_published_as)
                    || entity.segments.iter().any(|it| given_up.contains(&it.path));
                entity.segments.retain(|segment| {
                    !folded.segments.contains(segment) && !given_up.contains(&segment.path)
                });
                entity.is_lost &= !folded.is_lost;
                if is_given_up {
                    entity.is_lost = false;
                    entity.start_over("its collected records were given up");
                }
            }
        }
        if updated == before {
            break;
        }
        match lake.put_state(&updated, Some(&version)).await {
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
    Ok(())
}
