//! The table of all endpoints that bitlake reads, with their deviations from the rules of the API.
//!
//! | deviation | field |
//! |---|---|
//! | a `pagelen` above the maximum is refused with 400 instead of clamped | [`Endpoint::pagelen`] |
//! | pipelines, steps, deployments and environments return a `next` without the parameters, or none | [`Paging::Numbered`] |
//! | commits and activity return opaque page tokens and refuse `page=1` | [`Paging::Linked`] never sends `page` |
//! | `fields` without the paging keys removes `next`: the list ends after one page without an error | [`Endpoint::fields`] is additive, or contains `next,page,pagelen,size` |
//! | `q` is accepted and ignored | the collector sends none and filters by itself |
//! | `sort` with several states answers 500 for large repositories, an unknown sort 400 | [`Endpoint::sort`] is optional |
//! | the lists of the pipelines service require a trailing slash | [`Endpoint::path`] |
//! | an unavailable list is 404, 403 or 410 | [`Endpoint::unavailable`] |

use reqwest::StatusCode;

use crate::config::EntityGroup;

/// How the pages of a list are requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Follow `next` unchanged. The first request has no `page`, because endpoints with opaque page tokens refuse
    /// `page=1`.
    Linked,
    /// Request `page=1,2,3…` and repeat every parameter, because the endpoint's `next` loses them.
    Numbered,
}

/// An endpoint of the API.
#[derive(Debug)]
pub struct Endpoint {
    /// The source table that the endpoint fills. Errors and request counts use it as the name of the endpoint.
    pub name: &'static str,
    /// Relative to the base of the API. `{workspace}`, `{repository}` and `{parent}` are whole segments.
    pub path: &'static str,
    /// The maximum page size.
    pub pagelen: u16,
    /// How the pages are requested.
    pub paging: Paging,
    /// Parameters of every request.
    pub params: &'static [(&'static str, &'static str)],
    /// The preferred order; omitted when the server refuses it (400) or fails on it (500).
    pub sort: Option<&'static str>,
    /// The preferred fields; omitted when the server refuses them.
    pub fields: Option<&'static str>,
    /// The statuses of a first page that mean that the list is unavailable, with the reason. Any other status is an
    /// error.
    pub unavailable: &'static [(StatusCode, &'static str)],
    /// The scope that a token needs.
    pub scope: &'static str,
    /// The group of `entities` that requests the endpoint; `None` for endpoints that every run requests.
    pub group: Option<EntityGroup>,
}

const REPOSITORY_SCOPE: &str = "read:repository:bitbucket";
const PULL_REQUEST_SCOPE: &str = "read:pullrequest:bitbucket";
const PIPELINE_SCOPE: &str = "read:pipeline:bitbucket";
const ISSUE_SCOPE: &str = "read:issue:bitbucket";
const WORKSPACE_SCOPE: &str = "read:workspace:bitbucket";

/// Reasons are published in `config.completeness`.
type Unavailability = (StatusCode, &'static str);
const HIDDEN: Unavailability = (StatusCode::FORBIDDEN, "the credentials may not read it");
const REMOVED: Unavailability = (StatusCode::GONE, "bitbucket has removed it");

const fn missing(reason: &'static str) -> Unavailability {
    (StatusCode::NOT_FOUND, reason)
}

/// The defaults of an endpoint: a list of the code group.
const DEFAULTS: Endpoint = Endpoint {
    name: "",
    path: "",
    pagelen: 100,
    paging: Paging::Linked,
    params: &[],
    sort: None,
    fields: None,
    unavailable: &[HIDDEN, missing("not there"), REMOVED],
    scope: REPOSITORY_SCOPE,
    group: Some(EntityGroup::Code),
};

const PULL_REQUEST_DEFAULTS: Endpoint = Endpoint {
    scope: PULL_REQUEST_SCOPE,
    group: Some(EntityGroup::Review),
    ..DEFAULTS
};

const PIPELINE_DEFAULTS: Endpoint = Endpoint {
    paging: Paging::Numbered,
    unavailable: &[HIDDEN, missing("pipelines not enabled"), REMOVED],
    scope: PIPELINE_SCOPE,
    group: Some(EntityGroup::Cicd),
    ..DEFAULTS
};

const ISSUE_DEFAULTS: Endpoint = Endpoint {
    scope: ISSUE_SCOPE,
    group: Some(EntityGroup::Issues),
    ..DEFAULTS
};

/// The workspaces of the credentials. The older `/workspaces` was removed in April 2026.
pub static WORKSPACES: Endpoint = Endpoint {
    name: "workspaces",
    path: "user/workspaces",
    unavailable: &[],
    scope: WORKSPACE_SCOPE,
    group: None,
    ..DEFAULTS
};

/// The repositories of a workspace. `created_on` never changes, so repositories keep their pages while the list is read.
pub static REPOSITORIES: Endpoint = Endpoint {
    name: "repositories",
    path: "repositories/{workspace}",
    sort: Some("created_on"),
    unavailable: &[],
    group: None,
    ..DEFAULTS
};

/// One repository.
pub static REPOSITORY: Endpoint = Endpoint {
    name: "repositories",
    path: "repositories/{workspace}/{repository}",
    group: None,
    ..DEFAULTS
};

/// The members of a workspace.
pub static WORKSPACE_MEMBERS: Endpoint = Endpoint {
    name: "workspace_members",
    path: "workspaces/{workspace}/members",
    scope: WORKSPACE_SCOPE,
    group: Some(EntityGroup::Accounts),
    ..DEFAULTS
};

/// The fields of a ref without the parts of its commit that other lists contain.
const REF_FIELDS: &str = "-values.target.repository,-values.target.rendered,-values.target.summary";

/// The branches and tags of a repository in one list.
pub static REFS: Endpoint = Endpoint {
    name: "branches",
    path: "repositories/{workspace}/{repository}/refs",
    fields: Some(REF_FIELDS),
    ..DEFAULTS
};

/// The branches of a repository.
pub static BRANCHES: Endpoint = Endpoint {
    name: "branches",
    path: "repositories/{workspace}/{repository}/refs/branches",
    fields: Some(REF_FIELDS),
    ..DEFAULTS
};

/// The tags of a repository.
pub static TAGS: Endpoint = Endpoint {
    name: "tags",
    path: "repositories/{workspace}/{repository}/refs/tags",
    fields: Some(REF_FIELDS),
    ..DEFAULTS
};

/// The commits of a repository in topological order, newest first. The endpoint has no filter, sort or size, and accepts
/// a range of commits.
pub static COMMITS: Endpoint = Endpoint {
    name: "commits",
    path: "repositories/{workspace}/{repository}/commits",
    fields: Some("-values.repository,-values.rendered,-values.summary"),
    unavailable: &[HIDDEN, missing("no commits"), REMOVED],
    ..DEFAULTS
};

/// The pull requests of a repository in all states. Without `fields` the list has no participants, reviewers and closing
/// time.
///
/// The order is newest first: a pull request that changes while the list is read moves to the first page and the others
/// move towards later pages, so rows repeat and none is lost; the next run reads the moved one. Large repositories answer
/// 500 to a sort over several states.
pub static PULL_REQUESTS: Endpoint = Endpoint {
    name: "pull_requests",
    path: "repositories/{workspace}/{repository}/pullrequests",
    pagelen: 50,
    params: &[
        ("state", "OPEN"),
        ("state", "MERGED"),
        ("state", "DECLINED"),
        ("state", "SUPERSEDED"),
    ],
    sort: Some("-updated_on"),
    fields: Some(
        "+values.participants,+values.reviewers,+values.closed_on,+values.merge_commit.date,+values.draft,\
         -values.summary,-values.rendered",
    ),
    ..PULL_REQUEST_DEFAULTS
};

/// The comments of a pull request.
pub static PULL_REQUEST_COMMENTS: Endpoint = Endpoint {
    name: "pull_request_comments",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/comments",
    ..PULL_REQUEST_DEFAULTS
};

/// The commits of a pull request.
pub static PULL_REQUEST_COMMITS: Endpoint = Endpoint {
    name: "pull_request_commits",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/commits",
    fields: Some("-values.repository,-values.rendered,-values.summary"),
    unavailable: &[HIDDEN, missing("the source repository is gone"), REMOVED],
    ..PULL_REQUEST_DEFAULTS
};

/// The activity of all pull requests of a repository, newest first. One list per repository needs about a tenth of the
/// requests of one list per pull request.
pub static REPOSITORY_ACTIVITY: Endpoint = Endpoint {
    name: "pull_request_activity",
    path: "repositories/{workspace}/{repository}/pullrequests/activity",
    pagelen: 50,
    ..PULL_REQUEST_DEFAULTS
};

/// The activity of a pull request.
pub static PULL_REQUEST_ACTIVITY: Endpoint = Endpoint {
    name: "pull_request_activity",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/activity",
    pagelen: 50,
    ..PULL_REQUEST_DEFAULTS
};

/// The issues of a repository, newest first.
pub static ISSUES: Endpoint = Endpoint {
    name: "issues",
    path: "repositories/{workspace}/{repository}/issues",
    sort: Some("-updated_on"),
    unavailable: &[
        HIDDEN,
        missing("issue tracker disabled"),
        (StatusCode::GONE, "issue tracker removed"),
    ],
    ..ISSUE_DEFAULTS
};

/// The comments of an issue.
pub static ISSUE_COMMENTS: Endpoint = Endpoint {
    name: "issue_comments",
    path: "repositories/{workspace}/{repository}/issues/{parent}/comments",
    ..ISSUE_DEFAULTS
};

/// The changes of an issue.
pub static ISSUE_CHANGES: Endpoint = Endpoint {
    name: "issue_changes",
    path: "repositories/{workspace}/{repository}/issues/{parent}/changes",
    ..ISSUE_DEFAULTS
};

/// The pipelines of a repository, oldest first without `sort`. The endpoint ignores `q` and time filters.
pub static PIPELINES: Endpoint = Endpoint {
    name: "pipelines",
    path: "repositories/{workspace}/{repository}/pipelines/",
    sort: Some("-created_on"),
    ..PIPELINE_DEFAULTS
};

/// One pipeline.
pub static PIPELINE: Endpoint = Endpoint {
    name: "pipelines",
    path: "repositories/{workspace}/{repository}/pipelines/{parent}",
    paging: Paging::Linked,
    ..PIPELINE_DEFAULTS
};

/// The steps of a pipeline. The lists of commands are most of a step's size, and the image can contain the password of a
/// registry: only the name of the image is requested.
pub static PIPELINE_STEPS: Endpoint = Endpoint {
    name: "pipeline_steps",
    path: "repositories/{workspace}/{repository}/pipelines/{parent}/steps/",
    fields: Some(
        "values.type,values.uuid,values.name,values.pipeline.uuid,values.state,values.trigger,values.started_on,\
         values.completed_on,values.duration_in_seconds,values.build_seconds_used,values.run_number,values.maxTime,\
         values.image.name,next,page,pagelen,size",
    ),
    unavailable: &[HIDDEN, missing("steps expired or never made"), REMOVED],
    ..PIPELINE_DEFAULTS
};

/// The deployments of a repository. Without `fields` a deployment contains only the UUID of its environment.
pub static DEPLOYMENTS: Endpoint = Endpoint {
    name: "deployments",
    path: "repositories/{workspace}/{repository}/deployments/",
    sort: Some("-state.completed_on"),
    fields: Some(
        "+values.environment.name,+values.environment.slug,+values.environment.environment_type.name",
    ),
    ..PIPELINE_DEFAULTS
};

/// The environments of a repository.
pub static ENVIRONMENTS: Endpoint = Endpoint {
    name: "environments",
    path: "repositories/{workspace}/{repository}/environments/",
    ..PIPELINE_DEFAULTS
};
