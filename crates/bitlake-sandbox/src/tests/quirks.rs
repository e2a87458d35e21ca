//! Every folder of `fixtures/quirks` is a workspace that can be served.

use std::path::Path;

use super::*;

#[tokio::test]
async fn every_quirk_folder_loads_and_says_what_it_is() {
    let quirks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/quirks");
    let mut count = 0;
    for entry in std::fs::read_dir(quirks).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let about = std::fs::read_to_string(path.join("README")).unwrap();
        assert!(about.trim().lines().count() == 1, "{}", path.display());
        let sandbox = Sandbox::builder()
            .workspace_dir(&path)
            .start(0)
            .await
            .unwrap();
        sandbox.clear_faults();
        assert_eq!(web(&sandbox, "").await.status, 200, "{}", path.display());
        for list in [
            "/refs/branches",
            "/refs/tags",
            "/commits",
            "/pullrequests?state=all",
            "/pullrequests/activity",
            "/issues",
            "/pipelines/",
            "/deployments/",
            "/environments/",
        ] {
            let status = web(&sandbox, list).await.status;
            assert!(
                [200, 403, 404, 410].contains(&status),
                "{} {list}: {status}",
                path.display()
            );
        }
        count += 1;
    }
    assert!(count > 60, "{count}");
}

/// Serve one quirk's workspace with its faults.
async fn quirk(name: &str) -> Sandbox {
    let quirks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/quirks");
    Sandbox::builder()
        .workspace_dir(quirks.join(name))
        .start(0)
        .await
        .unwrap()
}

#[tokio::test]
async fn faults_of_the_quirks_strike() {
    let pulls = "/pullrequests?state=OPEN";
    let limited = quirk("rate_limited_text_429").await;
    assert_eq!(
        web(&limited, pulls).await.text,
        "Rate limit for this resource has been exceeded"
    );
    assert_eq!(web(&limited, pulls).await.ids(), [31]);
    let failing = quirk("server_error_500_once").await;
    assert_eq!(web(&failing, pulls).await.status, 500);
    assert_eq!(web(&failing, pulls).await.status, 200);
    let sorted = quirk("sort_with_states_500").await;
    assert_eq!(
        web(&sorted, "/pullrequests?state=OPEN&state=MERGED&sort=id")
            .await
            .status,
        500
    );
    assert_eq!(
        web(&sorted, "/pullrequests?state=OPEN&state=MERGED")
            .await
            .status,
        200
    );
    let page = web(&quirk("html_instead_of_json").await, pulls).await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(
        web(&quirk("truncated_json").await, pulls).await.text.len(),
        60
    );
    let blind = quirk("empty_list_for_invisible_credentials").await;
    assert_eq!(
        get(&blind, "repositories/acme?pagelen=100").await.json()["size"],
        0
    );
    assert_eq!(web(&blind, "").await.status, 404);
    let bare = web(
        &quirk("pull_request_commits_bare_not_found").await,
        "/pullrequests/31/commits",
    )
    .await;
    assert_eq!((bare.status, bare.text.as_str()), (404, "Not Found"));
    let foreign = web(
        &quirk("foreign_next_link").await,
        "/refs/branches?pagelen=100",
    )
    .await;
    assert!(
        foreign
            .next()
            .unwrap()
            .starts_with("http://foreign.invalid/")
    );
    let repeated = quirk("repeated_next_link").await;
    let next = web(&repeated, "/refs/branches?pagelen=100")
        .await
        .next()
        .unwrap();
    assert_eq!(get(&repeated, &next).await.next().unwrap(), next);
    let sliding = quirk("duplicate_row_between_pages").await;
    let (pages, _) = follow(&sliding, "/pullrequests?pagelen=50&sort=created_on").await;
    assert_eq!(pages[1].ids(), [1, 51]);
}

#[tokio::test]
async fn the_embedded_demo_is_served_without_a_budget_worth_mentioning() {
    let sandbox = Sandbox::builder().demo().start(0).await.unwrap();
    let repositories = get(&sandbox, "repositories/acme?pagelen=100").await;
    assert!(repositories.each("slug").len() >= 3);
    assert_eq!(repositories.header("x-ratelimit-limit"), Some("1000000"));
    for repository in repositories.each("full_name") {
        let path = format!("repositories/{}/commits", repository.as_str().unwrap());
        assert!(
            !get(&sandbox, &path).await.each("hash").is_empty(),
            "{path}"
        );
    }
}
