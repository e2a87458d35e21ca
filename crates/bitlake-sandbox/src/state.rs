//! The state that all requests share. Everything mutable is here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::auth::AccessControl;
use crate::errors::SandboxReply;
use crate::lock::lock;
use crate::workspace::Fixtures;

/// Query parameters or form fields, decoded, in order.
pub(crate) type Parameters = Vec<(String, String)>;

/// The state that all requests share.
pub(crate) struct ServerState {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    pub access: AccessControl,
    fixtures: RwLock<Arc<Fixtures>>,
    counts: Mutex<BTreeMap<String, u64>>,
    log: Mutex<Vec<String>>,
    /// The forms of `POST …/commits`, so that the `next` of their replies can be a plain link.
    pub forms: Mutex<HashMap<String, Parameters>>,
    rate_limit: Option<u64>,
    date: Mutex<Option<DateTime<Utc>>>,
}

impl ServerState {
    pub(crate) fn new(origin: String, access: AccessControl, fixtures: Fixtures) -> Self {
        Self {
            origin,
            access,
            fixtures: RwLock::new(Arc::new(fixtures)),
            counts: Mutex::default(),
            log: Mutex::default(),
            forms: Mutex::default(),
            rate_limit: None,
            date: Mutex::default(),
        }
    }

    /// Announce `rate_limit` and replace the clock by `date`, where they are given.
    pub(crate) fn with_headers(
        mut self,
        rate_limit: Option<u64>,
        date: Option<DateTime<Utc>>,
    ) -> Self {
        self.rate_limit = rate_limit;
        self.date = Mutex::new(date);
        self
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}/2.0/", self.origin)
    }

    /// Count a request under `name`, and log its path and query as sent.
    pub(crate) fn record(&self, name: String, sent: &str) {
        lock(&self.log).push(sent.to_owned());
        *lock(&self.counts).entry(name).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    pub(crate) fn reset(&self) {
        lock(&self.counts).clear();
        lock(&self.log).clear();
    }

    pub(crate) fn set_date(&self, date: DateTime<Utc>) {
        *lock(&self.date) = Some(date);
    }

    pub(crate) fn replace_fixtures(&self, fixtures: Fixtures) {
        let mut served = self
            .fixtures
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *served = Arc::new(fixtures);
    }

    pub(crate) fn fixtures(&self) -> Arc<Fixtures> {
        Arc::clone(&self.fixtures.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Set the headers that every reply has: rate limit and date.
    pub(crate) fn set_common_headers(&self, reply: &mut SandboxReply) {
        if let Some(limit) = self.rate_limit {
            reply.set_header("x-ratelimit-limit", &limit.to_string());
            reply.set_header("x-ratelimit-resource", "api-repositories");
            reply.set_header("x-ratelimit-nearlimit", "false");
        }
        #[allow(clippy::disallowed_methods, reason = "a server has a real clock")]
        let date = lock(&self.date).unwrap_or_else(Utc::now);
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        reply.set_header("date", &date);
    }
}
