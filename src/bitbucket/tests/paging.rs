//! Lists arrive completely or fail.

use super::*;

#[tokio::test]
async fn next_is_followed_unchanged_and_the_first_request_has_no_page() {
    let server = serve(|n, request| match n {
        0 => {
            let next = format!(
                "http://{}{}?ctx=a%2Bb",
                request.header("host"),
                request.path
            );
            json(
                200,
                format!(r#"{{"values":[1],"pagelen":1,"next":"{next}"}}"#),
            )
        }
        _ => json(200, r#"{"values":[2],"pagelen":1}"#),
    })
    .await;
    let found = records(&server.client(), &endpoints::REPOSITORY_ACTIVITY).await;
    assert_eq!(found, ["1", "2"]);
    let seen = server.seen();
    assert_eq!(
        seen[0].path,
        "/2.0/repositories/acme/web/pullrequests/activity"
    );
    assert_eq!(
        (seen[0].get("page"), seen[0].get("pagelen")),
        (None, Some("50"))
    );
    assert_eq!(seen[1].query, [("ctx".to_owned(), "a+b".to_owned())]);
}

#[tokio::test]
async fn numbered_pages_repeat_every_parameter_and_ignore_next() {
    let server = serve(|_, request| {
        let page: usize = request.get("page").unwrap().parse().unwrap();
        let values = if page == 3 { "5" } else { "1,2" }.replace('1', &page.to_string());
        let next = format!(
            "http://{}{}?page={}",
            request.header("host"),
            request.path,
            page + 1
        );
        json(
            200,
            format!(r#"{{"values":[{values}],"pagelen":2,"size":5,"next":"{next}"}}"#),
        )
    })
    .await;
    assert_eq!(
        records(&server.client(), &endpoints::PIPELINES).await,
        ["1", "2", "2", "2", "5"]
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|r| r.get("sort") == Some("-created_on")));
    assert!(seen.iter().all(|r| r.path.ends_with("/pipelines/")));
}

#[tokio::test]
async fn numbered_pages_without_a_size_end_at_a_short_page() {
    let server = serve(|_, request| match request.get("page") {
        Some("1") => json(200, r#"{"values":[1,2],"pagelen":2}"#),
        _ => json(200, r#"{"values":[3],"pagelen":2}"#),
    })
    .await;
    let client = server.client();
    let found = records(&client, &endpoints::PIPELINE_STEPS).await;
    assert_eq!((found.len(), server.seen().len()), (3, 2));
    assert_eq!(
        server.seen()[0].path,
        "/2.0/repositories/acme/web/pipelines/%7Bp%7D/steps/"
    );
    assert_eq!(client.requests().get("pipeline_steps"), Some(&2));
}

#[tokio::test]
async fn a_list_that_repeats_a_page_fails() {
    let same = serve(|_, _| json(200, r#"{"values":[1,2],"pagelen":2}"#)).await;
    let error = failure(&same.client(), &endpoints::DEPLOYMENTS).await;
    assert!(error.message().contains("repeats"), "{error}");
    let circle = serve(|_, request| {
        let next = format!("http://{}{}?ctx=a", request.header("host"), request.path);
        json(200, format!(r#"{{"values":[1],"next":"{next}"}}"#))
    })
    .await;
    let error = failure(&circle.client(), &endpoints::BRANCHES).await;
    assert!(error.message().contains("repeats"), "{error}");
}

#[tokio::test]
async fn a_next_on_another_host_fails_and_is_not_requested() {
    let thief = serve(|_, _| json(200, r#"{"values":[]}"#)).await;
    let next = thief.url("2.0/repositories/acme/web/refs/tags?page=2");
    let server = serve(move |_, _| json(200, format!(r#"{{"values":[1],"next":"{next}"}}"#))).await;
    let error = failure(&server.client(), &endpoints::TAGS).await;
    assert!(error.message().contains("another host"), "{error}");
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let thief = serve(|_, _| json(200, r#"{"values":[]}"#)).await;
    let to = thief.url("2.0/");
    let server = serve(move |_, _| (StatusCode::FOUND, [("location", to.clone())], "")).await;
    let error = failure(&server.client(), &endpoints::TAGS).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn a_full_first_page_without_next_fails() {
    let server = serve(|_, _| json(200, r#"{"values":[1,2],"pagelen":2,"size":9}"#)).await;
    let error = failure(&server.client(), &endpoints::TAGS).await;
    assert!(error.message().contains("ends early"), "{error}");
}

#[tokio::test]
async fn pull_requests_are_requested_in_all_states_with_people_and_an_encoded_filter() {
    let server = serve(|_, _| json(200, r#"{"values":[],"size":0}"#)).await;
    let filter = "updated_on >= \"2026-05-23T09:00:00+00:00\"";
    let mut pages = server
        .client()
        .list(&endpoints::PULL_REQUESTS, web())
        .with_filter(Some(filter.to_owned()));
    assert!(all(&mut pages).await.unwrap().unwrap().is_empty());
    let seen = &server.seen()[0];
    assert_eq!(seen.get("pagelen"), Some("50"));
    assert_eq!(seen.query.iter().filter(|(k, _)| k == "state").count(), 4);
    assert_eq!(seen.get("q"), Some(filter));
    assert!(
        seen.get("fields")
            .unwrap()
            .starts_with("+values.participants,+values.reviewers,")
    );
}

#[tokio::test]
async fn a_500_to_the_sort_falls_back_to_the_unsorted_list() {
    let server = serve(|_, request| match request.get("sort") {
        Some(_) => json(
            500,
            r#"{"type":"error","error":{"message":"Something went wrong"}}"#,
        ),
        None => json(200, r#"{"values":[1],"size":1}"#),
    })
    .await;
    assert_eq!(
        records(&server.client(), &endpoints::PULL_REQUESTS).await,
        ["1"]
    );
    let sorted = server
        .seen()
        .iter()
        .filter(|r| r.get("sort").is_some())
        .count();
    // Three requests for the whole page, one for a half and one for a quarter.
    assert_eq!(sorted, 5);
}

#[tokio::test]
async fn a_400_removes_only_the_rejected_parameter() {
    let server = serve(
        |_, request| match (request.get("sort"), request.get("fields")) {
            (Some(_), _) => json(
                400,
                r#"{"error":{"message":"Bad request","detail":"Invalid sort attribute"}}"#,
            ),
            (None, Some(_)) => json(200, r#"{"values":[1],"size":1}"#),
            (None, None) => json(500, ""),
        },
    )
    .await;
    assert_eq!(
        records(&server.client(), &endpoints::DEPLOYMENTS).await,
        ["1"]
    );
    let server = serve(|_, request| match request.get("fields") {
        Some(_) => json(400, r#"{"error":{"message":"Invalid fields parameter"}}"#),
        None => json(200, r#"{"values":[1],"size":1}"#),
    })
    .await;
    assert_eq!(
        records(&server.client(), &endpoints::DEPLOYMENTS).await,
        ["1"]
    );
    assert!(server.seen()[1].get("sort").is_some());
}

#[tokio::test]
async fn a_refused_first_page_is_unavailable_and_a_later_one_an_error() {
    for (status, reason) in [
        (404, "pipelines not enabled"),
        (410, "removed"),
        (403, "may not"),
    ] {
        let server = serve(move |_, _| json(status, "")).await;
        let mut pages = server.client().list(&endpoints::PIPELINES, web());
        let unavailable = all(&mut pages).await.unwrap().unwrap_err();
        assert_eq!(unavailable.status.as_u16(), status);
        assert!(unavailable.reason.contains(reason), "{unavailable:?}");
    }
    let server = serve(|n, _| match n {
        0 => json(200, r#"{"values":[1],"pagelen":1,"size":2}"#),
        _ => json(404, r#"{"error":{"message":"gone"}}"#),
    })
    .await;
    let error = failure(&server.client(), &endpoints::PIPELINES).await;
    assert_eq!(error.context("status"), Some("404"));
    assert_eq!(error.context("repository"), Some("acme/web"));
}

#[tokio::test]
async fn an_empty_workspace_is_a_configuration_error_and_no_request() {
    let server = serve(|_, _| json(410, "")).await;
    let mut pages = server
        .client()
        .list(&endpoints::REPOSITORIES, ApiTarget::workspace(""));
    assert_eq!(
        pages.next().await.unwrap_err().kind(),
        ErrorKind::Configuration
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn invalid_sizes_do_not_lose_records() {
    let most = u64::MAX;
    for (size, pagelen) in [
        (most.to_string(), "2".to_owned()),
        ("-1".to_owned(), "2".to_owned()),
        ("\"many\"".to_owned(), "2".to_owned()),
        ("1e300".to_owned(), "1e300".to_owned()),
        ("5.5".to_owned(), "null".to_owned()),
        ("0".to_owned(), "2".to_owned()),
        ("5".to_owned(), most.to_string()),
        ("5".to_owned(), "0".to_owned()),
        ("[]".to_owned(), "{}".to_owned()),
    ] {
        let server = serve(move |_, request| {
            let values = match request.get("page") {
                Some("1") => "1,2",
                Some("2") => "3,4",
                Some("3") => "5",
                _ => "",
            };
            json(
                200,
                format!(r#"{{"values":[{values}],"size":{size},"pagelen":{pagelen}}}"#),
            )
        })
        .await;
        let client = server.client();
        let mut pages = client.list(&endpoints::PIPELINES, web()).with_page(2, 1);
        let found = all(&mut pages).await.unwrap().unwrap();
        assert_eq!(found, ["1", "2", "3", "4", "5"]);
        let _ = pages.remaining_pages();
    }
}

#[tokio::test]
async fn a_cursor_with_a_page_number_out_of_range_is_the_end() {
    let server = serve(|_, _| json(200, r#"{"values":[],"pagelen":100,"size":3}"#)).await;
    for page in ["0", "18446744073709551615", "99999999999999999999999"] {
        let cursor = server.url(&format!("2.0/x?page={page}&pagelen=18446744073709551615"));
        let pages = server.client().list(&endpoints::PIPELINES, web());
        let mut pages = pages.resume(&cursor).unwrap();
        assert_eq!(
            all(&mut pages).await.unwrap().unwrap(),
            Vec::<String>::new()
        );
        let _ = pages.remaining_pages();
    }
}

#[tokio::test]
async fn a_smaller_page_with_a_number_out_of_range_does_not_overflow() {
    let server = serve(|n, _| match n {
        0..4 => json(500, "oops"),
        _ => json(200, r#"{"values":[]}"#),
    })
    .await;
    let cursor = server.url("2.0/x?page=18446744073709551615&pagelen=18446744073709551615");
    let pages = server.client().list(&endpoints::PULL_REQUESTS, web());
    let mut pages = pages.resume(&cursor).unwrap();
    assert_eq!(
        all(&mut pages).await.unwrap().unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_next_that_repeats_the_credentials_is_an_error() {
    let server = serve(|_, request| {
        let host = request.header("host");
        let next = format!("http://{host}/2.0/x?page=2&u=%73%33cr3t-t0ken");
        json(200, format!(r#"{{"values":[1],"next":"{next}"}}"#))
    })
    .await;
    let client = Client::new(ClientOptions {
        credentials: Credentials::AccessToken {
            tokens: vec![token("s3cr3t-t0ken")],
        },
        ..server.options()
    });
    let error = failure(&client.unwrap(), &endpoints::BRANCHES).await;
    assert!(
        error.message().contains("repeats the credentials"),
        "{error}"
    );
    assert!(!error.to_string().contains("cr3t"), "{error}");
}
