//! One request with the context that its handler needs.

use serde_json::Value;
use url::Url;

use crate::auth::{Caller, Scope};
use crate::errors::{self, SandboxReply, Service};
use crate::fields;
use crate::state::{Parameters, ServerState};
use crate::workspace::{Fixtures, RepositoryFixture, WorkspaceFixture};

/// Answers the requests of one route.
pub(crate) type Handler = fn(&Call) -> Result<Value, SandboxReply>;

/// A route of the API.
pub(crate) struct Route {
    pub method: &'static str,
    pub template: &'static str,
    pub service: Service,
    /// The names under which `disabled_features.json` may disable the route, the narrowest first.
    pub features: &'static [&'static str],
    pub scope: Option<Scope>,
    pub handler: Handler,
}

/// One request with the context that its handler needs.
pub(crate) struct Call<'a> {
    pub state: &'a ServerState,
    pub fixtures: &'a Fixtures,
    pub route: &'a Route,
    pub caller: Caller,
    /// The values of the template's placeholders, decoded.
    pub parameters: &'a [String],
    pub url: &'a Url,
    /// The parameters of the URL, then those of a posted form.
    pub query: Parameters,
    pub form: &'a [(String, String)],
    /// By how many records later pages begin early.
    pub shift: usize,
}

impl<'a> Call<'a> {
    pub(crate) fn answer(&self) -> Result<Value, SandboxReply> {
        (self.route.handler)(self)
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn parameter(&self, at: usize) -> &'a str {
        self.parameters.get(at).map_or("", String::as_str)
    }

    /// Return the workspace that the path names.
    pub(crate) fn workspace(&self) -> Result<&'a WorkspaceFixture, SandboxReply> {
        let id = self.parameter(0);
        self.fixtures
            .workspace(id)
            .ok_or_else(|| errors::no_workspace(id))
    }

    /// Return the repository that the path names, if the caller may see it and the route's feature is enabled.
    pub(crate) fn repository(&self) -> Result<&'a RepositoryFixture, SandboxReply> {
        let found = self
            .fixtures
            .repository(self.parameter(0), self.parameter(1))
            .filter(|repository| self.sees(repository))
            .ok_or_else(errors::no_repository)?;
        let disabled = self
            .route
            .features
            .iter()
            .find_map(|feature| found.disabled.get(*feature));
        match disabled {
            None => Ok(found),
            Some(disabled) => Err(match (&disabled.body, disabled.status) {
                (Some(Value::String(text)), status) => SandboxReply::text(status, text),
                (Some(body), status) => SandboxReply::json(status, body),
                (None, 403) => self.lacks_scope(),
                (None, 410) => errors::gone(errors::ISSUES_REMOVED),
                (None, 404) if self.route.features.contains(&"issues") => {
                    errors::no_issue_tracker()
                }
                (None, status) => errors::standard(status, self.route.service),
            }),
        }
    }

    pub(crate) fn sees(&self, repository: &RepositoryFixture) -> bool {
        self.caller != Caller::Anonymous || !repository.is_private()
    }

    fn lacks_scope(&self) -> SandboxReply {
        let required = self.route.scope.as_ref().map_or("", |scope| scope.new);
        errors::lacks_scopes(&[required], &["read:user:bitbucket".to_owned()])
    }

    /// Return one record in full, as `fields` selects.
    pub(crate) fn record(&self, record: &Value) -> Value {
        fields::apply(record, self.first("fields"), &[], &[])
    }

    pub(crate) fn not_found(&self) -> SandboxReply {
        errors::not_found(self.route.service)
    }
}
