//! Caps, sizes, and the four styles of paging.

use super::*;

fn branches(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| reference("branch", &format!("b{n:03}"), "a"))
        .collect()
}

fn pipelines(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"uuid": format!("{{p{n}}}"), "build_number": n, "created_on": format!("2026-01-01T00:{n:02}:00Z")}))
        .collect()
}

/// Create `count` commits in one line; `a` is the newest.
fn line_of_commits(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let parent = format!("c{:03}e", n + 1);
            let parents: &[&str] = if n + 1 < count { &[&parent] } else { &[] };
            commit(&format!("c{n:03}e"), parents)
        })
        .collect()
}

#[tokio::test]
async fn default_page_has_ten_rows_and_numbered_next_keeps_every_parameter() {
    let sandbox = Fixture::new()
        .records("branches", branches(25))
        .start_owned()
        .await;
    let first = web(
        &sandbox,
        "/refs/branches?fields=%2Bvalues.x,-values.y&q=name%20~%20%22b%22",
    )
    .await;
    let body = first.json();
    assert_eq!(body["pagelen"], 10);
    assert_eq!((&body["size"], &body["page"]), (&json!(25), &json!(1)));
    let next = first.next().unwrap();
    assert!(next.starts_with(&sandbox.endpoint()), "{next}");
    assert!(
        next.contains("%2Bvalues.x") && next.contains("q=name") && next.contains("page=2"),
        "{next}"
    );
    let (pages, _) = follow(&sandbox, "/refs/branches?pagelen=10").await;
    assert_eq!(
        pages
            .iter()
            .map(|page| page.each("name").len())
            .collect::<Vec<_>>(),
        [10, 10, 5]
    );
    assert!(pages[1].json()["previous"].is_string());
    assert!(
        web(&sandbox, "/refs/branches?page=9")
            .await
            .each("name")
            .is_empty()
    );
    assert_eq!(web(&sandbox, "/refs/branches?page=0").await.status, 400);
}

#[tokio::test]
async fn pagelen_over_the_cap_is_refused_not_clamped() {
    let pull = json!({"id": 1, "state": "OPEN", "updated_on": "2026-01-01T00:00:00+00:00"});
    let sandbox = Fixture::new()
        .records("pull_requests", [pull])
        .records("issues", [json!({"id": 1})])
        .records("pipelines", pipelines(1))
        .start_owned()
        .await;
    for (path, cap) in [
        ("pullrequests", 50),
        ("pullrequests/activity", 50),
        ("pullrequests/1/activity", 50),
        ("pullrequests/1/comments", 100),
        ("pullrequests/1/commits", 100),
        ("commits", 100),
        ("refs/branches", 100),
        ("refs/tags", 100),
        ("issues", 100),
        ("issues/1/comments", 100),
        ("issues/1/changes", 100),
        ("pipelines/", 100),
        ("pipelines/%7Bp0%7D/steps/", 100),
        ("deployments/", 100),
        ("environments/", 100),
    ] {
        let over = web(&sandbox, &format!("/{path}?pagelen={}", cap + 1)).await;
        assert_eq!(over.status, 400, "{path}");
        assert_eq!(over.json()["error"]["message"], "Invalid pagelen", "{path}");
        assert_eq!(
            web(&sandbox, &format!("/{path}?pagelen={cap}"))
                .await
                .status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        get(&sandbox, "repositories/acme?pagelen=101").await.status,
        400
    );
    assert_eq!(
        get(&sandbox, "workspaces/acme/members?pagelen=101")
            .await
            .status,
        400
    );
    assert_eq!(web(&sandbox, "/pullrequests?pagelen=0").await.status, 400);
    assert_eq!(
        web(&sandbox, "/pullrequests?paglen=500").await.status,
        200,
        "unknown parameters pass"
    );
}

#[tokio::test]
async fn next_of_pipelines_loses_every_parameter_but_page_and_pagelen() {
    let sandbox = Fixture::new()
        .records("pipelines", pipelines(30))
        .start_owned()
        .await;
    let first = web(
        &sandbox,
        "/pipelines/?sort=-created_on&pagelen=12&fields=%2Bvalues.x",
    )
    .await;
    assert_eq!(first.each("build_number")[0], 29);
    assert_eq!(first.json()["size"], 30);
    let next = first.next().unwrap();
    assert!(next.ends_with("/pipelines/?page=2&pagelen=12"), "{next}");
    // Following it silently continues in the other direction.
    assert_eq!(get(&sandbox, &next).await.each("build_number")[0], 12);
    let beyond = web(&sandbox, "/pipelines/?pagelen=12&page=4").await;
    assert_eq!((beyond.status, beyond.each("uuid").len()), (200, 0));
    assert_eq!(beyond.next(), None);
}

#[tokio::test]
async fn commit_pages_are_opaque_and_without_size() {
    let sandbox = Fixture::new()
        .records("commits", line_of_commits(25))
        .records("branches", [reference("branch", "main", "c000e")])
        .start_owned()
        .await;
    let (pages, links) = follow(&sandbox, "/commits?include=main&pagelen=10").await;
    assert_eq!(pages.iter().flat_map(|page| page.each("hash")).count(), 25);
    assert_eq!(pages[0].json().get("size"), None);
    assert_eq!(pages[0].json().get("page"), None);
    assert!(
        links[0].contains("include=main") && !links[0].contains("page=2"),
        "{}",
        links[0]
    );
    assert_eq!(web(&sandbox, "/commits?page=2").await.status, 400);
}

#[tokio::test]
async fn posted_commit_ranges_page_by_link() {
    let sandbox = Fixture::new()
        .records("commits", line_of_commits(25))
        .records("branches", [reference("branch", "main", "c000e")])
        .start_owned()
        .await;
    let url = format!(
        "{}repositories/acme/web/commits?pagelen=10",
        sandbox.endpoint()
    );
    let form = format!("include=main&exclude={}", hash("c012e"));
    let first = receive(
        reqwest::Client::new()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form),
    )
    .await;
    assert_eq!(first.each("hash").len(), 10);
    let second = get(&sandbox, &first.next().unwrap()).await;
    assert_eq!(second.each("message"), ["c010e", "c011e"]);
    assert_eq!(second.next(), None);
}

#[tokio::test]
async fn pull_request_commits_refuse_page_one() {
    let commits = line_of_commits(15);
    let hashes: Vec<Value> = commits
        .iter()
        .map(|commit| commit["hash"].clone())
        .collect();
    let sandbox = Fixture::new()
        .records("pull_requests", [json!({"id": 31, "state": "MERGED"})])
        .records("unlisted_commits", commits)
        .records(
            "pull_request_commits",
            [json!({"pull_request": 31, "hashes": hashes})],
        )
        .start_owned()
        .await;
    let refused = web(&sandbox, "/pullrequests/31/commits?page=1").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["message"], "Invalid page");
    let (pages, _) = follow(&sandbox, "/pullrequests/31/commits").await;
    let all: Vec<Value> = pages.iter().flat_map(|page| page.each("hash")).collect();
    assert_eq!(all, hashes);
    assert_eq!(pages[0].json().get("size"), None);
    // A token of one list is not valid for another.
    let token = pages[0]
        .next()
        .unwrap()
        .split("page=")
        .nth(1)
        .unwrap()
        .to_owned();
    assert_eq!(
        web(&sandbox, &format!("/commits?page={token}"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn activity_pages_by_context_token_newest_first() {
    let entries = (0..12).map(|n| {
        json!({"pull_request": {"id": n % 2}, "approval": {"date": format!("2026-01-01T00:{n:02}:00+00:00")}})
    });
    let pulls = [
        json!({"id": 0, "state": "OPEN"}),
        json!({"id": 1, "state": "OPEN"}),
    ];
    let sandbox = Fixture::new()
        .records("pull_requests", pulls)
        .records("pull_request_activity", entries)
        .start_owned()
        .await;
    let (pages, links) = follow(
        &sandbox,
        "/pullrequests/activity?pagelen=5&page=7&q=nonsense&sort=id",
    )
    .await;
    assert_eq!(pages.len(), 3);
    assert!(links[0].contains("ctx="));
    assert_eq!(pages[0].json().get("size"), None);
    assert_eq!(
        pages[0].each("approval")[0]["date"],
        "2026-01-01T00:11:00+00:00"
    );
    assert_eq!(
        web(&sandbox, "/pullrequests/1/activity")
            .await
            .each("approval")
            .len(),
        6
    );
}

#[tokio::test]
async fn plain_fields_drop_next() {
    let sandbox = Fixture::new()
        .records("branches", branches(25))
        .start_owned()
        .await;
    let bare = web(&sandbox, "/refs/branches?fields=values.name")
        .await
        .json();
    assert_eq!(bare.as_object().unwrap().len(), 1);
    assert_eq!(bare["values"][0], json!({"name": "b000"}));
    assert!(
        web(&sandbox, "/refs/branches?fields=values.name,next")
            .await
            .next()
            .is_some()
    );
    let raw_plus = web(&sandbox, "/refs/branches?fields=+values.nonsense").await;
    assert!(
        raw_plus.next().is_some(),
        "a raw plus is a blank and ignored"
    );
}

#[tokio::test]
async fn more_than_hundred_repositories_need_a_second_page() {
    let mut fixture = Fixture::new();
    for n in 1..=100 {
        fixture = fixture.repository(&format!("r{n:03}"), json!({}));
    }
    let sandbox = fixture.start().await;
    let first = get(&sandbox, "repositories/acme?pagelen=100").await;
    assert_eq!(
        (first.each("slug").len(), &first.json()["size"]),
        (100, &json!(101))
    );
    let second = get(&sandbox, &first.next().unwrap()).await;
    assert_eq!(second.each("slug"), ["web"]);
}
