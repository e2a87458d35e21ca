//! Faults: replaced, altered, delayed and interrupted replies.

use std::time::{Duration, Instant};

use super::*;
use crate::{Fault, Interruption};

#[tokio::test]
async fn rate_limit_reply_is_text_and_a_fault_applies_as_often_as_configured() {
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
    sandbox.inject(
        Fault::on("/refs/tags")
            .times(1)
            .cut(Interruption::Connection),
    );
    sandbox.inject(
        Fault::on("/refs/branches")
            .times(1)
            .cut(Interruption::Body(4)),
    );
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

#[tokio::test]
async fn a_body_can_stop_halfway_and_stay_open() {
    let sandbox = Fixture::new().start_owned().await;
    sandbox.inject(Fault::on("/refs/tags").cut(Interruption::Stall(4)));
    let url = format!("{}repositories/acme/web/refs/tags", sandbox.endpoint());
    let mut response = reqwest::get(url).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 4);
    let more = tokio::time::timeout(Duration::from_millis(100), response.chunk()).await;
    assert!(more.is_err(), "nothing more comes");
}

#[tokio::test]
async fn a_list_can_go_on_for_ever() {
    let tags = [json!({"type": "tag", "name": "v1"})];
    let sandbox = Fixture::new().records("tags", tags).start_owned().await;
    sandbox.inject(Fault::on("/refs/tags").endless());
    let mut next = format!("{}repositories/acme/web/refs/tags", sandbox.endpoint());
    for n in 1..4 {
        let page = get(&sandbox, &next).await;
        assert_eq!(page.each("endless_page"), [n]);
        next = page.next().unwrap();
    }
}

#[tokio::test]
async fn rows_can_shift_to_later_pages() {
    let issues = (0..6)
        .map(|id| json!({"type": "issue", "id": id, "created_on": "2026-01-01T00:00:00+00:00"}));
    let sandbox = Fixture::new().records("issues", issues).start_owned().await;
    sandbox.inject(Fault::on("/issues").shift(1));
    let (mut seen, mut next) = (Vec::new(), Some("/issues?pagelen=3&sort=id".to_owned()));
    while let Some(path) = next {
        let page = match path.starts_with("http") {
            true => get(&sandbox, &path).await,
            false => web(&sandbox, &path).await,
        };
        seen.extend(page.ids());
        next = page.next();
    }
    assert_eq!(seen, [0, 1, 2, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_page_can_be_huge_and_packed() {
    let sandbox = Fixture::new().start_owned().await;
    let bytes = 3 << 20;
    sandbox.inject(Fault::on("/refs/tags").huge(bytes));
    let plain = web(&sandbox, "/refs/tags").await.json();
    let text = plain["values"][0]["uuid"].as_str().unwrap();
    assert_eq!(text.len() as u64, bytes);
    sandbox.clear_faults();
    sandbox.inject(Fault::on("/refs/tags").huge(bytes).gzip());
    let url = format!("{}repositories/acme/web/refs/tags", sandbox.endpoint());
    let mut response = reqwest::get(url).await.unwrap();
    let mut unpacked = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        assert!(unpacked < 100 || piece.iter().all(|byte| *byte == b'a'));
        unpacked += piece.len() as u64;
    }
    assert!(unpacked >= bytes, "{unpacked}");
}

#[tokio::test]
async fn headers_can_be_echoed() {
    let sandbox = Fixture::new().start_owned().await;
    sandbox.inject(Fault::on("/refs/tags").status(404).echo());
    let url = format!("{}repositories/acme/web/refs/tags", sandbox.endpoint());
    let request = reqwest::Client::new().get(url).bearer_auth("seen");
    assert!(receive(request).await.text.contains("Bearer seen"));
}

#[tokio::test]
async fn random_faults_strike_as_often_as_asked_and_alike_for_a_seed() {
    let statuses = |seed| async move {
        let sandbox = Fixture::new().start_owned().await;
        sandbox.inject(Fault::random(seed, 200));
        let mut statuses = Vec::new();
        for _ in 0..100 {
            let url = format!("{}repositories/acme/web/refs/tags", sandbox.endpoint());
            let request = reqwest::Client::new()
                .get(url)
                .timeout(Duration::from_millis(200));
            let text = match request.send().await {
                Ok(response) => format!("{} {:?}", response.status(), response.text().await.ok()),
                Err(_) => "nothing".to_owned(),
            };
            statuses.push(text);
        }
        statuses
    };
    let one = statuses(7).await;
    let well = one.first().cloned().unwrap();
    let faulty = one.iter().filter(|text| **text != well).count();
    assert!((8..40).contains(&faulty), "{faulty}: {one:?}");
    assert_eq!(one, statuses(7).await);
    assert_ne!(one, statuses(8).await);
}
