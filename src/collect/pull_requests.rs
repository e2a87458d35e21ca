//! Pull requests of every state, changed since `since`, with reviewers, participants and closing time embedded.

use serde_json::Value;

use super::entity::{Entity, id, updated_on};
use super::report::EntityReport;
use super::repository::Site;
use super::walk::{self, Outcome, Stop};
use crate::bitbucket::endpoints;
use crate::error::Result;
use crate::schema::Parent;

static ENTITY: Entity = Entity {
    time: Some(updated_on),
    ..Entity::new("pull_requests", id)
};

/// What the lists of a pull request need to know of it.
pub(super) struct PullRequest {
    pub(super) id: i64,
    /// `None`: not said.
    comments: Option<i64>,
}

impl PullRequest {
    fn read(record: &Value) -> Option<Self> {
        Some(Self {
            id: record.get("id")?.as_i64()?,
            comments: record.get("comment_count").and_then(Value::as_i64),
        })
    }

    pub(super) fn has_comments(&self) -> bool {
        self.comments != Some(0)
    }

    pub(super) fn parent(&self) -> Parent {
        Parent::Id(self.id)
    }
}

/// `found` gets the pull requests that are kept, each once.
pub(super) async fn collect(
    site: &Site<'_>,
    found: &mut Vec<PullRequest>,
    report: &mut EntityReport,
) -> Result<Outcome> {
    let endpoint = &endpoints::PULL_REQUESTS;
    let outcome = walk::list(site, &ENTITY, endpoint, Stop::Never, report, |record| {
        found.extend(PullRequest::read(record));
    })
    .await;
    // Numbered pages shift while pull requests change, so one can come twice.
    found.sort_by_key(|pull_request| pull_request.id);
    found.dedup_by_key(|pull_request| pull_request.id);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_pull_request_that_says_zero_comments_is_not_asked_for_them() {
        let of = |record: Value| PullRequest::read(&record).unwrap().has_comments();
        assert!(!of(json!({"id": 1, "comment_count": 0})));
        assert!(of(json!({"id": 1, "comment_count": 2})));
        assert!(of(json!({"id": 1})));
    }
}
