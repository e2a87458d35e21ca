//! A repository as discovery finds it: its own record, and the fields that decide how its lists are read.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::entity::{text, time, uuid};
use crate::bitbucket::Client;
use crate::config::RepositoryIdentity;
use crate::error::{Error, ErrorKind, Result};
use crate::json::JsonValue;
use crate::redaction::{ReceivedRecord, Redactor};

/// A repository that exists and that the configuration selects.
#[derive(Debug, Clone)]
pub struct DiscoveredRepository {
    /// Its identity.
    pub found: RepositoryIdentity,
    /// The connection's name.
    pub connection: String,
    /// The workspace's slug.
    pub workspace: String,
    /// With braces; the slug if the record has no uuid of the workspace.
    pub workspace_uuid: String,
    /// Whether it has an issue tracker; `true` when the record does not say.
    pub has_issues: bool,
    /// Changes with every push, and with most events of pull requests.
    pub updated_on: Option<DateTime<Utc>>,
    /// The creation of the repository.
    pub created_on: Option<DateTime<Utc>>,
    /// Bitbucket's clock when it sent the record.
    pub(super) date: Option<DateTime<Utc>>,
    /// The record as received.
    pub(super) record: Box<RawValue>,
}

impl DiscoveredRepository {
    /// Read a record of the API.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] for a record without uuid or full name, which Bitbucket always sends.
    pub(super) fn read(
        connection_id: i64,
        client: &Client,
        record: Box<RawValue>,
        date: Option<DateTime<Utc>>,
    ) -> Result<Self> {
        let received = ReceivedRecord::read(record.get());
        let value = received.value();
        let connection = client.connection().to_owned();
        let (Some(uuid), Some(full_name)) = (uuid(value), text(value, "/full_name")) else {
            return Err(Error::new(
                ErrorKind::Unreachable,
                "a repository has no uuid or no full_name",
            )
            .with("connection", connection)
            .hint("check endpoint and proxy: Bitbucket always sends both"));
        };
        let redactor = Redactor::new(client.masker().clone())?;
        let (redacted, _) = received.redact(&redactor);
        let value = redacted.value();
        let workspace = full_name.split('/').next().unwrap_or_default().to_owned();
        Ok(Self {
            workspace_uuid: text(value, "/workspace/uuid").unwrap_or_else(|| workspace.clone()),
            // Few records have the field since Bitbucket removed the issue tracker. Reading the list costs one request.
            has_issues: value
                .get("has_issues")
                .and_then(JsonValue::as_bool)
                .unwrap_or(true),
            updated_on: time(value, "/updated_on"),
            created_on: time(value, "/created_on"),
            found: RepositoryIdentity {
                connection_id,
                full_name,
                uuid,
                bitbucket_project: text(value, "/project/key"),
            },
            connection,
            workspace,
            record,
            date,
        })
    }
}
