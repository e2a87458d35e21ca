//! One request to the API and its answer.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use reqwest::Url;

use super::endpoints::Endpoint;
use super::refusal::Refusal;

/// The values of the placeholders in an endpoint's path.
#[derive(Debug, Clone, Default)]
pub struct ApiTarget {
    /// The slug of the workspace.
    pub workspace: String,
    /// The slug of the repository; empty for lists of a workspace.
    pub repository: String,
    /// The id of a pull request or an issue, or the UUID of a pipeline.
    pub parent: String,
}

impl ApiTarget {
    /// Create the target of a workspace's list.
    pub fn workspace(workspace: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            ..Self::default()
        }
    }

    /// Create the target of a repository's list.
    pub fn repository(workspace: impl Into<String>, slug: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            repository: slug.into(),
            ..Self::default()
        }
    }

    /// Create the target of a repository's list from `workspace/slug`.
    #[must_use]
    pub fn full_name(full_name: &str) -> Self {
        let (workspace, slug) = full_name.split_once('/').unwrap_or((full_name, ""));
        Self::repository(workspace, slug)
    }

    /// Return the target of a list below a pull request, an issue or a pipeline.
    #[must_use]
    pub fn parent(&self, parent: impl ToString) -> Self {
        Self {
            parent: parent.to_string(),
            ..self.clone()
        }
    }

    /// Return `workspace/slug`, or the workspace alone.
    pub(super) fn name(&self) -> String {
        match self.repository.as_str() {
            "" => self.workspace.clone(),
            slug => format!("{}/{slug}", self.workspace),
        }
    }
}

/// A request, with the parts that its errors name.
pub(crate) struct EndpointRequest<'a> {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) target: &'a ApiTarget,
    pub(crate) url: Url,
    /// Incremented by every attempt.
    pub(crate) attempts: &'a AtomicU64,
    pub(crate) fallback: Fallback,
    /// Retries before the fallback is used.
    pub(crate) retries_before_fallback: usize,
    /// Parameters that do not fit into the URL. A request with a form is a POST.
    pub(crate) form: &'a [(&'static str, String)],
}

/// The request that the caller can send instead when the server is overloaded. With a fallback, the original request is
/// not retried for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    None,
    /// The same list with a smaller page.
    SmallerPage,
    /// The same list without `sort`. It costs incremental reading, and is therefore the fallback for a 500 only, which a
    /// sort over several states causes on every attempt.
    Unsorted,
}

/// The final result of a request.
pub(crate) enum ApiAnswer<T> {
    Value {
        value: T,
        /// The `Date` header of the response.
        date: Option<DateTime<Utc>>,
    },
    Refused {
        refusal: Refusal,
        /// The number of the identity whose request was refused.
        identity: usize,
    },
}
