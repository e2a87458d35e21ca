//! Credentials, budgets and proxies.

use super::*;
use crate::bitbucket::HeadRoom;

fn room(left: u32, limit: u32) -> HeadRoom {
    HeadRoom { left, limit }
}

#[tokio::test]
async fn a_401_is_a_credentials_error_that_names_the_origin_and_hides_the_secret() {
    let server =
        serve(|_, _| json(401, r#"{"type":"error","error":{"message":"bad s3cr3t"}}"#)).await;
    let error = failure(&server.client(), &endpoints::PIPELINES).await;
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let text = error.to_string();
    assert!(text.contains("environment variable "), "{text}");
    assert!(!text.contains("s3cr3t"), "{text}");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(
        server.seen()[0].header("authorization"),
        "Basic Y2lAYWNtZS5leGFtcGxlOnMzY3IzdA=="
    );
}

#[tokio::test]
async fn the_servers_rate_limit_header_sets_the_budget() {
    let server = serve(|_, _| ([("x-ratelimit-limit", "4000")], r#"{"values":[1]}"#)).await;
    let client = server.client();
    assert_eq!(client.head_room(), room(1000, 1000));
    records(&client, &endpoints::BRANCHES).await;
    assert_eq!(client.head_room(), room(3999, 4000));
}

#[tokio::test]
async fn several_tokens_are_used_in_rotation() {
    let server = serve(|_, _| json(200, r#"{"values":[]}"#)).await;
    let mut options = server.options();
    options.credentials = Credentials::AccessToken {
        tokens: vec![token("one"), token("two")],
    };
    let client = Client::new(options).unwrap();
    for _ in 0..4 {
        records(&client, &endpoints::BRANCHES).await;
    }
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|r| r.header("authorization").to_owned())
        .collect();
    assert_eq!(
        sent,
        ["Bearer one", "Bearer two", "Bearer one", "Bearer two"]
    );
}

#[tokio::test]
async fn api_tokens_of_one_user_share_a_budget_across_connections() {
    let server = serve(|_, _| json(200, r#"{"values":[]}"#)).await;
    let budgets = Budgets::default();
    let options = |email: &str, id| ClientOptions {
        credentials: Credentials::ApiToken {
            email: email.to_owned(),
            tokens: vec![token("one"), token("two")],
        },
        connection_id: id,
        budgets: budgets.clone(),
        ..server.options()
    };
    let first = Client::new(options("ci@acme.example", 1)).unwrap();
    let same = Client::new(options("CI@acme.example", 2)).unwrap();
    let other = Client::new(options("other@acme.example", 3)).unwrap();
    for _ in 0..4 {
        records(&first, &endpoints::BRANCHES).await;
    }
    assert_eq!(first.head_room(), room(996, 1000));
    assert_eq!(same.head_room(), room(996, 1000));
    assert_eq!(other.head_room(), room(1000, 1000));
    // Both tokens are used in rotation.
    let seen = server.seen();
    assert_ne!(
        seen[0].header("authorization"),
        seen[1].header("authorization")
    );
}

#[tokio::test]
async fn a_429_of_one_token_does_not_block_another() {
    let server = serve(|_, request| match request.header("authorization") {
        "Bearer one" => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "600")], "").into_response()
        }
        _ => json(200, r#"{"values":[1]}"#),
    })
    .await;
    let mut options = server.options();
    options.credentials = Credentials::AccessToken {
        tokens: vec![token("one"), token("two")],
    };
    let client = Client::new(options).unwrap();
    for _ in 0..3 {
        assert_eq!(records(&client, &endpoints::BRANCHES).await, ["1"]);
    }
    assert_eq!(client.head_room(), room(997, 2000));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_an_error() {
    let server = serve(|_, _| json(200, r#"{"values":[1]}"#)).await;
    let mut options = server.options();
    options.requests_per_hour = Some(2);
    options.limits.deadline = Some(Instant::now() + Duration::from_secs(600));
    let client = Client::new(options).unwrap();
    records(&client, &endpoints::BRANCHES).await;
    records(&client, &endpoints::BRANCHES).await;
    let error = failure(&client, &endpoints::BRANCHES).await;
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert!(error.message().contains("60 minutes"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

fn oauth(server: &Server) -> Client {
    let mut options = server.options();
    let token_url = Url::parse(&server.url("token")).unwrap();
    options.credentials = Credentials::OauthClient {
        key: token("key"),
        secret: token("s3cr3t"),
        token_url,
    };
    Client::new(options).unwrap()
}

#[tokio::test]
async fn an_oauth_token_is_fetched_once_and_renewed_before_it_expires() {
    for (lifetime, grants) in [(7200, 1), (0, 3)] {
        let server = serve(move |n, request| match request.path.as_str() {
            "/token" => json(
                200,
                format!(r#"{{"access_token":"t{n}","expires_in":{lifetime}}}"#),
            ),
            _ => json(200, r#"{"values":[]}"#),
        })
        .await;
        let client = oauth(&server);
        for _ in 0..3 {
            records(&client, &endpoints::BRANCHES).await;
        }
        let posts = server.seen().iter().filter(|r| r.method == "POST").count();
        assert_eq!(posts, grants);
    }
}

#[tokio::test]
async fn an_oauth_token_refused_with_401_is_renewed_once() {
    let server =
        serve(
            |n, request| match (request.path.as_str(), request.header("authorization")) {
                ("/token", _) => json(200, format!(r#"{{"access_token":"t{n}"}}"#)),
                (_, "Bearer t0") => json(401, r#"{"error":{"message":"Access token expired."}}"#),
                _ => json(200, r#"{"values":[1]}"#),
            },
        )
        .await;
    assert_eq!(records(&oauth(&server), &endpoints::BRANCHES).await, ["1"]);

    let server = serve(|_, request| match request.path.as_str() {
        "/token" => json(200, r#"{"access_token":"t"}"#),
        _ => json(401, ""),
    })
    .await;
    assert_eq!(
        failure(&oauth(&server), &endpoints::BRANCHES).await.kind(),
        ErrorKind::Credentials
    );
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn an_http_proxy_carries_the_requests() {
    let proxy = serve(|_, _| json(200, r#"{"values":[1]}"#)).await;
    let mut options = proxy.options();
    options.endpoint = Url::parse("http://bitbucket.invalid/2.0/").unwrap();
    options.proxy = Some(proxy.url(""));
    let client = Client::new(options).unwrap();
    assert_eq!(records(&client, &endpoints::BRANCHES).await, ["1"]);
    assert_eq!(proxy.seen()[0].header("host"), "bitbucket.invalid");
}

#[test]
fn urls_are_shown_without_user_password_and_tokens() {
    let url = Url::parse("https://me:pw@api.bitbucket.org/2.0/x?access_token=abc").unwrap();
    assert_eq!(urls::safe_url(&url), "https://api.bitbucket.org/2.0/x");
}

#[test]
fn an_app_password_warns_with_its_removal_date() {
    let credentials = Credentials::AppPassword {
        username: "ci".to_owned(),
        password: token("p"),
    };
    assert!(credentials.warning().unwrap().contains("28 July 2026"));
}
