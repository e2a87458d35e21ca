//! Credentials, scopes, OAuth, counts and headers.

use std::time::Duration;

use super::*;
use crate::AcceptedCredentials;

async fn with(sandbox: &Sandbox, path: &str, authorization: &str) -> Answer {
    let url = format!("{}{path}", sandbox.endpoint());
    receive(
        reqwest::Client::new()
            .get(url)
            .header("authorization", authorization),
    )
    .await
}

#[tokio::test]
async fn wrong_credentials_are_401_and_missing_ones_see_public_repositories() {
    let fixture = Fixture::new().repository("open", json!({"is_private": false}));
    let sandbox = fixture
        .builder()
        .credentials(AcceptedCredentials::basic("ci@acme.example", "secret"))
        .credentials(AcceptedCredentials::bearer("token"))
        .start(0)
        .await
        .unwrap();
    let url = format!("{}repositories/acme", sandbox.endpoint());
    let client = reqwest::Client::new();
    let known = receive(
        client
            .get(&url)
            .basic_auth("ci@acme.example", Some("secret")),
    )
    .await;
    assert_eq!(known.each("slug"), ["open", "web"]);
    assert_eq!(
        receive(client.get(&url).bearer_auth("token"))
            .await
            .each("slug")
            .len(),
        2
    );
    assert_eq!(
        get(&sandbox, "repositories/acme").await.each("slug"),
        ["open"]
    );
    assert_eq!(get(&sandbox, "repositories/acme/web").await.status, 404);
    assert_eq!(get(&sandbox, "user").await.status, 401);
    assert_eq!(
        with(&sandbox, "user", "Bearer token").await.json()["type"],
        "app_user"
    );
    let wrong = with(&sandbox, "repositories/acme", "Bearer nonsense").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.header("www-authenticate"),
        Some("Basic realm=\"Bitbucket.org HTTP\"")
    );
    assert_eq!(
        wrong.json()["error"]["message"],
        "Token is invalid, expired, or not supported for this endpoint."
    );
}

#[tokio::test]
async fn a_missing_scope_is_403_with_an_object_as_detail() {
    let fixture = Fixture::new();
    let granted = ["read:repository:bitbucket", "write:pullrequest:bitbucket"];
    let sandbox = fixture.builder().scopes(granted).start(0).await.unwrap();
    assert_eq!(web(&sandbox, "/refs/branches").await.status, 200);
    let refused = web(&sandbox, "/pullrequests").await;
    assert_eq!(refused.status, 403);
    let error = &refused.json()["error"];
    assert_eq!(
        error["detail"],
        json!({"required": ["read:pullrequest:bitbucket"], "granted": granted})
    );
    assert_eq!(
        refused.header("x-accepted-oauth-scopes"),
        Some("pullrequest")
    );
}

#[tokio::test]
async fn headers_name_granted_scopes_in_the_tokens_words_and_accepted_ones_in_legacy_words() {
    let fixture = Fixture::new().file(
        "acme/web/disabled_features.json",
        r#"{"pipelines": {"status": 403, "body": "Forbidden"}}"#,
    );
    for granted in [
        ["read:repository:bitbucket", "read:pipeline:bitbucket"],
        ["repository", "pipeline:write"],
    ] {
        let sandbox = fixture.builder().scopes(granted).start(0).await.unwrap();
        // A refusal of one repository, in words that name no scope.
        let refused = web(&sandbox, "/pipelines/").await;
        assert_eq!((refused.status, refused.text.as_str()), (403, "Forbidden"));
        let granted = granted.join(", ");
        for (answer, accepted) in [
            (refused, "pipeline"),
            (web(&sandbox, "/refs/branches").await, "repository"),
        ] {
            assert_eq!(answer.header("x-oauth-scopes"), Some(granted.as_str()));
            assert_eq!(answer.header("x-accepted-oauth-scopes"), Some(accepted));
        }
    }
    let sandbox = fixture
        .builder()
        .scopes(["repository"])
        .start(0)
        .await
        .unwrap();
    let refused = web(&sandbox, "/pullrequests").await;
    assert_eq!(
        refused.json()["error"]["detail"],
        json!({"required": ["pullrequest"], "granted": ["repository"]})
    );
}

#[tokio::test]
async fn oauth_tokens_are_issued_and_expire() {
    let fixture = Fixture::new();
    let sandbox = fixture
        .builder()
        .credentials(AcceptedCredentials::oauth_client(
            "key",
            "secret",
            Duration::from_secs(7200),
        ))
        .start(0)
        .await
        .unwrap();
    let ask = async |secret: &str| {
        let request = reqwest::Client::new()
            .post(sandbox.token_url())
            .basic_auth("key", Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        receive(request).await
    };
    assert_eq!(ask("wrong").await.status, 400);
    let issued = ask("secret").await.json();
    assert_eq!(
        (&issued["token_type"], &issued["expires_in"]),
        (&json!("bearer"), &json!(7200))
    );
    assert!(issued["scope"].is_string());
    let bearer = |issued: &Value| format!("Bearer {}", issued["access_token"].as_str().unwrap());
    let path = "repositories/acme/web";
    assert_eq!(with(&sandbox, path, &bearer(&issued)).await.status, 200);
    sandbox.expire_tokens();
    let expired = with(&sandbox, path, &bearer(&issued)).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.json()["error"]["message"], "Access token expired.");
    let renewed = ask("secret").await.json();
    assert_eq!(with(&sandbox, path, &bearer(&renewed)).await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_logged_in_order() {
    let sandbox = Fixture::new().start_owned().await;
    web(&sandbox, "/pullrequests?pagelen=50&state=OPEN").await;
    web(&sandbox, "/pullrequests?pagelen=51").await;
    web(&sandbox, "").await;
    get(&sandbox, "nonsense").await;
    let counts = sandbox.requests();
    assert_eq!(
        counts["GET /repositories/{workspace}/{repo_slug}/pullrequests"],
        2
    );
    assert_eq!(counts["GET /repositories/{workspace}/{repo_slug}"], 1);
    assert_eq!(counts["GET (no such route)"], 1);
    let log = sandbox.request_log();
    assert_eq!(
        log[0],
        "/2.0/repositories/acme/web/pullrequests?pagelen=50&state=OPEN"
    );
    assert_eq!(log.len(), 4);
    sandbox.reset_requests();
    assert!(sandbox.requests().is_empty() && sandbox.request_log().is_empty());
}

#[tokio::test]
async fn every_answer_has_a_date_and_the_rate_limit_when_configured() {
    let fixture = Fixture::new();
    let date = chrono::DateTime::parse_from_rfc3339("2026-11-01T08:49:37Z").unwrap();
    let sandbox = fixture
        .builder()
        .date(date.to_utc())
        .rate_limit_header(1_000_000)
        .start(0)
        .await
        .unwrap();
    for path in ["repositories/acme/web", "repositories/acme/nothing"] {
        let answer = get(&sandbox, path).await;
        assert_eq!(answer.header("date"), Some("Sun, 01 Nov 2026 08:49:37 GMT"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("1000000"));
    }
    let plain = fixture.start().await;
    let answer = get(&plain, "repositories/acme/web").await;
    assert!(answer.header("date").is_some());
    assert_eq!(answer.header("x-ratelimit-limit"), None);
}

#[tokio::test]
async fn reload_serves_what_changed_in_the_folder() {
    let fixture = Fixture::new();
    let sandbox = fixture.start().await;
    assert!(
        web(&sandbox, "/refs/branches")
            .await
            .each("name")
            .is_empty()
    );
    let _fixture = fixture.records("branches", [reference("branch", "main", "a")]);
    sandbox.reload().unwrap();
    assert_eq!(web(&sandbox, "/refs/branches").await.each("name"), ["main"]);
}

#[tokio::test]
async fn a_stopped_or_dropped_sandbox_refuses_connections() {
    let fixture = Fixture::new();
    for drop_it in [false, true] {
        let sandbox = fixture.start().await;
        let endpoint = sandbox.endpoint();
        get(&sandbox, "user").await;
        if drop_it {
            drop(sandbox);
            tokio::time::sleep(Duration::from_millis(50)).await;
        } else {
            sandbox.stop().await;
        }
        let error = reqwest::Client::new()
            .get(endpoint)
            .send()
            .await
            .unwrap_err();
        assert!(error.is_connect(), "{error}");
    }
}

#[tokio::test]
async fn a_broken_fixture_is_named_with_its_line() {
    let fixture = Fixture::new().file("acme/web/tags.jsonl", "{}\n\n{oops}\n");
    let error = fixture.builder().start(0).await.err().unwrap();
    let text = error.to_string();
    assert!(
        text.ends_with("tags.jsonl, line 3: not a valid fixture"),
        "{text}"
    );
}
