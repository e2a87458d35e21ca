//! `acme/web` with a record in every list, and `acme/api`, which faults of `acme/web` must not affect.

use std::path::Path;

use serde_json::{Value, json};

const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";
/// A commit of a deleted branch, which the commit graph does not contain.
const THIRD: &str = "3333333333333333333333333333333333333333";

fn at(day: u32) -> String {
    format!("2026-11-{day:02}T10:00:00.000000+00:00")
}

fn person() -> Value {
    json!({"type": "user", "uuid": "{ann}", "account_id": "ann", "nickname": "ann", "display_name": "Ann"})
}

fn commit(hash: &str, day: u32, parents: &[&str]) -> Value {
    let parents: Vec<_> = parents
        .iter()
        .map(|hash| json!({"type": "commit", "hash": hash}))
        .collect();
    json!({"type": "commit", "hash": hash, "date": at(day), "message": "m\n", "parents": parents,
        "author": {"type": "author", "raw": "Ann <ann@acme.example>", "user": person()}})
}

fn repository(slug: &str) -> Value {
    json!({"type": "repository", "uuid": format!("{{{slug}}}"), "full_name": format!("acme/{slug}"), "slug": slug,
        "name": slug, "is_private": true, "has_issues": true, "created_on": at(1), "updated_on": at(20),
        "mainbranch": {"name": "main", "type": "branch"},
        "workspace": {"type": "workspace", "uuid": "{acme}", "slug": "acme", "name": "acme"}})
}

fn pipeline() -> Value {
    json!({"type": "pipeline", "uuid": "{pipeline}", "build_number": 1, "created_on": at(5), "completed_on": at(6),
        "state": {"type": "pipeline_state_completed", "name": "COMPLETED",
            "result": {"type": "pipeline_state_completed_successful", "name": "SUCCESSFUL"}},
        "creator": person(), "trigger": {"type": "pipeline_trigger_push", "name": "PUSH"},
        "target": {"type": "pipeline_ref_target", "ref_type": "branch", "ref_name": "main",
            "commit": {"type": "commit", "hash": SECOND}}})
}

/// The single record of each list.
fn lists() -> Vec<(&'static str, Value)> {
    let pull_request = json!({"type": "pullrequest", "id": 1, "title": "t"});
    let issue = json!({"type": "issue", "id": 1, "title": "t"});
    vec![
        (
            "branches",
            json!({"type": "branch", "name": "main", "target": commit(SECOND, 4, &[FIRST])}),
        ),
        (
            "tags",
            json!({"type": "tag", "name": "v1", "date": at(4), "target": commit(SECOND, 4, &[FIRST])}),
        ),
        (
            "pull_requests",
            json!({"type": "pullrequest", "id": 1, "title": "t", "description": "", "state": "OPEN",
                "author": person(), "created_on": at(3), "updated_on": at(5), "comment_count": 1,
                "source": {"branch": {"name": "topic"}, "commit": {"hash": THIRD}, "repository": repository("web")},
                "destination": {"branch": {"name": "main"}, "commit": {"hash": FIRST},
                    "repository": repository("web")},
                "participants": [], "reviewers": []}),
        ),
        (
            "pull_request_comments",
            json!({"type": "pullrequest_comment", "id": 7, "pullrequest": pull_request, "created_on": at(5),
                "updated_on": at(5), "content": {"raw": "c"}, "user": person(), "deleted": false}),
        ),
        (
            "pull_request_commits",
            json!({"pull_request": 1, "hashes": [THIRD]}),
        ),
        (
            "pull_request_activity",
            json!({"pull_request": pull_request,
                "approval": {"date": at(5), "user": person(), "pullrequest": pull_request}}),
        ),
        (
            "issues",
            json!({"type": "issue", "id": 1, "title": "t", "state": "new", "kind": "bug", "priority": "major",
                "reporter": person(), "created_on": at(3), "updated_on": at(5), "content": {"raw": ""}}),
        ),
        (
            "issue_comments",
            json!({"type": "issue_comment", "id": 8, "issue": issue, "created_on": at(4), "updated_on": null,
                "content": {"raw": "c"}, "user": person()}),
        ),
        (
            "issue_changes",
            json!({"type": "issue_change", "id": 9, "issue": issue, "created_on": at(4), "user": person(),
                "changes": {"state": {"old": "new", "new": "open"}}}),
        ),
        ("pipelines", pipeline()),
        (
            "pipeline_steps",
            json!({"type": "pipeline_step", "uuid": "{step}", "name": "deploy",
                "pipeline": {"type": "pipeline", "uuid": "{pipeline}"}, "started_on": at(5), "completed_on": at(6),
                "state": {"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}}}),
        ),
        (
            "deployments",
            json!({"type": "deployment", "uuid": "{deployment}", "key": "k", "number": 1,
                "environment": {"uuid": "{env}"}, "release": {"name": "r", "created_on": at(5),
                    "pipeline": {"uuid": "{pipeline}"}, "commit": {"hash": SECOND}},
                "state": {"type": "deployment_state_completed", "name": "COMPLETED",
                    "status": {"name": "SUCCESSFUL"}, "started_on": at(5), "completed_on": at(6)},
                "last_update_time": at(6), "step": {"uuid": "{step}"}}),
        ),
        (
            "environments",
            json!({"type": "deployment_environment", "uuid": "{env}", "name": "Production", "slug": "production",
                "environment_type": {"name": "Production", "rank": 2}}),
        ),
    ]
}

pub fn write(folder: &Path) {
    let put = |path: &str, text: String| {
        let path = folder.join("acme").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(
        "members.jsonl",
        json!({"type": "workspace_membership", "user": person(), "workspace": {"slug": "acme"}})
            .to_string(),
    );
    for slug in ["web", "api"] {
        put(
            &format!("{slug}/repository.json"),
            repository(slug).to_string(),
        );
    }
    for (table, record) in lists() {
        put(&format!("web/{table}.jsonl"), record.to_string());
    }
    let commits = [commit(SECOND, 4, &[FIRST]), commit(FIRST, 3, &[])];
    put(
        "web/unlisted_commits.jsonl",
        commit(THIRD, 4, &[FIRST]).to_string(),
    );
    put(
        "web/commits.jsonl",
        commits.map(|commit| commit.to_string()).join("\n"),
    );
}
