//! A stand-in for Bitbucket Cloud on loopback, so that the demo needs no account and tests meet every trap of the API.
//!
//! It is an **independent witness**: caps, paging styles, honoured and ignored parameters and error bodies are stated
//! here a second time, from the API's behaviour, and nothing is shared with bitlake's client. A wrong cap in the client is
//! therefore refused here, as it would be in production, instead of passing because both sides read one constant.
//!
//! ```text
//! request ─▶ routes ─▶ auth ─▶ endpoint ─▶ query (q, sort) ─▶ page ─▶ fields ─▶ reply
//!                                 ▲
//!                       workspace: fixtures of a folder, or the embedded demo
//! ```
//!
//! A fixture is a folder per workspace, in it a folder per repository, and in that a file per entity with one API record
//! a line, in the form of the detail endpoint. The server hides what Bitbucket hides in its lists. A
//! `disabled_features.json` in a repository switches whole features off.
//!
//! The feature `testing` adds faults (from code, or from a `faults.json` beside the workspaces), an enforced request
//! budget, repositories served by git, and synthetic workspaces of any size.

mod api;
mod auth;
mod bbql;
mod call;
mod commits;
mod core;
mod error;
mod errors;
mod fields;
mod lock;
mod page;
mod pipelines;
mod pull_requests;
mod query;
mod routes;
mod server;
mod state;
#[cfg(feature = "testing")]
mod testing;
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

pub use auth::AcceptedCredentials;
pub use error::SandboxError;
#[cfg(feature = "testing")]
pub use testing::{Day, Fault, Interruption, ListSizes, RandomFaults, SyntheticWorkspace, Variety};

use auth::AccessControl;
use server::Server;
use state::ServerState;
use workspace::{FixtureFolder, Fixtures};

static DEMO: include_dir::Dir<'static> =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/fixtures/demo");

/// More requests an hour than any run sends, so that the demo never waits.
const DEMO_RATE_LIMIT: u64 = 1_000_000;

/// How long [`Sandbox::stop`] waits for open requests; a delayed reply must not block a test.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A running server. It stops when dropped.
pub struct Sandbox {
    server: Arc<Server>,
    source: FixtureFolder,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

/// The settings of a [`Sandbox`].
#[derive(Default)]
pub struct Builder {
    source: Option<FixtureFolder>,
    credentials: Vec<AcceptedCredentials>,
    scopes: Option<Vec<String>>,
    rate_limit: Option<u64>,
    date: Option<DateTime<Utc>>,
    #[cfg(feature = "testing")]
    testing: testing::TestingSettings,
}

impl Builder {
    /// Serve the workspaces below `path`: `<path>/<workspace>/<repository>/repository.json` and so on. A path that is
    /// itself one workspace's folder is served as that workspace.
    #[must_use]
    pub fn workspace_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Some(FixtureFolder::Disk(path.into()));
        self
    }

    /// Serve the demo workspace that is compiled into the crate, with a request budget that no run exhausts.
    #[must_use]
    pub fn demo(mut self) -> Self {
        self.source = Some(FixtureFolder::Embedded(&DEMO));
        self.rate_limit.get_or_insert(DEMO_RATE_LIMIT);
        self
    }

    /// Accept these credentials; call it again to accept several. A request without credentials is then anonymous and sees
    /// public repositories only. Default: every caller sees everything.
    #[must_use]
    pub fn credentials(mut self, credentials: AcceptedCredentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// Set the scopes of the accepted credentials, in new (`read:pullrequest:bitbucket`) or old (`pullrequest`) spelling.
    /// Default: all scopes.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Send `X-RateLimit-Limit` and its companions with every reply. The limit is announced, not enforced.
    #[must_use]
    pub fn rate_limit_header(mut self, requests_per_hour: u64) -> Self {
        self.rate_limit = Some(requests_per_hour);
        self
    }

    /// Send this `Date` instead of the real one, so that watermarks derived from it are known in advance.
    #[must_use]
    pub fn date(mut self, date: DateTime<Utc>) -> Self {
        self.date = Some(date);
        self
    }

    /// Load the records and listen on `127.0.0.1:port`; port 0 lets the system choose a free port.
    ///
    /// # Errors
    /// The port cannot be bound, or a fixture cannot be read.
    pub async fn start(self, port: u16) -> Result<Sandbox, SandboxError> {
        let source = self.source.unwrap_or(FixtureFolder::Embedded(&DEMO));
        #[cfg(feature = "testing")]
        let fixtures = match &self.testing.synthetic {
            Some(_) => Fixtures::default(),
            None => Fixtures::load(&source)?,
        };
        #[cfg(not(feature = "testing"))]
        let fixtures = Fixtures::load(&source)?;

        let unbound = |source| SandboxError::Listen { port, source };
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let access = AccessControl::new(self.credentials, self.scopes);
        let state = ServerState::new(format!("http://{address}"), access, fixtures)
            .with_headers(self.rate_limit, self.date);
        let server = Arc::new(Server {
            state,
            #[cfg(feature = "testing")]
            testing: testing::TestingState::new(
                self.testing,
                source.json("faults.json")?.unwrap_or_default(),
            ),
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::serve(listener, Arc::clone(&server), stopped));
        Ok(Sandbox {
            server,
            source,
            stop: Some(stop),
            task: Some(task),
        })
    }
}

impl Sandbox {
    /// Return the default settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Return the API's root, as a connection's `endpoint` expects it: `http://127.0.0.1:PORT/2.0/`.
    pub fn endpoint(&self) -> String {
        self.server.state.endpoint()
    }

    /// Return the address at which OAuth consumers exchange key and secret for an access token.
    pub fn token_url(&self) -> String {
        format!("{}/site/oauth2/access_token", self.server.state.origin)
    }

    /// Return the number of requests answered so far by method and route, including refused requests:
    /// `GET /repositories/{workspace}/{repo_slug}/pullrequests` → 3.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.server.state.counts()
    }

    /// Return path and query of every request as sent, in the order of arrival.
    pub fn request_log(&self) -> Vec<String> {
        self.server.state.log()
    }

    /// Clear counts and log, so that a second run can be measured alone.
    pub fn reset_requests(&self) {
        self.server.state.reset();
    }

    /// Expire every OAuth token issued so far.
    pub fn expire_tokens(&self) {
        self.server.state.access.expire_tokens();
    }

    /// Send this `Date` from now on.
    pub fn set_date(&self, date: DateTime<Utc>) {
        self.server.state.set_date(date);
    }

    /// Read the fixtures again: a later request sees what changed in the folder. Counts and faults are kept.
    ///
    /// # Errors
    /// A fixture cannot be read.
    pub fn reload(&self) -> Result<(), SandboxError> {
        self.server
            .state
            .replace_fixtures(Fixtures::load(&self.source)?);
        Ok(())
    }

    /// Close open connections and free the port.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err()
        {
            task.abort();
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
