//! Requests that are sent instead when a response is too much for the server or the client.

use super::*;

/// Serve a list that answers 502 to pages of more than `most` records.
async fn overloaded(most: usize, total: usize) -> Server {
    serve(move |_, request| {
        let number = |key| request.get(key).and_then(|text| text.parse::<usize>().ok());
        let (pagelen, page) = (number("pagelen").unwrap(), number("page").unwrap_or(1));
        if page > 1 && pagelen > most {
            return json(502, "<html>Bad Gateway</html>");
        }
        let from = (page - 1) * pagelen;
        let to = (from + pagelen).min(total);
        let values: Vec<_> = (from..to).map(|n| n.to_string()).collect();
        let host = request.header("host");
        let next = match to < total {
            true => format!(
                r#","next":"http://{host}{}?pagelen={pagelen}&page={}""#,
                request.path,
                page + 1
            ),
            false => String::new(),
        };
        json(
            200,
            format!(
                r#"{{"values":[{}],"size":{total},"pagelen":{pagelen},"page":{page}{next}}}"#,
                values.join(",")
            ),
        )
    })
    .await
}

#[tokio::test]
async fn a_page_with_embedded_records_is_halved_until_the_server_succeeds() {
    for endpoint in [&endpoints::PULL_REQUESTS, &endpoints::DEPLOYMENTS] {
        for most in [12, 25] {
            let server = overloaded(most, 170).await;
            let client = server.client();
            let mut pages = client.list(endpoint, web());
            let records = all(&mut pages).await.unwrap().unwrap();
            let distinct: std::collections::BTreeSet<_> = records.iter().collect();
            assert_eq!(distinct.len(), 170, "{} {most}", endpoint.name);
            assert!(pages.sort().is_some(), "the sort is kept");
            assert_eq!(pages.remaining_pages(), Some(0));
        }
    }
}

#[tokio::test]
async fn a_page_without_embedded_records_is_not_halved() {
    let server = serve(|_, _| json(504, "")).await;
    let mut options = server.options();
    options.limits.retries = 2;
    failure(&Client::new(options).unwrap(), &endpoints::BRANCHES).await;
    let seen = server.seen();
    assert!(seen.len() == 3 && seen.iter().all(|it| it.get("pagelen") == Some("100")));
}

#[tokio::test]
async fn a_555_is_retried_once() {
    let server = serve(|_, _| json(555, "")).await;
    let error = failure(&server.client(), &endpoints::COMMITS).await;
    assert_eq!(error.context("status"), Some("555"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn json_of_an_unexpected_shape_is_retried_once() {
    let server = serve(|_, _| json(200, r#"{"values":{}}"#)).await;
    failure(&server.client(), &endpoints::COMMITS).await;
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_reply_above_the_size_limit_is_an_error_without_retry() {
    let server =
        serve(|_, _| json(200, format!(r#"{{"values":["{}"]}}"#, "a".repeat(3 << 20)))).await;
    let mut options = server.options();
    options.limits.max_reply_bytes = 2 << 20;
    let error = failure(&Client::new(options).unwrap(), &endpoints::COMMITS).await;
    assert!(error.message().contains("larger than 2 MiB"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    for with_size in [true, false] {
        let server = serve(move |n, request| {
            let next = format!("http://{}{}?ctx={n}", request.header("host"), request.path);
            let size = if with_size { r#""size":30,"# } else { "" };
            json(
                200,
                format!(r#"{{"values":[{n}],{size}"pagelen":1,"next":"{next}"}}"#),
            )
        })
        .await;
        let mut options = server.options();
        options.limits.max_pages = 26;
        let error = failure(&Client::new(options).unwrap(), &endpoints::BRANCHES).await;
        assert_eq!(error.message(), "the list does not end");
        assert_eq!(error.context("pages"), Some("27"));
    }
}

const NO_SCOPE: &str =
    r#"{"error":{"message":"no","detail":{"required":["read:pipeline:bitbucket"],"granted":[]}}}"#;

#[tokio::test]
async fn a_missing_scope_is_requested_once_and_other_lists_are_read() {
    let server = serve(|_, request| match request.path.contains("/pipelines") {
        true => json(403, NO_SCOPE),
        false => json(200, r#"{"values":[1]}"#),
    })
    .await;
    let client = server.client();
    for _ in 0..3 {
        let mut pages = client.list(&endpoints::PIPELINES, web());
        let unavailable = all(&mut pages).await.unwrap().unwrap_err();
        assert!(
            unavailable
                .reason
                .contains("lacks scope read:pipeline:bitbucket")
        );
    }
    assert_eq!(client.requests().get("pipelines"), Some(&1));
    assert_eq!(records(&client, &endpoints::BRANCHES).await, ["1"]);
}

#[tokio::test]
async fn of_several_tokens_the_one_with_the_scope_is_used() {
    let server = serve(|_, request| match request.header("authorization") {
        "Bearer one" => json(403, NO_SCOPE),
        _ => json(200, r#"{"values":[1]}"#),
    })
    .await;
    let mut options = server.options();
    options.credentials = Credentials::AccessToken {
        tokens: vec![token("one"), token("two")],
    };
    let client = Client::new(options).unwrap();
    for _ in 0..3 {
        assert_eq!(records(&client, &endpoints::PIPELINES).await, ["1"]);
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_403_without_a_scope_is_requested_again() {
    let server = serve(|_, _| {
        let scopes = [
            ("x-accepted-oauth-scopes", "pipeline"),
            ("x-oauth-scopes", "pipeline, account"),
        ];
        (StatusCode::FORBIDDEN, scopes, "Forbidden")
    })
    .await;
    let client = server.client();
    for _ in 0..2 {
        let mut pages = client.list(&endpoints::PIPELINES, web());
        let unavailable = all(&mut pages).await.unwrap().unwrap_err();
        assert!(
            unavailable.reason.contains("may not read it"),
            "{unavailable:?}"
        );
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_reason_of_an_unavailable_list_hides_secrets_of_the_request() {
    let server = serve(|_, request| {
        let echo = format!("{} s3cr3t", request.header("authorization"));
        json(404, echo)
    })
    .await;
    let mut pages = server.client().list(&endpoints::PIPELINES, web());
    let unavailable = all(&mut pages).await.unwrap().unwrap_err();
    assert!(
        unavailable.reason.contains("Basic *** ***"),
        "{unavailable:?}"
    );
}
