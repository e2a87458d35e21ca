//! The coordinator's side: which workers a run has, the session that plans for them, and what they did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use datafusion::common::internal_err;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion_distributed::{
    ChannelResolver, DistributedExt, SessionStateBuilderExt, WorkerResolver,
};
use futures::future::join_all;
use url::Url;

use super::channels::Channels;
use super::link::{WorkerLink, WorkerReport};
use super::planner::{UseOfWorkers, WatchedPlanner};
use super::status::{StatusClient, check_build};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::SharedFiles;

/// A file is cut into as many parts as there are workers, however small it is: the coordinator keeps its memory for the
/// final sort.
const BYTES_PER_PARTITION: usize = 1;
/// The least number of parts of a scan. A query of one part would run on the coordinator, also if there is one worker.
const LEAST_PARTS: usize = 2;
/// Bytes of rows that wait in the coordinator for one worker. Two steps run at a time, each with several exchanges.
const BUFFER: usize = 8 << 20;

/// The workers of a run.
pub struct Cluster {
    links: Arc<Mutex<Vec<WorkerLink>>>,
    client: StatusClient,
    channels: Arc<dyn ChannelResolver + Send + Sync>,
    files: Arc<SharedFiles>,
    /// Why steps ran on the coordinator, by table.
    local: Mutex<BTreeMap<String, String>>,
}

impl Cluster {
    /// Connect to the workers at these URLs. A run goes on without workers that do not answer, if one does or
    /// `may_lack_workers`.
    ///
    /// # Errors
    /// As [`check_workers`]; [`ErrorKind::Configuration`] if a worker sees another lake.
    pub async fn connect(urls: &[Url], files: SharedFiles, may_lack_workers: bool) -> Result<Self> {
        let client = StatusClient::new()?;
        let (file, sha256) = files.put_lake_check().await?;
        let links = find(urls, &client, Some(&file), may_lack_workers).await;
        let links = links.and_then(|links| check_lake(links, &files.lake_url(), &sha256));
        let links = match links {
            Ok(links) => links,
            Err(error) => {
                files.remove().await;
                return Err(error);
            }
        };
        for link in &links {
            if let Some(reason) = &link.lost {
                tracing::warn!("the run goes on without a worker: {reason}");
            }
        }
        Ok(Self {
            links: Arc::new(Mutex::new(links)),
            client,
            channels: Arc::new(Channels::default()),
            files: Arc::new(files),
            local: Mutex::default(),
        })
    }

    /// Return the folder for staged files that workers can read as they are; `None` if they read a bucket.
    pub fn staging_folder(&self) -> Option<PathBuf> {
        self.files.local_folder()
    }

    /// Return the files that this run shows to the workers.
    pub fn files(&self) -> &Arc<SharedFiles> {
        &self.files
    }

    /// Create a session that plans for the workers that are left, and notes in `used` whether a plan needs them.
    ///
    /// # Errors
    /// DataFusion's own error.
    pub fn session(
        &self,
        builder: SessionStateBuilder,
        used: &UseOfWorkers,
    ) -> Result<SessionState, DataFusionError> {
        let workers = RunWorkers(Arc::clone(&self.links));
        let parts = self.workers().len().max(LEAST_PARTS);
        let mut builder = builder
            .with_distributed_worker_resolver(workers)
            .with_distributed_channel_resolver(Arc::clone(&self.channels))
            .with_distributed_planner()
            .with_distributed_file_scan_config_bytes_per_partition(BYTES_PER_PARTITION)?
            .with_distributed_max_tasks_per_stage(parts)?
            .with_distributed_worker_connection_buffer_budget_bytes(BUFFER)?
            .with_distributed_metrics_collection(false)?;
        let Some(planner) = builder.query_planner().take() else {
            return internal_err!("there is no planner for workers");
        };
        let used = used.clone();
        let watched = Arc::new(WatchedPlanner { planner, used });
        Ok(builder.with_query_planner(watched).build())
    }

    /// Return the workers that are left.
    pub fn workers(&self) -> Vec<Url> {
        alive(&self.links)
    }

    /// Find the workers that died. The run goes on without them.
    pub async fn find_lost(&self) {
        let urls = alive(&self.links);
        let replies = urls
            .iter()
            .map(async |url| (url, self.client.get(url).await));
        let replies = join_all(replies).await;
        let mut links = lock(&self.links);
        for (url, reply) in replies {
            // Another step may have found it meanwhile.
            let Some(link) = links
                .iter_mut()
                .find(|link| link.url == *url && link.lost.is_none())
            else {
                continue;
            };
            let reason = match reply {
                Ok(status) if link.is_same(&status) => {
                    link.last = Some(status);
                    continue;
                }
                Ok(_) => "it was started again".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(worker = %url, "a worker is lost, and its work is done again: {reason}");
            link.lost = Some(reason);
        }
    }

    /// Record why a step runs on the coordinator.
    pub fn record_local(&self, table: String, reason: String) {
        tracing::info!(table, reason, "a step runs on the coordinator");
        lock(&self.local).insert(table, reason);
    }

    /// Return what each worker did, and why steps ran on the coordinator. Remove the files that the run showed to the
    /// workers.
    pub async fn finish(&self) -> (Vec<WorkerReport>, BTreeMap<String, String>) {
        self.find_lost().await;
        self.files.remove().await;
        let reports: Vec<_> = lock(&self.links).iter().map(WorkerLink::report).collect();
        for report in &reports {
            let WorkerReport {
                url,
                tasks,
                rows,
                cpu_milliseconds,
                ..
            } = report;
            tracing::info!(
                worker = url,
                tasks,
                rows,
                cpu_milliseconds,
                "a worker did its part"
            );
        }
        (reports, lock(&self.local).clone())
    }
}

/// Check that a run can have workers at these URLs.
///
/// # Errors
/// [`ErrorKind::Unreachable`] if none answers; [`ErrorKind::Configuration`] if one is another build, or not a worker.
pub async fn check_workers(urls: &[Url]) -> Result<()> {
    find(urls, &StatusClient::new()?, None, false)
        .await
        .map(drop)
}

/// Ask the workers for their status, each once.
async fn find(
    urls: &[Url],
    client: &StatusClient,
    file: Option<&Url>,
    may_lack_workers: bool,
) -> Result<Vec<WorkerLink>> {
    let mut distinct = Vec::new();
    for url in urls {
        if !distinct.contains(&url) {
            distinct.push(url);
        }
    }
    let replies = distinct
        .into_iter()
        .map(async |url| (url, client.get_with_file(url, file).await));
    let replies = join_all(replies).await;
    let mut links = Vec::new();
    let mut unreachable = Vec::new();
    for (url, reply) in replies {
        let mut link = WorkerLink {
            url: url.clone(),
            first: None,
            last: None,
            lost: None,
        };
        match reply {
            Ok(status) => {
                check_build(url, &status)?;
                link.first = Some(status.clone());
                link.last = Some(status);
            }
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                link.lost = Some(error.to_string());
                unreachable.push(error);
            }
            Err(error) => return Err(error),
        }
        links.push(link);
    }
    if may_lack_workers || links.iter().any(|link| link.lost.is_none()) {
        return Ok(links);
    }
    let mut unreachable = unreachable.into_iter();
    match (unreachable.next(), unreachable.next()) {
        (None, _) => Ok(links),
        (Some(only), None) => Err(only),
        (Some(first), Some(_)) => Err(no_worker_answers(&links, first)),
    }
}

fn no_worker_answers(links: &[WorkerLink], first: Error) -> Error {
    let urls: Vec<_> = links.iter().map(|link| link.url.as_str()).collect();
    Error::new(ErrorKind::Unreachable, "cannot reach any worker")
        .with("workers", urls.join(", "))
        .source(first)
        .hint("start them with `bitlake worker`, or remove them from --workers and [cluster]")
}

/// Refuse a worker that does not see the file of this digest. A worker that did not answer is used by no plan.
fn check_lake(links: Vec<WorkerLink>, lake: &str, sha256: &str) -> Result<Vec<WorkerLink>> {
    for link in &links {
        let Some(status) = &link.first else {
            continue;
        };
        if status.file.as_deref() != Some(sha256) {
            return Err(
                Error::new(ErrorKind::Configuration, "a worker sees another lake")
                    .with("worker", &link.url)
                    .with("lake", lake)
                    .hint("give every machine the same `lake.url` and endpoint: a bucket, or a shared folder at the same path"),
            );
        }
    }
    Ok(links)
}

/// The workers that a plan is made for.
#[derive(Clone)]
struct RunWorkers(Arc<Mutex<Vec<WorkerLink>>>);

impl WorkerResolver for RunWorkers {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        match alive(&self.0) {
            urls if urls.is_empty() => {
                let error = Error::new(ErrorKind::Unreachable, "no worker is left");
                Err(DataFusionError::External(Box::new(error)))
            }
            urls => Ok(urls),
        }
    }
}

fn alive(links: &Mutex<Vec<WorkerLink>>) -> Vec<Url> {
    let links = lock(links);
    let alive = links.iter().filter(|link| link.lost.is_none());
    alive.map(|link| link.url.clone()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
