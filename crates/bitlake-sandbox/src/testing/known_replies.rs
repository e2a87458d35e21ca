//! Replies that are sent again, so that a benchmark measures its clients and not the making of the records.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::http::Method;

use crate::api::ApiRequest;
use crate::errors::SandboxReply;
use crate::lock::lock;

/// The replies sent so far, by path and query; none where replies are made anew.
#[derive(Default)]
pub(crate) struct KnownReplies(Option<Mutex<HashMap<String, SandboxReply>>>);

impl KnownReplies {
    pub(crate) fn new(remember: bool) -> Self {
        Self(remember.then(Mutex::default))
    }

    pub(crate) fn get(&self, request: &ApiRequest) -> Option<SandboxReply> {
        lock(self.0.as_ref()?).get(&request.sent).cloned()
    }

    pub(crate) fn put(&self, request: &ApiRequest, reply: &SandboxReply) {
        let is_known = request.head.method == Method::GET && reply.status == 200;
        if let Some(replies) = self.0.as_ref().filter(|_| is_known) {
            lock(replies).insert(request.sent.clone(), reply.clone());
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(replies) = &self.0 {
            lock(replies).clear();
        }
    }
}
