//! The client against servers of a few lines, each misbehaving in one way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Seen {
    fn get(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Serves `answer(n, request)`, n counting from 0.
async fn serve<R: IntoResponse>(
    answer: impl Fn(usize, &Seen) -> R + Clone + Send + Sync + 'static,
) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let log = seen.clone();
    let app = Router::new().fallback(move |request: Request| {
        let query = request.uri().query().unwrap_or_default();
        let uri = format!("http://{address}/?{query}");
        let request = Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: Url::parse(&uri)
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect(),
            headers: request.headers().clone(),
        };
        let n = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        std::future::ready(answer(n, &request).into_response())
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { address, seen }
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn options(&self) -> ClientOptions {
        ClientOptions {
            connection: "acme".to_owned(),
            endpoint: Url::parse(&self.url("2.0/")).unwrap(),
            credentials: Credentials::ApiToken {
                email: "ci@acme.example".to_owned(),
                tokens: vec![token("s3cr3t")],
            },
            proxy: None,
            requests_per_hour: None,
            limits: Limits {
                first_wait: Duration::from_millis(1),
                refused_first_wait: Duration::from_millis(300),
                ..Limits::default()
            },
        }
    }

    fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn token(secret: &str) -> Token {
    Token {
        secret: Secret::new(secret.to_owned()),
        origin: "environment variable BITBUCKET_TOKEN".to_owned(),
    }
}

fn json(status: u16, body: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.into()).into_response()
}

fn web() -> Target {
    Target::full_name("acme/web")
}

/// Walks to the end: the records' texts, or why there are none.
async fn all(pages: &mut Pages) -> Result<std::result::Result<Vec<String>, Absence>> {
    let mut records = Vec::new();
    loop {
        match pages.next().await? {
            Step::Page(page) => records.extend(page.values.iter().map(|v| v.get().to_owned())),
            Step::End => return Ok(Ok(records)),
            Step::Absent(absence) => return Ok(Err(absence)),
        }
    }
}

async fn records(client: &Client, endpoint: &'static Endpoint) -> Vec<String> {
    all(&mut client.walk(endpoint, web().parent("{p}")))
        .await
        .unwrap()
        .unwrap()
}

async fn failure(client: &Client, endpoint: &'static Endpoint) -> Error {
    all(&mut client.walk(endpoint, web())).await.unwrap_err()
}

#[tokio::test]
async fn next_is_followed_verbatim_and_the_first_request_sends_no_page() {
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
async fn counted_pages_repeat_every_parameter_and_ignore_a_next_that_lost_them() {
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
async fn counted_pages_without_a_size_end_at_a_short_one() {
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
async fn a_list_that_repeats_itself_fails_instead_of_running_for_ever() {
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
async fn a_next_on_another_host_fails_and_is_never_asked() {
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
async fn a_full_first_page_that_lost_its_next_fails() {
    let server = serve(|_, _| json(200, r#"{"values":[1,2],"pagelen":2,"size":9}"#)).await;
    let error = failure(&server.client(), &endpoints::TAGS).await;
    assert!(error.message().contains("ends early"), "{error}");
}

#[tokio::test]
async fn pull_requests_ask_for_all_states_embed_people_and_encode_the_filter() {
    let server = serve(|_, _| json(200, r#"{"values":[],"size":0}"#)).await;
    let since = chrono::DateTime::parse_from_rfc3339("2026-05-23T09:00:00Z")
        .unwrap()
        .to_utc();
    let mut pages = server
        .client()
        .walk(&endpoints::PULL_REQUESTS, web())
        .since(Some(since));
    assert!(all(&mut pages).await.unwrap().unwrap().is_empty());
    let seen = &server.seen()[0];
    assert_eq!(seen.get("pagelen"), Some("50"));
    assert_eq!(seen.query.iter().filter(|(k, _)| k == "state").count(), 4);
    assert_eq!(
        seen.get("q"),
        Some("updated_on>=\"2026-05-23T09:00:00.000000+00:00\"")
    );
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
    assert_eq!(sorted, 3);
}

#[tokio::test]
async fn a_400_to_sort_or_fields_drops_just_that() {
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
async fn a_refused_first_page_is_absence_and_a_later_one_an_error() {
    for (status, reason) in [
        (404, "pipelines not enabled"),
        (410, "removed"),
        (403, "may not"),
    ] {
        let server = serve(move |_, _| json(status, "")).await;
        let mut pages = server.client().walk(&endpoints::PIPELINES, web());
        let absence = all(&mut pages).await.unwrap().unwrap_err();
        assert_eq!(absence.status, status);
        assert!(absence.reason.contains(reason), "{absence:?}");
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
async fn a_missing_scope_is_named() {
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

#[tokio::test]
async fn a_401_is_a_credentials_error_that_names_their_origin_and_hides_them() {
    let server =
        serve(|_, _| json(401, r#"{"type":"error","error":{"message":"bad s3cr3t"}}"#)).await;
    let error = failure(&server.client(), &endpoints::PIPELINES).await;
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let text = error.to_string();
    assert!(
        text.contains("environment variable BITBUCKET_TOKEN"),
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(
        server.seen()[0].header("authorization"),
        "Basic Y2lAYWNtZS5leGFtcGxlOnMzY3IzdA=="
    );
}

#[tokio::test]
async fn a_web_page_instead_of_json_is_unreachable_whatever_its_status() {
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
async fn failures_that_pass_are_waited_out() {
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
async fn a_truncated_or_empty_body_is_asked_for_again_and_then_an_error() {
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
async fn an_unreachable_host_is_said_soon() {
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
async fn a_text_429_makes_all_requests_wait_together() {
    let refused_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    let gap: Arc<Mutex<Option<Duration>>> = Arc::default();
    let (at, first_gap) = (refused_at.clone(), gap.clone());
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
    // Each was refused once, and only one slept: four refusals, then four answers.
    assert_eq!(server.seen().len(), 8);
    let gap = gap.lock().unwrap().unwrap();
    assert!(
        gap >= Duration::from_millis(300) && gap < Duration::from_secs(2),
        "{gap:?}"
    );
}

#[tokio::test]
async fn a_429_waits_as_long_as_retry_after_says_and_gives_up_as_quota() {
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
    options.limits.refused_first_wait = Duration::from_millis(1);
    options.limits.refused_tries = 3;
    let error = failure(&Client::new(options).unwrap(), &endpoints::BRANCHES).await;
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn the_servers_rate_limit_header_sets_the_budget() {
    let server = serve(|_, _| ([("x-ratelimit-limit", "4000")], r#"{"values":[1]}"#)).await;
    let client = server.client();
    assert_eq!(client.head_room(), (1000, 1000));
    records(&client, &endpoints::BRANCHES).await;
    assert_eq!(client.head_room(), (3999, 4000));
}

#[tokio::test]
async fn several_tokens_share_the_load() {
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
async fn an_oauth_token_is_fetched_once_and_renewed_before_it_ends() {
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

#[tokio::test]
async fn an_empty_workspace_is_a_configuration_error_and_no_request() {
    let server = serve(|_, _| json(410, "")).await;
    let mut pages = server
        .client()
        .walk(&endpoints::REPOSITORIES, Target::workspace(""));
    assert_eq!(
        pages.next().await.unwrap_err().kind(),
        ErrorKind::Configuration
    );
    assert!(server.seen().is_empty());
}

#[test]
fn urls_are_shown_without_user_password_and_tokens() {
    let url = Url::parse("https://me:pw@api.bitbucket.org/2.0/x?access_token=abc").unwrap();
    assert_eq!(safe_url(&url), "https://api.bitbucket.org/2.0/x");
}

#[test]
fn an_app_password_warns_with_its_removal_date() {
    let credentials = Credentials::AppPassword {
        username: "ci".to_owned(),
        password: token("p"),
    };
    assert!(credentials.warning().unwrap().contains("28 July 2026"));
}
