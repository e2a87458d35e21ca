//! Lists of workspaces, repositories, refs, commits and issues.

use super::*;

#[tokio::test]
async fn removed_endpoints_answer_410_with_the_announcement() {
    let sandbox = Fixture::new().start_owned().await;
    for path in [
        "repositories",
        "repositories/?role=member",
        "workspaces",
        "workspaces/",
        "user/permissions/workspaces",
    ] {
        let answer = get(&sandbox, path).await;
        assert_eq!(answer.status, 410, "{path}");
        let error = &answer.json()["error"];
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("CHANGE-2770 - ")
        );
        assert!(error["data"]["announcement_url"].is_string());
    }
}

#[tokio::test]
async fn workspaces_users_and_members() {
    let sandbox = Fixture::new()
        .file(
            "acme/members.jsonl",
            r#"{"type":"workspace_membership","user":{"type":"user","uuid":"{ann}","email":"a@acme.example"}}"#,
        )
        .start_owned()
        .await;
    let access = get(&sandbox, "user/workspaces").await.json()["values"][0].clone();
    assert_eq!(access["workspace"]["slug"], "acme");
    assert_eq!(access["workspace"].get("name"), None);
    assert_eq!(
        get(&sandbox, "workspaces/acme").await.json()["name"],
        "Acme"
    );
    let members = get(&sandbox, "workspaces/%7Bacme%7D/members").await.json();
    assert_eq!(
        members["values"][0]["user"],
        json!({"type": "user", "uuid": "{ann}"})
    );
    assert_eq!(get(&sandbox, "user").await.json()["uuid"], "{ann}");
    let unknown = get(&sandbox, "workspaces/unknown").await;
    assert_eq!(
        (unknown.status, &unknown.json()["type"]),
        (404, &json!("error"))
    );
}

#[tokio::test]
async fn repositories_filter_and_sort() {
    let sandbox = Fixture::new()
        .repository("api", json!({"created_on": "2026-03-01T00:00:00+00:00"}))
        .repository("cli", json!({"created_on": "2026-02-01T00:00:00+00:00"}))
        .start_owned()
        .await;
    let sorted = get(&sandbox, "repositories/acme?sort=-created_on").await;
    assert_eq!(sorted.each("slug"), ["api", "cli", "web"]);
    let filtered = get(
        &sandbox,
        "repositories/acme?q=created_on%3E%222026-01-15T00:00:00Z%22%20AND%20slug%20~%20%22c%22",
    )
    .await;
    assert_eq!(filtered.each("slug"), ["cli"]);
    assert_eq!(filtered.json()["size"], 1);
    assert_eq!(
        get(&sandbox, "repositories/acme?q=creatd_on%3E1")
            .await
            .status,
        400
    );
    assert_eq!(get(&sandbox, "repositories/unknown").await.status, 404);
}

#[tokio::test]
async fn a_repository_answers_to_slug_and_encoded_uuid() {
    let sandbox = Fixture::new().start_owned().await;
    for path in [
        "acme/web",
        "acme/%7Bweb%7D",
        "%7Bacme%7D/%7Bweb%7D",
        "%7B%7D/%7Bweb%7D",
    ] {
        assert_eq!(
            get(&sandbox, &format!("repositories/{path}")).await.json()["slug"],
            "web",
            "{path}"
        );
    }
    let missing = get(&sandbox, "repositories/acme/nothing").await;
    assert_eq!(missing.status, 404);
    assert!(
        missing.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may not have access")
    );
    let wrong = web(&sandbox, "/nonsense").await.json();
    assert_eq!(
        wrong["error"]["detail"],
        "There is no API hosted at this URL"
    );
}

#[tokio::test]
async fn only_lists_of_the_pipelines_service_end_in_a_slash() {
    let sandbox = Fixture::new()
        .records("pipelines", [json!({"uuid": "{p}"})])
        .start_owned()
        .await;
    for list in [
        "pipelines",
        "pipelines/%7Bp%7D/steps",
        "deployments",
        "environments",
    ] {
        assert_eq!(
            web(&sandbox, &format!("/{list}/")).await.status,
            200,
            "{list}/"
        );
        assert_eq!(
            web(&sandbox, &format!("/{list}")).await.status,
            404,
            "{list}"
        );
    }
    for list in ["refs/branches", "commits", "pullrequests", "issues"] {
        assert_eq!(
            web(&sandbox, &format!("/{list}/")).await.status,
            404,
            "{list}/"
        );
        assert_eq!(
            web(&sandbox, &format!("/{list}")).await.status,
            200,
            "{list}"
        );
    }
}

#[tokio::test]
async fn refs_are_listed_by_name_and_filtered() {
    let refs = ["zeta", "feature/x", "alpha"];
    let sandbox = Fixture::new()
        .records("branches", refs.map(|name| reference("branch", name, "a")))
        .records("tags", [reference("tag", "v1", "a")])
        .start_owned()
        .await;
    assert_eq!(
        web(&sandbox, "/refs/branches").await.each("name"),
        ["alpha", "feature/x", "zeta"]
    );
    assert_eq!(
        web(&sandbox, "/refs/branches?q=name%20~%20%22FEAT%22")
            .await
            .each("name"),
        ["feature/x"]
    );
    assert_eq!(
        web(&sandbox, "/refs/branches?sort=-name")
            .await
            .each("name")[0],
        "zeta"
    );
    assert_eq!(web(&sandbox, "/refs/tags").await.each("name"), ["v1"]);
    assert_eq!(
        web(&sandbox, "/refs").await.each("name"),
        ["alpha", "feature/x", "v1", "zeta"]
    );
}

/// ```text
/// e ── d ─┬─ c ── a      main = e, old = c, side = s
///         └─ b ──┘  s ── a    x (unlisted) ── a
/// ```
fn graph() -> Fixture {
    Fixture::new()
        .records(
            "commits",
            [
                commit("e000000", &["d000000"]),
                commit("d000000", &["c000000", "b000000"]),
                commit("5000000", &["a000000"]),
                commit("c000000", &["a000000"]),
                commit("b000000", &["a000000"]),
                commit("a000000", &[]),
            ],
        )
        .records("unlisted_commits", [commit("f000000", &["a000000"])])
        .records(
            "branches",
            [
                reference("branch", "main", "e000000"),
                reference("branch", "team/side", "5000000"),
                reference("branch", "old", "c000000"),
            ],
        )
}

#[tokio::test]
async fn include_and_exclude_are_reachability() {
    let sandbox = graph().start_owned().await;
    let heads = async |query: &str| -> String {
        let answer = web(&sandbox, &format!("/commits?pagelen=100{query}")).await;
        answer
            .each("hash")
            .iter()
            .map(|hash| hash.as_str().unwrap()[..1].to_owned())
            .collect()
    };
    assert_eq!(heads("").await, "ed5cba");
    assert_eq!(heads("&include=main").await, "edcba");
    assert_eq!(heads("&include=main&exclude=old").await, "edb");
    assert_eq!(
        heads("&include=main&include=team%2Fside&exclude=b000000&exclude=old").await,
        "ed5"
    );
    assert_eq!(heads("&include=f000000").await, "af");
    assert_eq!(
        heads("&q=date%3E2030-01-01&sort=-date&since=2030").await,
        "ed5cba",
        "silently ignored"
    );
    assert_eq!(
        web(&sandbox, "/commits/old").await.each("message"),
        ["c000000", "a000000"]
    );
    assert_eq!(
        web(&sandbox, "/commits").await.json()["values"][0].get("participants"),
        None
    );
}

#[tokio::test]
async fn unknown_commits_are_named_in_the_404() {
    let sandbox = graph().start_owned().await;
    let lost = hash("9");
    let answer = web(
        &sandbox,
        &format!("/commits?include=main&exclude={lost}&exclude=old&include=gone"),
    )
    .await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.json()["error"]["data"]["shas"],
        json!(["gone", lost])
    );
    let detail = web(&sandbox, "/commit/f000000").await.json();
    assert_eq!(
        (&detail["hash"], &detail["participants"]),
        (&json!(hash("f")), &json!([]))
    );
    assert_eq!(web(&sandbox, &format!("/commit/{lost}")).await.status, 404);
}

#[tokio::test]
async fn issues_and_their_children_filter_and_sort() {
    let sandbox = Fixture::new()
        .records("issues", [1, 2].map(|n| json!({"id": n, "state": "new", "updated_on": format!("2026-01-0{n}T00:00:00+00:00")})))
        .records("issue_comments", [3, 4].map(|n| json!({"id": n, "issue": {"id": n - 2}, "created_on": "2026-01-01T00:00:00+00:00"})))
        .records("issue_changes", [json!({"id": 5, "issue": {"id": 1}, "created_on": "2026-01-01T00:00:00+00:00"})])
        .start_owned()
        .await;
    assert_eq!(web(&sandbox, "/issues").await.ids(), [2, 1]);
    assert_eq!(
        web(
            &sandbox,
            "/issues?q=updated_on%3E2026-01-01T12:00:00Z&sort=id"
        )
        .await
        .ids(),
        [2]
    );
    assert_eq!(web(&sandbox, "/issues/1/comments").await.ids(), [3]);
    assert_eq!(web(&sandbox, "/issues/1/changes").await.ids(), [5]);
    assert_eq!(web(&sandbox, "/issues/9/comments").await.status, 404);
}

#[tokio::test]
async fn missing_features_answer_as_they_do() {
    let sandbox = Fixture::new()
        .file(
            "acme/web/disabled_features.json",
            r#"{"pipelines": {"status": 404}, "issues": {"status": 410}, "deployments": {"status": 403},
                "pull_request_commits": {"status": 404, "body": "Not Found"}}"#,
        )
        .records("pull_requests", [json!({"id": 1, "state": "OPEN"})])
        .repository("plain", json!({"has_issues": false}))
        .start_owned()
        .await;
    let pipelines = web(&sandbox, "/pipelines/").await;
    assert_eq!(pipelines.status, 404);
    assert_eq!(
        pipelines.json().get("type"),
        None,
        "the pipelines service has no top-level type"
    );
    assert_eq!(web(&sandbox, "/pipelines/%7Bp%7D/steps/").await.status, 404);
    let issues = web(&sandbox, "/issues").await;
    assert_eq!(issues.status, 410);
    assert!(issues.text.contains("CHANGE-3071"));
    let deployments = web(&sandbox, "/deployments/").await;
    assert_eq!(deployments.status, 403);
    assert_eq!(
        deployments.json()["error"]["detail"]["required"],
        json!(["read:pipeline:bitbucket"])
    );
    let commits = web(&sandbox, "/pullrequests/1/commits").await;
    assert_eq!((commits.status, commits.text.as_str()), (404, "Not Found"));
    let tracker = get(&sandbox, "repositories/acme/plain/issues").await;
    assert_eq!(tracker.status, 404);
    assert_eq!(
        tracker.json()["error"]["message"],
        "Repository has no issue tracker."
    );
}
