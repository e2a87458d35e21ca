//! Faults: replaced, altered, delayed and broken answers.

use std::time::{Duration, Instant};

use super::*;
use crate::sandbox::{Cut, Fault};

#[tokio::test]
async fn rate_limit_answer_is_text_and_strikes_as_often_as_told() {
    let fixture = Fixture::new();
    let fault = Fault::on("/refs/branches")
        .status(429)
        .header("retry-after", "1")
        .skip(1)
        .times(2);
    let sandbox = fixture.builder().faults([fault]).start(0).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = web(&sandbox, "/refs/branches").await;
        if answer.status == 429 {
            assert_eq!(
                answer.text,
                "Rate limit for this resource has been exceeded"
            );
            assert_eq!(answer.header("content-type"), Some("text/plain"));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 429, 429, 200, 200]);
    assert_eq!(web(&sandbox, "/refs/tags").await.status, 200);
}

#[tokio::test]
async fn injected_faults_need_all_their_texts_and_can_be_cleared() {
    let sandbox = Fixture::new().start_owned().await;
    sandbox.inject(Fault::on("/pullrequests?").and("sort=").status(500));
    assert_eq!(web(&sandbox, "/pullrequests?state=OPEN").await.status, 200);
    let failed = web(&sandbox, "/pullrequests?state=OPEN&sort=id").await;
    assert_eq!(failed.json()["error"]["message"], "Something went wrong");
    sandbox.clear_faults();
    assert_eq!(web(&sandbox, "/pullrequests?sort=id").await.status, 200);
}

#[tokio::test]
async fn faults_file_is_read_and_knows_the_endpoint() {
    let faults = r#"[
        {"match": "/refs/tags", "times": "always", "set": {"next": "{endpoint}repositories/acme/web/refs/tags?page=2", "size": null}},
        {"match": ["/refs/branches"], "status": 404, "body": "Not Found"},
        {"match": "/commits", "cut": {"text": 5}}
    ]"#;
    let sandbox = Fixture::new()
        .file("faults.json", faults)
        .start_owned()
        .await;
    let tags = web(&sandbox, "/refs/tags").await;
    assert!(tags.next().unwrap().starts_with(&sandbox.endpoint()));
    assert_eq!(tags.json().get("size"), None);
    assert_eq!(web(&sandbox, "/refs/branches").await.text, "Not Found");
    assert_eq!(web(&sandbox, "/commits").await.text.len(), 5);
}

#[tokio::test]
async fn unknown_keys_in_a_faults_file_are_refused() {
    let fixture = Fixture::new().file("faults.json", r#"[{"match": "/", "statsu": 500}]"#);
    assert!(fixture.builder().start(0).await.is_err());
}

#[tokio::test]
async fn answers_can_be_late() {
    let sandbox = Fixture::new().start_owned().await;
    sandbox.inject(Fault::on("/refs/tags").delay(Duration::from_millis(120)));
    let start = Instant::now();
    assert_eq!(web(&sandbox, "/refs/tags").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn connections_and_bodies_can_break_off() {
    let sandbox = Fixture::new().start_owned().await;
    sandbox.inject(Fault::on("/refs/tags").times(1).cut(Cut::Connection));
    sandbox.inject(Fault::on("/refs/branches").times(1).cut(Cut::Body(4)));
    let url = |path: &str| format!("{}repositories/acme/web{path}", sandbox.endpoint());
    assert!(
        reqwest::get(url("/refs/tags")).await.is_err(),
        "no answer at all"
    );
    let response = reqwest::get(url("/refs/branches")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        response.text().await.is_err(),
        "the body is shorter than promised"
    );
    assert_eq!(web(&sandbox, "/refs/tags").await.status, 200);
    assert_eq!(web(&sandbox, "/refs/branches").await.status, 200);
}
