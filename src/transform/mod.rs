//! Transforms collected segments into the published tables. Only Parquet files pass between the steps.
//!
//! ```text
//! bitlake.toml ─▶ settings.rs ─▶ config/…    ─┐
//! segments ─────▶ source.rs ───▶ bitbucket/… ─┼─▶ steps.rs, in dependency order ─▶ domain, dora, metrics
//! [[table]] ────▶ outside/ ───────────────────┘        │      SQL, or native: native/
//!                                              checks ─┴─▶ publish, then state
//! ```
//!
//! Each step reads registered Parquet files and writes one table into a staging folder, where later steps read it. The
//! tables are published in one operation after every one of them has passed its contract.
//!
//! What did not change is not made again:
//!
//! ```text
//! kept.rs         a table is kept if its step and its inputs are those that it was made from
//! selection.rs    finds the repositories and projects that changed
//! parts.rs        makes their rows alone, if the step is declared so (incremental.rs)
//! step_in_part.rs replaces the published rows by them
//! stored.rs       keeps the base tables that look across all repositories from one run to the next
//! repeated.rs     finds source files whose new records are the published ones
//! ```
//!
//! `run.rs` holds the state of one transform, `run_steps.rs` starts the steps, and `run_step.rs` runs one of them.

mod buckets;
mod check_outside;
mod checks;
mod damage;
mod dbt;
mod events;
mod fold;
mod history;
mod incremental;
mod kept;
mod layout;
mod lineage;
mod native;
mod on_workers;
mod outside;
mod parts;
mod published;
mod redecode;
mod repeated;
mod report;
mod run;
mod run_step;
mod run_steps;
mod selection;
mod settings;
mod source;
mod source_files;
mod step_in_part;
mod steps;
mod stored;
mod tasks;
mod unique_key;
mod write;

pub use check_outside::{OutsideCheck, check_outside};
pub use checks::{CheckResults, Warning};
pub use dbt::{DBT_MARK, DbtProject};
pub use events::{TransformEvent, TransformListener};
pub use layout::contracts;
pub use lineage::{SourceColumn, TableLineage};
pub use native::NativeStep;
pub use published::{check_unmatched, open_published, worker_engine};
pub use report::{LargeFile, NulledValues, StepReport, TransformReport};
pub use run_step::run_step;
pub use steps::{Step, StepBody, StepGraph, reports};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use url::Url;

use crate::cluster::Cluster;
use crate::config::{Config, RepositoryIdentity};
use crate::error::Result;
use crate::lake::{InventoryDepth, Lake, LakeLock, RepositoryState, SharedFiles, publish_with};
use crate::secret::Masker;
use checks::KnownFindings;
use run::{TransformRun, split_tables};
use stored::StoredTables;

/// The options of a transform.
#[derive(Debug, Clone, Default)]
pub struct TransformOptions {
    /// Run only the steps of these layers, and read the tables of the others as published.
    pub only: Option<BTreeSet<String>>,
    /// End the periods of the metrics at this time, if it is earlier than the end of the collected time.
    pub as_of: Option<DateTime<Utc>>,
    /// A folder whose `<layer>/<table>.sql` add or replace steps.
    pub queries: Option<PathBuf>,
    /// Make every table again, also those whose inputs did not change.
    pub full: bool,
    /// Decode every record of the source layer again, and make every table again.
    pub rebuild: bool,
    /// Give up damaged files that cannot be made again.
    pub accept_loss: bool,
    /// The credentials to remove from records that are decoded again.
    pub masker: Masker,
    /// The workers that SQL steps run on; none for this process alone.
    pub workers: Vec<Url>,
    /// Go on without workers if none answers: they did before the collection.
    pub may_lack_workers: bool,
    /// Receives the progress.
    pub listener: TransformListener,
}

/// Transform the collected segments of a lake, and publish the tables.
///
/// # Errors
/// [`ErrorKind::Contract`](crate::error::ErrorKind::Contract) and
/// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) before anything is published;
/// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when the lake cannot be read or written.
pub async fn transform(
    config: &Config,
    lake: &Lake,
    lock: &LakeLock,
    run_id: &str,
    now: DateTime<Utc>,
    options: &TransformOptions,
) -> Result<TransformReport> {
    let mut states = fold::latest_by_name(lake.states().await?);
    let assigned = config.assign(&found(&states))?;
    let mut steps = StepGraph::find(options.queries.as_deref())?;
    steps.set_run_params(run_id, now)?;
    let contracts = contracts(config)?;
    steps.apply_layout(&contracts);
    let inventory = lake.inventory(InventoryDepth::Listing).await?;
    let mut run = TransformRun::new(
        config, lake, contracts, steps, &inventory, &states, &assigned,
    )?;
    run.stored = StoredTables::read(lake).await;
    let given_up = run.check_damage(&mut states, options.accept_loss).await?;

    let known = KnownFindings::read(lake).await;

    let work = async {
        if !options.workers.is_empty() {
            let files = SharedFiles::new(lake, run_id);
            run.use_cluster(
                Cluster::connect(&options.workers, files, options.may_lack_workers).await?,
            )?;
        }
        run.stage_settings(&states, &assigned)?;
        run.stage_source(&states, now, options).await?;
        run.stage_outside().await?;
        run.stage_buckets(&states, &assigned, options.as_of).await?;
        run.run_steps(options).await?;
        options.listener.tell(TransformEvent::Checking);
        run.run_checks(&known).await
    };
    let result = work.await;
    run.finish_cluster().await;
    let findings = match result {
        Ok(findings) => findings,
        Err(error) => return Err(damage::explain(lake, error).await),
    };
    run.check_repairs(options.accept_loss)?;
    let TransformRun {
        contracts,
        tables,
        stored,
        report,
        ..
    } = run;
    let (tables, bases) = split_tables(tables);
    let large_files = report::large_files(&contracts, &inventory.manifest, &tables);
    let tell_files = |done, total| {
        let event = TransformEvent::Publishing { done, total };
        options.listener.tell(event);
    };
    let published = publish_with(lake, lock, run_id, now, &inventory, tables, &tell_files).await?;
    let keep = async {
        if findings != known {
            findings.put(lake).await;
        }
        stored.put(lake, bases).await;
    };
    let (removed, ()) = futures::join!(fold::remove_folded(lake, &states, &given_up), keep);
    removed?;
    let found = findings.all();
    let damaged = inventory.damaged.iter();
    Ok(TransformReport {
        published,
        repaired: damaged
            .map(|(path, damage)| (path.clone(), damage.to_string()))
            .collect(),
        warnings: found.warnings,
        notices: found.notices,
        large_files,
        ..report
    })
}

/// Return the repositories among the states, without the workspaces.
fn found(states: &[RepositoryState]) -> Vec<RepositoryIdentity> {
    let repositories = states.iter().filter(|state| !state.is_workspace());
    repositories
        .map(|state| RepositoryIdentity {
            connection_id: state.connection_id,
            full_name: state.full_name.clone(),
            uuid: state.uuid.clone(),
            bitbucket_project: state.bitbucket_project.clone(),
        })
        .collect()
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem()?.to_str()
}
