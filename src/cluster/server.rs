//! A worker, which serves parts of plans over gRPC and its status over HTTP on one port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::routing::get;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use url::Url;

use super::BUILD;
use super::channels::{Channels, KEEP_ALIVE};
use super::counted::{CountWork, WorkCounters};
use super::status::{STATUS, WorkerStatus};
use crate::clock;
use crate::digest::sha256_hex;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::layout::is_lake_check;
use crate::memory::processor_time;

/// The largest file that is read for a status, in bytes.
const MOST_CHECK_BYTES: u64 = 1024;

/// A worker before it listens.
pub struct WorkerServer {
    /// The session whose functions, settings, stores and memory every task uses.
    pub session: SessionState,
    /// The memory limit in bytes, for the status.
    pub memory_limit: u64,
}

/// A worker that listens.
pub struct RunningWorker {
    server: WorkerServer,
    listener: TcpListener,
    address: SocketAddr,
}

impl WorkerServer {
    /// Listen at `HOST:PORT`; port 0 selects a free port.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the process cannot listen at the address.
    pub async fn listen(self, address: &str) -> Result<RunningWorker> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Usage, "cannot listen")
                .with("address", address)
                .source(error)
                .hint("choose another HOST:PORT with --listen; port 0 is any free one")
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(RunningWorker {
            server: self,
            listener,
            address,
        })
    }
}

impl RunningWorker {
    /// Return the address that the worker listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serve until `stop` completes. Tasks that are still running are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the server fails.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let counters = Arc::new(WorkCounters::default());
        let status = self.server.status(&counters);
        let worker = self.server.worker(&counters);
        let runtime = Arc::clone(self.server.session.runtime_env());
        let reply = move |Query(query): Query<StatusQuery>| async move {
            let file = match &query.file {
                Some(file) => lake_check(&runtime, file).await,
                None => None,
            };
            Json(WorkerStatus { file, ..status() })
        };
        let router = Routes::new(worker.into_worker_server())
            .into_axum_router()
            .route(STATUS, get(reply));
        let serving = Server::builder()
            // For the status.
            .accept_http1(true)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_routes(Routes::from(router))
            .serve_with_incoming(TcpIncoming::from(self.listener).with_nodelay(Some(true)));
        tokio::select! {
            served = serving => served.or_error(ErrorKind::Internal, "the worker failed"),
            () = stop => Ok(()),
        }
    }
}

impl WorkerServer {
    fn status(&self, counters: &Arc<WorkCounters>) -> impl Fn() -> WorkerStatus + Clone + use<> {
        let counters = Arc::clone(counters);
        let started = clock::now().timestamp_micros();
        let instance = format!("{}-{started}", std::process::id());
        let memory_limit = self.memory_limit;
        move || {
            let (tasks, rows) = counters.read();
            let time = processor_time();
            WorkerStatus {
                build: BUILD.to_owned(),
                instance: instance.clone(),
                memory_limit,
                tasks,
                rows,
                file: None,
                cpu_milliseconds: time.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            }
        }
    }

    fn worker(&self, counters: &Arc<WorkCounters>) -> Worker {
        let session = self.session.clone();
        let counters = Arc::clone(counters);
        let channels: Arc<dyn datafusion_distributed::ChannelResolver + Send + Sync> =
            Arc::new(Channels::default());
        let runtime = Arc::clone(session.runtime_env());
        let build = move |query: WorkerQueryContext| {
            let state = task_session(query, &session, &counters, &channels);
            std::future::ready(Ok::<_, DataFusionError>(state))
        };
        Worker::from_session_builder(build)
            .with_runtime_env(runtime)
            .with_version(BUILD)
    }
}

#[derive(Deserialize)]
struct StatusQuery {
    file: Option<String>,
}

/// Return the SHA-256 of the small file by which a coordinator checks that this worker sees its lake. No other file is
/// read.
async fn lake_check(runtime: &RuntimeEnv, file: &str) -> Option<String> {
    let file = Url::parse(file).ok()?;
    let path = Path::from_url_path(file.path()).ok()?;
    if !is_lake_check(&path) {
        return None;
    }
    let store = runtime.object_store_registry.get_store(&file).ok()?;
    let found = store.get(&path).await.ok()?;
    if found.meta.size > MOST_CHECK_BYTES {
        return None;
    }
    Some(sha256_hex(found.bytes().await.ok()?))
}

/// Create the session of one task: it has the functions and settings of `session`.
fn task_session(
    mut query: WorkerQueryContext,
    session: &SessionState,
    counters: &Arc<WorkCounters>,
    channels: &Arc<dyn datafusion_distributed::ChannelResolver + Send + Sync>,
) -> SessionState {
    let config = query.builder.config().get_or_insert_default();
    config.options_mut().execution = session.config_options().execution.clone();
    config.set_distributed_channel_resolver(Arc::clone(channels));
    config.set_distributed_worker_plan_rewrite_handler(CountWork(Arc::clone(counters)));
    let functions = session.scalar_functions().values();
    query
        .builder
        .with_scalar_functions(functions.cloned().collect())
        .build()
}
