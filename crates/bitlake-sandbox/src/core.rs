//! Users, workspaces, repositories, refs and issues: the plain lists of the core service.

use serde_json::{Value, json};

use crate::auth::Caller;
use crate::call::Call;
use crate::errors::{self, SandboxReply};
use crate::fields::Hidden;
use crate::page::{self, Listing, PagingStyle};
use crate::query::{self, Vocabulary};
use crate::workspace::{RepositoryFixture, text};

const PLAIN: Listing = Listing {
    cap: 100,
    style: PagingStyle::Numbered,
    hidden: &[],
};

/// Lists that Bitbucket removed in April 2026; a path with an empty workspace segment gets the same reply.
pub(crate) fn removed(_: &Call) -> Result<Value, SandboxReply> {
    Err(errors::gone(errors::CROSS_WORKSPACE_REMOVED))
}

fn identified(call: &Call) -> Result<(), SandboxReply> {
    match call.caller {
        Caller::Anonymous => Err(errors::unauthorized(errors::TOKEN_INVALID)),
        Caller::Known | Caller::Bot => Ok(()),
    }
}

pub(crate) fn user(call: &Call) -> Result<Value, SandboxReply> {
    identified(call)?;
    let bot = json!({
        "type": "app_user",
        "kind": "repository_access_token",
        "uuid": "{b0700000-0000-4000-8000-000000000001}",
        "account_id": "712020:b0700000-0000-4000-8000-000000000001",
        "display_name": "sandbox access token",
        "account_status": "active",
        "created_on": "2026-01-01T00:00:00+00:00",
    });
    if call.caller == Caller::Bot {
        return Ok(call.record(&bot));
    }
    let member = || {
        let workspace = call.fixtures.workspaces.first()?;
        workspace.members.first()?.get("user")
    };
    let user = call.fixtures.user.as_ref().or_else(member).unwrap_or(&bot);
    Ok(call.record(user))
}

pub(crate) fn user_workspaces(call: &Call) -> Result<Value, SandboxReply> {
    identified(call)?;
    let known = call.fixtures.workspaces.iter();
    let known = known.map(|one| (one.uuid.as_str(), one.slug.as_str()));
    workspace_list(call, known)
}

/// Answer with a list of workspaces, given by uuid and slug.
pub(crate) fn workspace_list<'a>(
    call: &Call,
    known: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Value, SandboxReply> {
    let record = |(uuid, slug)| {
        let own = format!("{}workspaces/{slug}", call.state.endpoint());
        json!({
            "type": "workspace_access",
            "administrator": false,
            "workspace": {
                "type": "workspace_base", "uuid": uuid, "slug": slug, "links": {"self": {"href": own}},
            },
        })
    };
    let records: Vec<Value> = known.map(record).collect();
    page::answer(call, &PLAIN, &records.iter().collect::<Vec<_>>())
}

pub(crate) fn workspace(call: &Call) -> Result<Value, SandboxReply> {
    identified(call)?;
    Ok(call.record(&call.workspace()?.record))
}

pub(crate) fn members(call: &Call) -> Result<Value, SandboxReply> {
    identified(call)?;
    member_list(call, &call.workspace()?.members)
}

pub(crate) fn member_list(call: &Call, records: &[Value]) -> Result<Value, SandboxReply> {
    let records: Vec<_> = records.iter().collect();
    let listing = Listing {
        hidden: &[Hidden::Member("user.email")],
        ..PLAIN
    };
    page::answer(call, &listing, &records)
}

pub(crate) fn repositories(call: &Call) -> Result<Value, SandboxReply> {
    let all = call.workspace()?.repositories.iter();
    let seen = all.filter(|repository| call.sees(repository));
    repository_list(call, seen.map(|repository| &repository.record).collect())
}

pub(crate) fn repository_list(call: &Call, records: Vec<&Value>) -> Result<Value, SandboxReply> {
    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &[
            "uuid",
            "name",
            "slug",
            "full_name",
            "description",
            "is_private",
            "created_on",
            "updated_on",
            "language",
            "size",
            "project",
            "workspace",
            "owner",
            "parent",
            "has_issues",
            "mainbranch",
            "scm",
        ],
        refused: &[],
    };
    let records = query::apply(records, call.first("q"), call.first("sort"), &VOCABULARY)?;
    page::answer(call, &PLAIN, &records)
}

pub(crate) fn repository(call: &Call) -> Result<Value, SandboxReply> {
    Ok(call.record(&call.repository()?.record))
}

/// Branches and tags in one list.
pub(crate) fn refs(call: &Call) -> Result<Value, SandboxReply> {
    named(call, &["branches", "tags"])
}

pub(crate) fn branches(call: &Call) -> Result<Value, SandboxReply> {
    named(call, &["branches"])
}

pub(crate) fn tags(call: &Call) -> Result<Value, SandboxReply> {
    named(call, &["tags"])
}

fn named(call: &Call, tables: &[&str]) -> Result<Value, SandboxReply> {
    let repository = call.repository()?;
    let records = tables.iter().flat_map(|table| repository.table(table));
    ref_list(call, records.collect())
}

pub(crate) fn ref_list(call: &Call, records: Vec<&Value>) -> Result<Value, SandboxReply> {
    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &["name", "target", "date", "tagger", "message"],
        refused: &[],
    };
    let sort = call.first("sort").unwrap_or("name");
    let records = query::apply(records, call.first("q"), Some(sort), &VOCABULARY)?;
    page::answer(call, &PLAIN, &records)
}

const ISSUE: Vocabulary = Vocabulary {
    fields: &[
        "id",
        "title",
        "content",
        "reporter",
        "assignee",
        "state",
        "kind",
        "priority",
        "component",
        "milestone",
        "version",
        "votes",
        "watches",
        "created_on",
        "updated_on",
        "edited_on",
    ],
    refused: &[],
};

/// Return the repository if it has an issue tracker.
fn tracker<'a>(call: &Call<'a>) -> Result<&'a RepositoryFixture, SandboxReply> {
    let repository = call.repository()?;
    if repository.record.get("has_issues") == Some(&Value::Bool(false)) {
        return Err(errors::no_issue_tracker());
    }
    Ok(repository)
}

pub(crate) fn issues(call: &Call) -> Result<Value, SandboxReply> {
    let sort = call.first("sort").unwrap_or("-updated_on");
    let records = tracker(call)?.table("issues").iter().collect();
    let records = query::apply(records, call.first("q"), Some(sort), &ISSUE)?;
    page::answer(call, &PLAIN, &records)
}

pub(crate) fn issue_comments(call: &Call) -> Result<Value, SandboxReply> {
    issue_children(call, "issue_comments")
}

pub(crate) fn issue_changes(call: &Call) -> Result<Value, SandboxReply> {
    issue_children(call, "issue_changes")
}

fn issue_children(call: &Call, table: &str) -> Result<Value, SandboxReply> {
    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &[
            "id",
            "content",
            "user",
            "created_on",
            "updated_on",
            "changes",
            "message",
        ],
        refused: &[],
    };
    let repository = tracker(call)?;
    let id = call.parameter(2);
    if !repository
        .table("issues")
        .iter()
        .any(|issue| is(issue, "id", id))
    {
        return Err(call.not_found());
    }
    let records = repository
        .table(table)
        .iter()
        .filter(|record| record.get("issue").is_some_and(|issue| is(issue, "id", id)))
        .collect();
    let sort = call.first("sort").unwrap_or("created_on");
    let records = query::apply(records, call.first("q"), Some(sort), &VOCABULARY)?;
    page::answer(call, &PLAIN, &records)
}

/// Check whether the member `key`, a number or a string, equals `id`.
pub(crate) fn is(record: &Value, key: &str, id: &str) -> bool {
    match record.get(key) {
        Some(Value::Number(number)) => number.to_string() == id,
        Some(Value::String(_)) => text(record, key) == Some(id),
        _ => false,
    }
}
