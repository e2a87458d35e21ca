//! The table of all routes: template, service, feature, scope, handler.
//!
//! A trailing slash is part of a template: the lists of the pipelines service exist only with it, every other path only
//! without. Requests are counted by template.

use axum::http::Method;
use serde_json::Value;
use url::Url;

use crate::auth::{Caller, Scope};
use crate::errors::{self, SandboxReply, Service};
use crate::server::{Parameters, ServerState};
use crate::workspace::{Fixtures, RepositoryFixture, WorkspaceFixture};
use crate::{commits, core, fields, pipelines, pull_requests};

pub(crate) struct Route {
    pub method: &'static str,
    pub template: &'static str,
    pub service: Service,
    /// The names under which `disabled_features.json` may disable the route, the narrowest first.
    features: &'static [&'static str],
    pub scope: Option<Scope>,
    answer: fn(&Call) -> Result<Value, SandboxReply>,
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

macro_rules! repository {
    ($($rest:literal)?) => {
        concat!("/repositories/{workspace}/{repo_slug}", $($rest)?)
    };
}

const READ_USER: Option<Scope> = scope("read:user:bitbucket", "account");
const READ_WORKSPACE: Option<Scope> = scope("read:workspace:bitbucket", "account");
pub(crate) const READ_REPOSITORY: Option<Scope> = scope("read:repository:bitbucket", "repository");
const READ_PULL_REQUEST: Option<Scope> = scope("read:pullrequest:bitbucket", "pullrequest");
const READ_ISSUE: Option<Scope> = scope("read:issue:bitbucket", "issue");
const READ_PIPELINE: Option<Scope> = scope("read:pipeline:bitbucket", "pipeline");

const fn scope(new: &'static str, old: &'static str) -> Option<Scope> {
    Some(Scope { new, old })
}

type Handler = fn(&Call) -> Result<Value, SandboxReply>;

const fn get(
    template: &'static str,
    features: &'static [&'static str],
    scope: Option<Scope>,
    answer: Handler,
) -> Route {
    Route {
        method: "GET",
        template,
        service: Service::Core,
        features,
        scope,
        answer,
    }
}

const fn pipelines(
    template: &'static str,
    features: &'static [&'static str],
    answer: Handler,
) -> Route {
    Route {
        service: Service::Pipelines,
        ..get(template, features, READ_PIPELINE, answer)
    }
}

/// The routes; the first template that matches wins.
static ROUTES: &[Route] = &[
    get("/user", &[], READ_USER, core::user),
    get(
        "/user/workspaces",
        &[],
        READ_WORKSPACE,
        core::user_workspaces,
    ),
    get("/user/permissions/workspaces", &[], None, core::removed),
    get("/user/permissions/repositories", &[], None, core::removed),
    get("/workspaces", &[], None, core::removed),
    get("/workspaces/", &[], None, core::removed),
    get("/repositories", &[], None, core::removed),
    get("/repositories/", &[], None, core::removed),
    get(
        "/workspaces/{workspace}",
        &[],
        READ_WORKSPACE,
        core::workspace,
    ),
    get(
        "/workspaces/{workspace}/members",
        &[],
        READ_WORKSPACE,
        core::members,
    ),
    get(
        "/repositories/{workspace}",
        &[],
        READ_REPOSITORY,
        core::repositories,
    ),
    get(repository!(), &[], READ_REPOSITORY, core::repository),
    get(
        repository!("/refs"),
        &["branches", "tags"],
        READ_REPOSITORY,
        core::refs,
    ),
    get(
        repository!("/refs/branches"),
        &["branches"],
        READ_REPOSITORY,
        core::branches,
    ),
    get(
        repository!("/refs/tags"),
        &["tags"],
        READ_REPOSITORY,
        core::tags,
    ),
    get(
        repository!("/commits"),
        &["commits"],
        READ_REPOSITORY,
        commits::list,
    ),
    Route {
        method: "POST",
        ..get(
            repository!("/commits"),
            &["commits"],
            READ_REPOSITORY,
            commits::list,
        )
    },
    get(
        repository!("/commits/{revision}"),
        &["commits"],
        READ_REPOSITORY,
        commits::list,
    ),
    get(
        repository!("/commit/{commit}"),
        &["commits"],
        READ_REPOSITORY,
        commits::detail,
    ),
    get(
        repository!("/pullrequests"),
        &["pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::list,
    ),
    get(
        repository!("/pullrequests/activity"),
        &["pull_request_activity", "pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::all_activity,
    ),
    get(
        repository!("/pullrequests/{pull_request_id}"),
        &["pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::detail,
    ),
    get(
        repository!("/pullrequests/{pull_request_id}/comments"),
        &["pull_request_comments", "pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::comments,
    ),
    get(
        repository!("/pullrequests/{pull_request_id}/commits"),
        &["pull_request_commits", "pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::commits,
    ),
    get(
        repository!("/pullrequests/{pull_request_id}/activity"),
        &["pull_request_activity", "pull_requests"],
        READ_PULL_REQUEST,
        pull_requests::activity,
    ),
    get(
        repository!("/issues"),
        &["issues"],
        READ_ISSUE,
        core::issues,
    ),
    get(
        repository!("/issues/{issue_id}/comments"),
        &["issue_comments", "issues"],
        READ_ISSUE,
        core::issue_comments,
    ),
    get(
        repository!("/issues/{issue_id}/changes"),
        &["issue_changes", "issues"],
        READ_ISSUE,
        core::issue_changes,
    ),
    pipelines(repository!("/pipelines/"), &["pipelines"], pipelines::list),
    pipelines(
        repository!("/pipelines/{pipeline_uuid}"),
        &["pipelines"],
        pipelines::detail,
    ),
    pipelines(
        repository!("/pipelines/{pipeline_uuid}/steps/"),
        &["pipeline_steps", "pipelines"],
        pipelines::steps,
    ),
    pipelines(
        repository!("/deployments/"),
        &["deployments"],
        pipelines::deployments,
    ),
    pipelines(
        repository!("/deployments/{deployment_uuid}"),
        &["deployments"],
        pipelines::deployment,
    ),
    pipelines(
        repository!("/environments/"),
        &["environments"],
        pipelines::environments,
    ),
];

/// Find the route of a path as sent, with the decoded values of the template's placeholders.
pub(crate) fn find(method: &Method, path: &str) -> Option<(&'static Route, Vec<String>)> {
    let path = path.strip_prefix("/2.0")?;
    ROUTES
        .iter()
        .filter(|route| method == route.method)
        .find_map(|route| Some((route, fit(route.template, path)?)))
}

fn fit(template: &str, path: &str) -> Option<Vec<String>> {
    let mut parameters = Vec::new();
    let mut segments = path.split('/');
    for expected in template.split('/') {
        let segment = segments.next()?;
        if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            parameters.push(decode(segment)?);
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl<'a> Call<'a> {
    pub(crate) fn answer(&self) -> Result<Value, SandboxReply> {
        (self.route.answer)(self)
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
