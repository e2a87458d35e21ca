//! Pull requests. Lists show open pull requests unless the request names states, at most fifty a page, and hide
//! participants, reviewers and the closing time; the detail shows everything.

use serde_json::Value;

use crate::call::Call;
use crate::commits::LISTING as COMMITS;
use crate::core::is;
use crate::errors::{self, SandboxReply};
use crate::fields::Hidden;
use crate::page::{self, Listing, PagingStyle};
use crate::query::{self, Vocabulary};
use crate::workspace::{at, text};

pub(crate) const LISTING: Listing = Listing {
    cap: 50,
    style: PagingStyle::Numbered,
    hidden: &[
        Hidden::Member("participants"),
        Hidden::Member("reviewers"),
        Hidden::Member("closed_on"),
        Hidden::Member("merge_commit.date"),
    ],
};

pub(crate) const ACTIVITY: Listing = Listing {
    cap: 50,
    style: PagingStyle::Context,
    hidden: &[],
};

const STATES: [&str; 4] = ["OPEN", "MERGED", "DECLINED", "SUPERSEDED"];

pub(crate) fn list(call: &Call) -> Result<Value, SandboxReply> {
    let records = chosen(call, call.repository()?.table("pull_requests").iter())?;
    page::answer(call, &LISTING, &records)
}

/// Return the pull requests that match the request's states and `q`, in its order.
pub(crate) fn chosen<'a>(
    call: &Call,
    records: impl Iterator<Item = &'a Value>,
) -> Result<Vec<&'a Value>, SandboxReply> {
    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &[
            "id",
            "state",
            "title",
            "description",
            "draft",
            "created_on",
            "updated_on",
            "author",
            "closed_by",
            "reviewers",
            "participants",
            "source",
            "destination",
            "merge_commit",
            "comment_count",
            "task_count",
            "close_source_branch",
            "reason",
        ],
        refused: &["closed_on"],
    };
    let q = call.first("q");
    let mut states: Vec<&str> = call.all("state").collect();
    let all = states.contains(&"all");
    if !all && let Some(state) = states.iter().find(|state| !STATES.contains(state)) {
        return Err(errors::bad_request(&format!("Invalid state: {state}")));
    }
    if states.is_empty() && !q.is_some_and(|q| q.contains("state")) {
        states.push("OPEN");
    }
    let records = records
        .filter(|record| {
            all || states.is_empty()
                || text(record, "state").is_some_and(|state| states.contains(&state))
        })
        .collect();
    let sort = call.first("sort").unwrap_or("-updated_on");
    query::apply(records, q, Some(sort), &VOCABULARY)
}

pub(crate) fn detail(call: &Call) -> Result<Value, SandboxReply> {
    find(call).map(|record| call.record(record))
}

/// Return the pull request that the path names.
fn find<'a>(call: &Call<'a>) -> Result<&'a Value, SandboxReply> {
    call.repository()?
        .table("pull_requests")
        .iter()
        .find(|record| is(record, "id", call.parameter(2)))
        .ok_or_else(|| call.not_found())
}

pub(crate) fn comments(call: &Call) -> Result<Value, SandboxReply> {
    find(call)?;
    comment_list(
        call,
        children(call, "pull_request_comments", "pullrequest")?,
    )
}

pub(crate) fn comment_list(call: &Call, records: Vec<&Value>) -> Result<Value, SandboxReply> {
    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &[
            "id",
            "content",
            "user",
            "created_on",
            "updated_on",
            "deleted",
            "inline",
            "parent",
            "pending",
            "resolution",
        ],
        refused: &[],
    };
    let listing = Listing {
        cap: 100,
        style: PagingStyle::Numbered,
        hidden: &[],
    };
    let sort = call.first("sort").unwrap_or("created_on");
    let records = query::apply(records, call.first("q"), Some(sort), &VOCABULARY)?;
    page::answer(call, &listing, &records)
}

fn children<'a>(
    call: &Call<'a>,
    table: &str,
    parent: &str,
) -> Result<Vec<&'a Value>, SandboxReply> {
    let records = call.repository()?.table(table).iter();
    let belongs = |record: &&Value| {
        record
            .get(parent)
            .is_some_and(|parent| is(parent, "id", call.parameter(2)))
    };
    Ok(records.filter(belongs).collect())
}

/// Page tokens are random: a page number invented by the client is refused.
pub(crate) fn commits(call: &Call) -> Result<Value, SandboxReply> {
    let repository = call.repository()?;
    let id = find(call)?.get("id").and_then(Value::as_i64);
    let records: Vec<&Value> = id
        .and_then(|id| repository.pull_request_commits.get(&id))
        .into_iter()
        .flatten()
        .filter_map(|hash| repository.commit(hash))
        .collect();
    page::answer(call, &COMMITS, &records)
}

pub(crate) fn activity(call: &Call) -> Result<Value, SandboxReply> {
    find(call)?;
    let records = children(call, "pull_request_activity", "pull_request")?;
    page::answer(call, &ACTIVITY, &newest_first(records))
}

pub(crate) fn all_activity(call: &Call) -> Result<Value, SandboxReply> {
    let records = call.repository()?.table("pull_request_activity").iter();
    page::answer(call, &ACTIVITY, &newest_first(records.collect()))
}

/// Bitbucket sends entries without any time; such an entry keeps its place after its neighbour.
fn newest_first(records: Vec<&Value>) -> Vec<&Value> {
    let mut neighbour = "";
    let mut timed: Vec<(&str, &Value)> = Vec::new();
    for record in records {
        let time = [
            "update.date",
            "approval.date",
            "changes_requested.date",
            "comment.created_on",
        ]
        .iter()
        .find_map(|path| at(record, path)?.as_str());
        neighbour = time.unwrap_or(neighbour);
        timed.push((neighbour, record));
    }
    // All times have one format and zone; a time without a fraction sorts by the second.
    timed.sort_by(|one, other| other.0.cmp(one.0));
    timed.into_iter().map(|(_, record)| record).collect()
}
