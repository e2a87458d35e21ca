//! The status of a worker: its build, and its counters since its start.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::BUILD;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The path of the status, on the port of the worker.
pub(super) const STATUS: &str = "/status";
/// The time within which a worker must answer. A busy worker answers between two batches of rows.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The reply to `GET /status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The version and the digest of the code.
    pub build: String,
    /// Distinguishes the process from an earlier one at the same address.
    pub instance: String,
    /// The memory limit in bytes.
    pub memory_limit: u64,
    /// The number of parts of plans that the process received.
    pub tasks: u64,
    /// The number of rows that these parts returned.
    pub rows: u64,
    /// The SHA-256 of the file that the request names; `None` if the worker does not see the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The processor time of the process; `None` if the system does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milliseconds: Option<u64>,
}

/// Requests the status of workers.
#[derive(Debug, Clone)]
pub(super) struct StatusClient(reqwest::Client);

impl StatusClient {
    pub(super) fn new() -> Result<Self> {
        // Proxies of the environment are for requests to Bitbucket.
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
        let client = client.build();
        Ok(Self(client.or_error(
            ErrorKind::Internal,
            "cannot set up the requests to workers",
        )?))
    }

    /// Return the status of the worker at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when no server answers, or a server answers with an HTTP error;
    /// [`ErrorKind::Configuration`] when the reply is not a worker's.
    pub(super) async fn get(&self, url: &Url) -> Result<WorkerStatus> {
        self.get_with_file(url, None).await
    }

    /// Return the status as [`Self::get`], with the digest of the file that the worker finds at a URL.
    pub(super) async fn get_with_file(
        &self,
        url: &Url,
        file: Option<&Url>,
    ) -> Result<WorkerStatus> {
        let wrong = |kind, message: &str| Error::new(kind, message).with("worker", url);
        let mut status = url.join(STATUS).map_err(|error| {
            wrong(ErrorKind::Configuration, "not the URL of a worker").source(error)
        })?;
        if let Some(file) = file {
            status.query_pairs_mut().append_pair("file", file.as_str());
        }
        let reply = self.0.get(status).send().await.map_err(|error| {
            wrong(ErrorKind::Unreachable, "cannot reach a worker")
                .source(error.without_url())
                .hint("start it with `bitlake worker`, or remove it from --workers and [cluster]")
        })?;
        if !reply.status().is_success() {
            return Err(wrong(ErrorKind::Unreachable, "a worker does not answer")
                .with("status", reply.status())
                .hint("wait until it is ready, or name the address that `bitlake worker` prints"));
        }
        let no_worker = || {
            wrong(ErrorKind::Configuration, "not a worker of bitlake")
                .hint("name the address that `bitlake worker` prints")
        };
        let text = reply
            .bytes()
            .await
            .map_err(|error| no_worker().source(error.without_url()))?;
        serde_json::from_slice(&text).map_err(|error| no_worker().source(error))
    }
}

/// Refuse a worker of another build.
///
/// # Errors
/// [`ErrorKind::Configuration`], which names both builds.
pub(super) fn check_build(url: &Url, status: &WorkerStatus) -> Result<()> {
    if status.build == BUILD {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        "a worker runs another build of bitlake",
    )
    .with("worker", url)
    .with("its build", &status.build)
    .with("this build", BUILD)
    .hint("run the same program on every machine"))
}
