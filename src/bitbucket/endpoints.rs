//! Every endpoint bitlake asks, in one table, because each of them breaks the API's own rules in its own way.
//!
//! | quirk | where it is said here |
//! |---|---|
//! | a `pagelen` above the cap is refused with 400, not clamped | [`Endpoint::pagelen`] |
//! | pipelines, steps, deployments and environments return a `next` that lost its parameters, or none | [`Paging::Counted`] |
//! | commits and activity hand out opaque tokens and refuse `page=1` | [`Paging::Next`] never sends `page` |
//! | `fields` without the paging keys removes `next`: one page, no error | additive lists, or `next,page,pagelen,size` in them |
//! | `q` is accepted and ignored | the collector sends none, and cuts by itself |
//! | `sort` with several states answers 500 on big repositories, an unknown sort 400 | [`Endpoint::sort`] can be dropped |
//! | the lists of the pipelines service want a trailing slash | the path ends in `/` |
//! | "not there" is 404, 403 or 410 | [`Endpoint::unavailable`] |

use crate::config::EntityGroup;

/// How a list is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Follow `next` verbatim. The first request sends no `page`: where the token is opaque, `page=1` is refused.
    Next,
    /// Count `page=1,2,3…` with every parameter repeated, because this `next` cannot be trusted.
    Counted,
}

#[derive(Debug)]
pub struct Endpoint {
    /// The source table it fills; also the name in errors and request counts.
    pub name: &'static str,
    /// Relative to the API's base; `{workspace}`, `{repository}` and `{parent}` are whole segments.
    pub path: &'static str,
    /// The largest page the server accepts.
    pub pagelen: u16,
    pub paging: Paging,
    /// Parameters of every request, whatever the walk.
    pub params: &'static [(&'static str, &'static str)],
    /// Asked for, and dropped when the server refuses it (400) or cannot do it (500).
    pub sort: Option<&'static str>,
    /// Asked for, and dropped when the server refuses it.
    pub fields: Option<&'static str>,
    /// What a refused first page means; a status that is not listed is an error.
    pub unavailable: &'static [(u16, &'static str)],
    /// The scope a token needs.
    pub scope: &'static str,
}

impl Endpoint {
    /// The group in `entities` that asks for it; `None` for what every run needs.
    pub fn group(&self) -> Option<EntityGroup> {
        match (self.name, self.scope) {
            ("workspaces" | "repositories", _) => None,
            (_, WORKSPACE_SCOPE) => Some(EntityGroup::Accounts),
            (_, PULL_REQUEST_SCOPE) => Some(EntityGroup::Review),
            (_, PIPELINE_SCOPE) => Some(EntityGroup::Cicd),
            (_, ISSUE_SCOPE) => Some(EntityGroup::Issues),
            _ => Some(EntityGroup::Code),
        }
    }
}

const REPOSITORY_SCOPE: &str = "read:repository:bitbucket";
const PULL_REQUEST_SCOPE: &str = "read:pullrequest:bitbucket";
const PIPELINE_SCOPE: &str = "read:pipeline:bitbucket";
const ISSUE_SCOPE: &str = "read:issue:bitbucket";
const WORKSPACE_SCOPE: &str = "read:workspace:bitbucket";

const HIDDEN: &str = "the credentials may not read it";
const REMOVED: &str = "bitbucket has removed it";

const PLAIN: Endpoint = Endpoint {
    name: "",
    path: "",
    pagelen: 100,
    paging: Paging::Next,
    params: &[],
    sort: None,
    fields: None,
    unavailable: &[(403, HIDDEN), (404, "not there"), (410, REMOVED)],
    scope: REPOSITORY_SCOPE,
};

/// The workspaces of the credentials. The older `/workspaces` was removed in April 2026.
pub static WORKSPACES: Endpoint = Endpoint {
    name: "workspaces",
    path: "user/workspaces",
    unavailable: &[],
    scope: WORKSPACE_SCOPE,
    ..PLAIN
};

/// `created_on` never changes, so rows do not slide between pages while the list is read.
pub static REPOSITORIES: Endpoint = Endpoint {
    name: "repositories",
    path: "repositories/{workspace}",
    sort: Some("created_on"),
    unavailable: &[],
    ..PLAIN
};

pub static REPOSITORY: Endpoint = Endpoint {
    name: "repositories",
    path: "repositories/{workspace}/{repository}",
    ..PLAIN
};

pub static WORKSPACE_MEMBERS: Endpoint = Endpoint {
    name: "workspace_members",
    path: "workspaces/{workspace}/members",
    scope: WORKSPACE_SCOPE,
    ..PLAIN
};

/// Branches and tags together.
pub static REFS: Endpoint = Endpoint {
    name: "branches",
    path: "repositories/{workspace}/{repository}/refs",
    fields: Some("-values.target.repository,-values.target.rendered,-values.target.summary"),
    ..PLAIN
};

pub static BRANCHES: Endpoint = Endpoint {
    name: "branches",
    path: "repositories/{workspace}/{repository}/refs/branches",
    fields: Some("-values.target.repository,-values.target.rendered,-values.target.summary"),
    ..PLAIN
};

pub static TAGS: Endpoint = Endpoint {
    name: "tags",
    path: "repositories/{workspace}/{repository}/refs/tags",
    fields: Some("-values.target.repository,-values.target.rendered,-values.target.summary"),
    ..PLAIN
};

/// Newest first by topology; no filter, no sort, no size, but a range of commits.
pub static COMMITS: Endpoint = Endpoint {
    name: "commits",
    path: "repositories/{workspace}/{repository}/commits",
    fields: Some("-values.repository,-values.rendered,-values.summary"),
    unavailable: &[(403, HIDDEN), (404, "no commits"), (410, REMOVED)],
    ..PLAIN
};

/// Without `fields` the list has neither participants nor reviewers, and the closing time is hidden. Newest first: a
/// pull request that changes while the list is read jumps to its front and shifts the others towards later pages, so
/// rows repeat and none is lost; what jumped is the next walk's. Big repositories answer 500 to a sort over several
/// states, hence droppable.
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
    scope: PULL_REQUEST_SCOPE,
    ..PLAIN
};

pub static PULL_REQUEST_COMMENTS: Endpoint = Endpoint {
    name: "pull_request_comments",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/comments",
    scope: PULL_REQUEST_SCOPE,
    ..PLAIN
};

pub static PULL_REQUEST_COMMITS: Endpoint = Endpoint {
    name: "pull_request_commits",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/commits",
    fields: Some("-values.repository,-values.rendered,-values.summary"),
    unavailable: &[
        (403, HIDDEN),
        (404, "the source repository is gone"),
        (410, REMOVED),
    ],
    scope: PULL_REQUEST_SCOPE,
    ..PLAIN
};

/// All pull requests of the repository in one feed, newest first: a tenth of the requests of asking each.
pub static REPOSITORY_ACTIVITY: Endpoint = Endpoint {
    name: "pull_request_activity",
    path: "repositories/{workspace}/{repository}/pullrequests/activity",
    pagelen: 50,
    scope: PULL_REQUEST_SCOPE,
    ..PLAIN
};

pub static PULL_REQUEST_ACTIVITY: Endpoint = Endpoint {
    name: "pull_request_activity",
    path: "repositories/{workspace}/{repository}/pullrequests/{parent}/activity",
    pagelen: 50,
    scope: PULL_REQUEST_SCOPE,
    ..PLAIN
};

const NO_TRACKER: &[(u16, &str)] = &[
    (403, HIDDEN),
    (404, "issue tracker disabled"),
    (410, "issue tracker removed"),
];

pub static ISSUES: Endpoint = Endpoint {
    name: "issues",
    path: "repositories/{workspace}/{repository}/issues",
    sort: Some("-updated_on"),
    unavailable: NO_TRACKER,
    scope: ISSUE_SCOPE,
    ..PLAIN
};

pub static ISSUE_COMMENTS: Endpoint = Endpoint {
    name: "issue_comments",
    path: "repositories/{workspace}/{repository}/issues/{parent}/comments",
    scope: ISSUE_SCOPE,
    ..PLAIN
};

pub static ISSUE_CHANGES: Endpoint = Endpoint {
    name: "issue_changes",
    path: "repositories/{workspace}/{repository}/issues/{parent}/changes",
    scope: ISSUE_SCOPE,
    ..PLAIN
};

const NO_PIPELINES: &[(u16, &str)] = &[
    (403, HIDDEN),
    (404, "pipelines not enabled"),
    (410, REMOVED),
];

/// Oldest first unless sorted; `q` and time filters are ignored, so the walk stops itself at `since`.
pub static PIPELINES: Endpoint = Endpoint {
    name: "pipelines",
    path: "repositories/{workspace}/{repository}/pipelines/",
    paging: Paging::Counted,
    sort: Some("-created_on"),
    unavailable: NO_PIPELINES,
    scope: PIPELINE_SCOPE,
    ..PLAIN
};

/// One pipeline, to see whether it has gone on.
pub static PIPELINE: Endpoint = Endpoint {
    name: "pipelines",
    path: "repositories/{workspace}/{repository}/pipelines/{parent}",
    unavailable: NO_PIPELINES,
    scope: PIPELINE_SCOPE,
    ..PLAIN
};

/// The command lists are the bulk of a step and its image can carry a registry password: of both, only
/// the image's name is asked for.
pub static PIPELINE_STEPS: Endpoint = Endpoint {
    name: "pipeline_steps",
    path: "repositories/{workspace}/{repository}/pipelines/{parent}/steps/",
    paging: Paging::Counted,
    fields: Some(
        "values.type,values.uuid,values.name,values.pipeline.uuid,values.state,values.trigger,values.started_on,\
         values.completed_on,values.duration_in_seconds,values.build_seconds_used,values.run_number,values.maxTime,\
         values.image.name,next,page,pagelen,size",
    ),
    unavailable: &[
        (403, HIDDEN),
        (404, "steps expired or never made"),
        (410, REMOVED),
    ],
    scope: PIPELINE_SCOPE,
    ..PLAIN
};

/// A deployment holds only its environment's uuid unless name and type are asked for.
pub static DEPLOYMENTS: Endpoint = Endpoint {
    name: "deployments",
    path: "repositories/{workspace}/{repository}/deployments/",
    paging: Paging::Counted,
    sort: Some("-state.completed_on"),
    fields: Some(
        "+values.environment.name,+values.environment.slug,+values.environment.environment_type.name",
    ),
    unavailable: NO_PIPELINES,
    scope: PIPELINE_SCOPE,
    ..PLAIN
};

pub static ENVIRONMENTS: Endpoint = Endpoint {
    name: "environments",
    path: "repositories/{workspace}/{repository}/environments/",
    paging: Paging::Counted,
    unavailable: NO_PIPELINES,
    scope: PIPELINE_SCOPE,
    ..PLAIN
};
