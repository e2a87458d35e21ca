//! A question and its answer: what one request is about, and what came back in the end.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use reqwest::Url;

use super::endpoints::Endpoint;
use super::reply::Refusal;

/// Whose list: the segments that an endpoint's path is filled with.
#[derive(Debug, Clone, Default)]
pub struct ApiTarget {
    pub workspace: String,
    /// The slug; empty for lists of a workspace.
    pub repository: String,
    /// The pull request's or issue's id, the pipeline's uuid.
    pub parent: String,
}

impl ApiTarget {
    pub fn workspace(workspace: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            ..Self::default()
        }
    }

    pub fn repository(workspace: impl Into<String>, slug: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            repository: slug.into(),
            ..Self::default()
        }
    }

    /// From "workspace/slug".
    pub fn full_name(full_name: &str) -> Self {
        let (workspace, slug) = full_name.split_once('/').unwrap_or((full_name, ""));
        Self::repository(workspace, slug)
    }

    #[must_use]
    pub fn parent(&self, parent: impl ToString) -> Self {
        Self {
            parent: parent.to_string(),
            ..self.clone()
        }
    }

    pub(super) fn name(&self) -> String {
        match self.repository.as_str() {
            "" => self.workspace.clone(),
            slug => format!("{}/{slug}", self.workspace),
        }
    }
}

/// One request, with what its errors must name.
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) target: &'a ApiTarget,
    pub(crate) url: Url,
    /// Counts every attempt.
    pub(crate) requests: &'a AtomicU64,
    pub(crate) remedy: Remedy,
    /// Repetitions before the remedy.
    pub(crate) patience: usize,
    /// What does not fit into the address; with any of it, the request is a POST.
    pub(crate) form: &'a [(&'static str, String)],
}

/// What the caller can ask instead when the server cannot do what was asked, so that it is not repeated for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    None,
    /// A smaller page.
    Smaller,
    /// The list without its sort: dear, so only for a 500, which comes again for certain.
    Unsorted,
}

/// What came back in the end.
pub(crate) enum Answer<T> {
    Value {
        value: T,
        date: Option<DateTime<Utc>>,
    },
    Refused {
        refusal: Refusal,
        identity: usize,
    },
}
