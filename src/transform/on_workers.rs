//! Runs a query on the workers of a run, or on the coordinator if they cannot.
//!
//! ```text
//! workers ─▶ rows                                            the usual case
//!         ─▶ a worker died     ─▶ the remaining workers
//!         ─▶ out of memory     ─▶ workers, with joins that spill
//!         ─▶ any other failure ─▶ coordinator, whose result decides
//! ```

use std::fmt;
use std::path::Path;

use super::write::{self, QueryFailure, WrittenTable};
use crate::cluster::{Cluster, UseOfWorkers};
use crate::engine::{Engine, LocalOnly, Param};
use crate::error::Result;
use crate::schema::Contract;

/// Why a query runs on the coordinator.
enum LocalReason {
    Bound(LocalOnly),
    NoExchange,
    NoWorker,
    OutOfMemory,
    Refused(String),
}

impl fmt::Display for LocalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(reason) => reason.fmt(f),
            Self::NoExchange => f.write_str("the plan exchanges no rows"),
            Self::NoWorker => f.write_str("no worker is left"),
            Self::OutOfMemory => f.write_str("the workers need more memory"),
            Self::Refused(error) => write!(f, "the step fails on the workers: {error}"),
        }
    }
}

/// Run `sql` as [`write::query`] does, on the workers if the session has workers.
pub(super) async fn query(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<WrittenTable> {
    let Some(cluster) = engine.cluster() else {
        return write::query(engine, sql, params, contract, folder).await;
    };
    let planned = engine.plan_shared(sql, params).await?;
    let local_only = planned.local_only();
    let reason = match local_only.map_err(|error| QueryFailure::of(error).into_error(contract))? {
        Some(reason) => LocalReason::Bound(reason),
        None => match attempt(engine, cluster, sql, params, contract, folder).await? {
            Ok(table) => return Ok(table),
            Err(reason) => reason,
        },
    };
    cluster.record_local(contract.name(), reason.to_string());
    write::query(engine, sql, params, contract, folder).await
}

/// Run `sql` on workers until it succeeds, or return the reason why it cannot.
async fn attempt(
    engine: &Engine,
    cluster: &Cluster,
    sql: &str,
    params: &[Param],
    contract: &Contract,
    folder: &Path,
) -> Result<Result<WrittenTable, LocalReason>> {
    let mut joins_in_memory = true;
    loop {
        let workers = cluster.workers();
        if workers.is_empty() {
            return Ok(Err(LocalReason::NoWorker));
        }
        let used = UseOfWorkers::default();
        let session = engine.on_workers(cluster, joins_in_memory, &used)?;
        let result = write::attempt(&session, sql, params, contract, folder).await;
        if used.is_any() || result.is_err() {
            cluster.find_lost().await;
        }
        let is_whole = cluster.workers() == workers;
        let failure = match result {
            // The process that replaced a lost worker may be another build, and the result may have rows of it.
            Ok(_) if used.is_any() && !is_whole => continue,
            Ok(table) => {
                if !used.is_any() {
                    let reason = LocalReason::NoExchange.to_string();
                    cluster.record_local(contract.name(), reason);
                }
                return Ok(Ok(table));
            }
            Err(failure) => failure,
        };
        match failure {
            _ if !is_whole => {}
            QueryFailure::OutOfMemory(_) if joins_in_memory => joins_in_memory = false,
            QueryFailure::OutOfMemory(_) => return Ok(Err(LocalReason::OutOfMemory)),
            failure => {
                let error = failure.into_error(contract).to_string();
                return Ok(Err(LocalReason::Refused(error)));
            }
        }
    }
}
