//! A Bitbucket Cloud stand-in on loopback, so that the demo needs no account and every trap of the API can be met in a test.
//!
//! It is an **independent witness**: caps, paging styles, honoured and ignored parameters and error bodies are written
//! down here a second time, from the API's behaviour, and nothing is shared with the client. A wrong cap in the client
//! is therefore refused here, as it would be in production, instead of passing because both sides read one constant.
//!
//! ```text
//!            faults ── answer instead, delay, cut ──────────────────────────┐
//!               │                                                           ▼
//! request ─▶ routes ─▶ auth ─▶ endpoint ─▶ query (q, sort) ─▶ page ─▶ fields ─▶ reply
//!               │                 ▲
//!             counts          workspace ◀── folder or embedded demo
//! ```
//!
//! One folder per workspace, one below it per repository, one file per entity with one API record a line, in the form of
//! the detail endpoint; what Bitbucket hides in its lists is hidden here by the server. A `faults.json` beside the
//! workspaces makes single requests fail (see [`Fault`]), an `absent.json` in a repository switches whole features off.

mod auth;
mod bbql;
mod commits;
mod core;
mod error;
mod errors;
mod estate;
mod faults;
mod fields;
mod git;
mod huge;
mod meter;
mod page;
mod pipelines;
mod pull_requests;
mod query;
mod routes;
mod server;
mod workspace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use auth::Credentials;
pub use error::SandboxError;
pub use estate::{Day, Estate, Sizes};
pub use faults::{Cut, Fault, Random};

use error::Result;
use estate::Served;
use server::Shared;
use workspace::{Folder, World};

static DEMO: include_dir::Dir<'static> =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/fixtures/demo");

/// Above any run's need: the demo must not wait for the next hour's budget.
const DEMO_RATE_LIMIT: u64 = 1_000_000;

/// A running server. It stops when dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    source: Folder,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// What to serve, to whom, and what should go wrong.
#[derive(Default)]
pub struct Builder {
    source: Option<Folder>,
    credentials: Vec<Credentials>,
    scopes: Option<Vec<String>>,
    faults: Vec<Fault>,
    rate_limit: Option<u64>,
    estate: Option<Estate>,
    date: Option<DateTime<Utc>>,
    git: Option<PathBuf>,
}

impl Builder {
    /// Serves the workspaces below `path`: `<path>/<workspace>/<repository>/repository.json` and so on. A path that is
    /// itself one workspace's folder is served as that workspace.
    #[must_use]
    pub fn workspace_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(Folder::Disk(path.into()));
        self
    }

    /// Serves the demo workspace that is compiled into the binary, without a request budget worth mentioning.
    #[must_use]
    pub fn demo(mut self) -> Self {
        self.source = Some(Folder::Embedded(&DEMO));
        self.rate_limit.get_or_insert(DEMO_RATE_LIMIT);
        self
    }

    /// Serves an estate whose records are made as they are asked for; the server's clock is the estate's.
    #[must_use]
    pub fn estate(mut self, estate: Estate) -> Self {
        self.date = Some(estate.now);
        self.estate = Some(estate);
        self
    }

    /// Accepts these credentials and no others; may be called again to accept several. A request without any is then
    /// anonymous and sees public repositories only. Never called: everybody is let in.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// What the accepted credentials may read, in new (`read:pullrequest:bitbucket`) or old (`pullrequest`) spelling.
    /// Never called: everything.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Faults that come before those of the folder's `faults.json`.
    #[must_use]
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults.extend(faults);
        self
    }

    /// Sends `X-RateLimit-Limit` and its companions with every answer. It is announced, not enforced.
    #[must_use]
    pub fn rate_limit_header(mut self, requests_per_hour: u64) -> Self {
        self.rate_limit = Some(requests_per_hour);
        self
    }

    /// Answers with this `Date` instead of the real one, so that watermarks taken from it are known in advance.
    #[must_use]
    pub fn date(mut self, date: DateTime<Utc>) -> Self {
        self.date = Some(date);
        self
    }

    /// Serves `<path>/<workspace>/<repository>.git` by git, under the workspace's address without `2.0/repositories`;
    /// needs the git program.
    #[must_use]
    pub fn git_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.git = Some(path.into());
        self
    }

    /// Loads the records and listens on `127.0.0.1:port`; port 0 lets the system choose a free one.
    pub async fn start(self, port: u16) -> Result<Sandbox> {
        let source = self.source.unwrap_or(Folder::Embedded(&DEMO));
        let world = match &self.estate {
            Some(_) => World::empty(),
            None => World::load(&source)?,
        };
        let unbound = |source| SandboxError::Listen { port, source };
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let mut faults = self.faults;
        faults.extend(world.faults.iter().cloned());
        let mut shared = Shared::new(
            format!("http://{address}"),
            world,
            auth::Auth::new(self.credentials, self.scopes),
            faults,
            self.rate_limit,
            self.date,
        );
        shared.estate = self.estate.map(Served::new);
        shared.git = self.git;
        let shared = Arc::new(shared);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::serve(listener, Arc::clone(&shared), stopped));
        Ok(Sandbox {
            shared,
            source,
            stop: Some(stop),
            task: Some(task),
        })
    }
}

impl Sandbox {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The API's root, as a connection's `endpoint` wants it: `http://127.0.0.1:PORT/2.0/`.
    pub fn endpoint(&self) -> String {
        self.shared.endpoint()
    }

    /// Where OAuth consumers trade key and secret for an access token.
    pub fn token_url(&self) -> String {
        format!("{}/site/oauth2/access_token", self.shared.origin)
    }

    /// Requests answered so far by method and route, refused ones included:
    /// `GET /repositories/{workspace}/{repo_slug}/pullrequests` → 3.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.shared.counts()
    }

    /// Path and query of every request, in the order of arrival, as sent.
    pub fn request_log(&self) -> Vec<String> {
        self.shared.log()
    }

    /// Forgets counts and log, so that a second run can be measured alone.
    pub fn reset_requests(&self) {
        self.shared.reset();
    }

    /// Lets a day pass in the estate; the time it is then. `None` without an estate.
    pub fn live(&self, day: &Day) -> Option<DateTime<Utc>> {
        let now = self.shared.estate.as_ref()?.live(day);
        self.shared.set_date(now);
        Some(now)
    }

    /// The lists of one repository of the estate, by its number.
    pub fn sizes(&self, number: usize) -> Option<Sizes> {
        Some(self.shared.estate.as_ref()?.sizes(number))
    }

    /// From now on answers 429 to what is above this in any hour, for each identity; what is refused counts as well.
    pub fn enforce(&self, requests_per_hour: u64) {
        self.shared.meter.limit(requests_per_hour);
    }

    /// Requests that were refused because the hour's were used up.
    pub fn refused(&self) -> u64 {
        self.shared.meter.refused()
    }

    /// Adds a fault behind those that are still live.
    pub fn inject(&self, fault: Fault) {
        self.shared.inject(fault);
    }

    /// Takes away every fault, those of `faults.json` included.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// Makes every OAuth token that was handed out so far expire now.
    pub fn expire_tokens(&self) {
        self.shared.auth.expire_tokens();
    }

    /// Answers with this `Date` from now on.
    pub fn set_date(&self, date: DateTime<Utc>) {
        self.shared.set_date(date);
    }

    /// Reads the folder again: what a run after a change in the workspace would see. Counts and faults stay.
    pub fn reload(&self) -> Result<()> {
        self.shared.replace(World::load(&self.source)?);
        Ok(())
    }

    /// Ends open connections and frees the port.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(mut task) = self.task.take() {
            // A delayed answer must not hold a test up.
            if tokio::time::timeout(Duration::from_millis(500), &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
