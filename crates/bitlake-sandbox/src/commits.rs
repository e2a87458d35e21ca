//! Commits: `include` and `exclude` are reachability over the parents, as in `git rev-list`, and nothing else limits the
//! list. `q`, `sort`, `since` and similar parameters are accepted and ignored.

use std::collections::HashSet;

use serde_json::Value;

use crate::call::Call;
use crate::errors::{self, SandboxReply};
use crate::fields::Hidden;
use crate::lock::lock;
use crate::page::{self, Listing, PagingStyle};
use crate::workspace::{RepositoryFixture, at, text};

pub(crate) const LISTING: Listing = Listing {
    cap: 100,
    style: PagingStyle::Opaque,
    hidden: &[Hidden::Member("participants")],
};

/// Return the revisions that the request includes and excludes, by its address or its form.
pub(crate) fn range(call: &Call) -> (Vec<String>, Vec<String>) {
    let posted = call
        .first("form")
        .and_then(|key| lock(&call.state.forms).get(key).cloned())
        .unwrap_or_default();
    let named = |name: &'static str| -> Vec<String> {
        let posted = posted.iter().filter(|(key, _)| key == name);
        call.all(name)
            .map(str::to_owned)
            .chain(posted.map(|(_, value)| value.clone()))
            .collect()
    };
    let mut include = named("include");
    if let Some(revision) = call.parameters.get(2) {
        include.push(revision.clone());
    }
    (include, named("exclude"))
}

pub(crate) fn list(call: &Call) -> Result<Value, SandboxReply> {
    let repository = call.repository()?;
    let (include, exclude) = range(call);
    let mut unknown = Vec::new();
    let mut heads = |revisions: &[String]| -> Vec<String> {
        let mut heads = Vec::new();
        for revision in revisions {
            match resolve(repository, revision) {
                Some(hash) => heads.push(hash),
                None => unknown.push(revision.clone()),
            }
        }
        heads
    };
    let included = heads(&include);
    let excluded = heads(&exclude);
    if !unknown.is_empty() {
        return Err(errors::no_commits(&unknown));
    }

    let all_refs = || -> Vec<String> {
        ["branches", "tags"]
            .iter()
            .flat_map(|table| repository.table(table))
            .filter_map(|record| at(record, "target.hash")?.as_str().map(str::to_owned))
            .collect()
    };
    let start = if include.is_empty() {
        all_refs()
    } else {
        included
    };
    let wanted = reachable(repository, start);
    let known = reachable(repository, excluded);
    let records: Vec<&Value> = repository
        .commits()
        .filter(|commit| {
            text(commit, "hash").is_some_and(|hash| wanted.contains(hash) && !known.contains(hash))
        })
        .collect();
    page::answer(call, &LISTING, &records)
}

pub(crate) fn detail(call: &Call) -> Result<Value, SandboxReply> {
    let hash = call.parameter(2);
    match call.repository()?.commit(hash) {
        Some(commit) => Ok(call.record(commit)),
        None => Err(errors::no_commits(&[hash.to_owned()])),
    }
}

/// Resolve a branch, a tag or a hash of the repository.
fn resolve(repository: &RepositoryFixture, revision: &str) -> Option<String> {
    let named = ["branches", "tags"]
        .iter()
        .flat_map(|table| repository.table(table))
        .find(|record| text(record, "name") == Some(revision))
        .and_then(|record| at(record, "target.hash")?.as_str());
    named
        .or_else(|| text(repository.commit(revision)?, "hash"))
        .map(str::to_owned)
}

fn reachable(repository: &RepositoryFixture, heads: Vec<String>) -> HashSet<&str> {
    let mut seen = HashSet::new();
    let mut open: Vec<&Value> = heads
        .iter()
        .filter_map(|hash| repository.commit(hash))
        .collect();
    while let Some(commit) = open.pop() {
        let Some(hash) = text(commit, "hash") else {
            continue;
        };
        if !seen.insert(hash) {
            continue;
        }
        let parents = commit.get("parents").and_then(Value::as_array);
        for parent in parents.into_iter().flatten() {
            open.extend(text(parent, "hash").and_then(|hash| repository.commit(hash)));
        }
    }
    seen
}
