//! Refusals, failures and delays.

use super::*;

#[tokio::test]
async fn the_error_of_a_missing_scope_names_it() {
    let body = r#"{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes.","detail":{"required":["read:repository:bitbucket"],"granted":["read:user:bitbucket"]}}}"#;
    let server = serve(move |_, _| json(403, body)).await;
    let error = failure(&server.client(), &endpoints::REPOSITORIES).await;
    let text = error.to_string();
    assert!(
        text.contains("create the token with scope read:repository:bitbucket"),
        "{text}"
    );
    assert!(text.contains("granted=read:user:bitbucket"), "{text}");
}

/// The headers of a list of pipelines: the granted scopes in the vocabulary of the token, the accepted ones in the
/// legacy vocabulary.
fn scopes(granted: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("content-type", "text/plain"),
        ("x-oauth-scopes", granted),
        ("x-accepted-oauth-scopes", "pipeline"),
    ]
}

#[tokio::test]
async fn a_403_of_one_repository_does_not_apply_to_another() {
    for granted in [
        "read:repository:bitbucket, read:pipeline:bitbucket",
        "repository, pipeline",
        "repository, pipeline:write",
        "an-unknown-scope",
        "",
    ] {
        let server = serve(move |_, request| match request.path.contains("/web/") {
            true => {
                let status = StatusCode::FORBIDDEN;
                (status, scopes(granted), "Forbidden").into_response()
            }
            false => json(200, r#"{"values":[1]}"#),
        })
        .await;
        let client = server.client();
        let unavailable = all(&mut client.list(&endpoints::PIPELINES, web())).await;
        let unavailable = unavailable.unwrap().unwrap_err();
        assert!(
            unavailable.required_scopes.is_empty(),
            "{granted}: {unavailable:?}"
        );
        let api = ApiTarget::full_name("acme/api");
        for endpoint in [&endpoints::PIPELINES, &endpoints::DEPLOYMENTS] {
            let found = all(&mut client.list(endpoint, api.clone())).await;
            assert_eq!(found.unwrap().unwrap(), ["1"], "{granted}");
        }
    }
}

#[tokio::test]
async fn a_missing_scope_in_the_headers_applies_to_every_list_that_needs_it() {
    for (granted, named) in [
        ("read:repository:bitbucket", "read:pipeline:bitbucket"),
        ("repository", "pipeline"),
    ] {
        let server = serve(move |_, _| (StatusCode::FORBIDDEN, scopes(granted), "Forbidden")).await;
        let client = server.client();
        for endpoint in [&endpoints::PIPELINES, &endpoints::DEPLOYMENTS] {
            let unavailable = all(&mut client.list(endpoint, web())).await;
            let unavailable = unavailable.unwrap().unwrap_err();
            assert_eq!(unavailable.required_scopes, [named]);
        }
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_names_another_scope_is_not_recorded() {
    let body = r#"{"error":{"message":"no","detail":{"required":["read:project:bitbucket"],"granted":["read:pipeline:bitbucket"]}}}"#;
    let server = serve(move |n, _| match n {
        0 => json(403, body),
        _ => json(200, r#"{"values":[1]}"#),
    })
    .await;
    let client = server.client();
    let unavailable = all(&mut client.list(&endpoints::PIPELINES, web())).await;
    assert_eq!(
        unavailable.unwrap().unwrap_err().required_scopes,
        ["read:project:bitbucket"]
    );
    assert_eq!(records(&client, &endpoints::PIPELINES).await, ["1"]);
}

#[tokio::test]
async fn secrets_that_a_response_repeats_are_masked_in_every_encoding() {
    // Escapes of JSON, of URLs, and both combined.
    for echo in [
        r"s3cr3t-of-the-test",
        r"s3cr3t%2Dof-the-test",
        r"s3cr3t%252Dof%2Dthe-test",
        r"Q2lAYWNtZS5leGFtcGxlOnMzY3IzdC1vZi10aGUtdGVzdA==",
    ] {
        let body = format!(
            r#"{{"error":{{"message":"m {echo}","detail":{{"required":["r {echo}"],"granted":["g {echo}"]}},"fields":{{"f {echo}":["{echo}"]}},"data":{{"announcement_url":"https://x.example/{echo}"}}}}}}"#
        );
        for status in [403, 404, 410, 418] {
            let body = body.clone();
            let server = serve(move |_, _| json(status, body.clone())).await;
            let mut options = server.options();
            options.credentials = Credentials::ApiToken {
                email: "Ci@acme.example".to_owned(),
                tokens: vec![token("s3cr3t-of-the-test")],
            };
            let client = Client::new(options).unwrap();
            let refused = all(&mut client.list(&endpoints::PIPELINES, web())).await;
            let error = failure(&client, &endpoints::REPOSITORIES).await;
            let shown = format!("{refused:?} {error}");
            assert!(shown.contains("***"), "{shown}");
            for part in ["s3cr3t", r"u0073", "Q2lAYWNt"] {
                assert!(!shown.contains(part), "{part}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn an_html_page_instead_of_json_is_unreachable_with_any_status() {
    for status in [200, 404] {
        let server = serve(move |_, _| {
            let kind = [("content-type", "text/html")];
            (
                StatusCode::from_u16(status).unwrap(),
                kind,
                "<html><title>Sign in</title>",
            )
        })
        .await;
        let error = failure(&server.client(), &endpoints::PIPELINES).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains("Sign in"), "{error}");
    }
}

#[tokio::test]
async fn transient_failures_are_retried() {
    for status in [408, 425, 500, 502, 503, 504] {
        let server = serve(move |n, _| match n {
            0..3 => json(status, "oops"),
            _ => json(200, r#"{"values":[1]}"#),
        })
        .await;
        assert_eq!(records(&server.client(), &endpoints::BRANCHES).await, ["1"]);
    }
}

#[tokio::test]
async fn a_truncated_or_empty_body_is_retried_and_then_an_error() {
    for body in [r#"{"values":[1"#, ""] {
        let server = serve(move |n, _| match n {
            0 => json(200, body),
            _ => json(200, r#"{"values":[1]}"#),
        })
        .await;
        assert_eq!(records(&server.client(), &endpoints::BRANCHES).await, ["1"]);
        let server = serve(move |_, _| json(200, body)).await;
        let error = failure(&server.client(), &endpoints::BRANCHES).await;
        assert!(error.message().starts_with("the reply"), "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_host_is_reported_after_few_retries() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server {
        address,
        seen: Arc::default(),
    };
    let error = failure(&server.client(), &endpoints::BRANCHES).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.context("host"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_429_blocks_all_requests_of_the_identity() {
    let refused_since: Arc<Mutex<Option<Instant>>> = Arc::default();
    let gap: Arc<Mutex<Option<Duration>>> = Arc::default();
    let (at, first_gap) = (refused_since.clone(), gap.clone());
    let server = serve(move |n, _| match n {
        0..4 => {
            at.lock().unwrap().get_or_insert_with(Instant::now);
            let text = "Rate limit for this resource has been exceeded";
            (StatusCode::TOO_MANY_REQUESTS, text).into_response()
        }
        _ => {
            let since = at.lock().unwrap().unwrap().elapsed();
            first_gap.lock().unwrap().get_or_insert(since);
            json(200, r#"{"values":[1]}"#)
        }
    })
    .await;
    let client = server.client();
    let four = (0..4).map(|_| records(&client, &endpoints::BRANCHES));
    let found = futures::future::join_all(four).await;
    assert!(found.iter().all(|records| records == &["1"]));
    // Each request is refused once: four refusals, then four responses.
    assert_eq!(server.seen().len(), 8);
    let gap = gap.lock().unwrap().unwrap();
    assert!(
        gap >= Duration::from_millis(300) && gap < Duration::from_secs(2),
        "{gap:?}"
    );
}

#[tokio::test]
async fn a_429_is_retried_after_retry_after_and_given_up_as_quota() {
    let server = serve(|n, _| match n {
        0 => (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "1")],
            "wait",
        )
            .into_response(),
        _ => json(200, r#"{"values":[1]}"#),
    })
    .await;
    let start = Instant::now();
    assert_eq!(records(&server.client(), &endpoints::BRANCHES).await, ["1"]);
    assert!(start.elapsed() >= Duration::from_secs(1));

    let server = serve(|_, _| (StatusCode::TOO_MANY_REQUESTS, "no")).await;
    let mut options = server.options();
    options.limits.rate_limit_first_wait = Duration::from_millis(1);
    options.limits.rate_limit_retries = 3;
    let error = failure(&Client::new(options).unwrap(), &endpoints::BRANCHES).await;
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert_eq!(server.seen().len(), 4);
}
