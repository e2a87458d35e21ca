//! The table of all routes: template, service, feature, scope, handler.
//!
//! A trailing slash is part of a template: the lists of the pipelines service exist only with it, every other path only
//! without. Requests are counted by template.

use axum::http::Method;

use crate::auth::Scope;
use crate::call::{Handler, Route};
use crate::errors::Service;
use crate::{commits, core, pipelines, pull_requests};

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
        handler: answer,
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
