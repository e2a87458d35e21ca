//! Lists that are unavailable, forbidden or failing.

use super::*;

/// Check that the list is unavailable for this reason, costs no further request, and that all other lists are complete.
async fn absent(name: &str, table: &str, reason: &str) -> Exported {
    let lake = quirk(name).await;
    assert_eq!(lake.status(table), ListStatus::Unavailable);
    assert!(
        lake.reason(table).contains(reason),
        "{}",
        lake.reason(table)
    );
    lake.gives(
        &format!(
            "SELECT status, reason IS NOT NULL FROM config.completeness WHERE entity = '{table}'"
        ),
        &["absent | true"],
    )
    .await;
    lake.gives(&format!("SELECT * FROM bitbucket.{table}"), &[""; 0])
        .await;
    lake.gives("SELECT count(*) FROM domain.pull_requests", &["1"])
        .await;
    lake
}

#[tokio::test]
async fn issues_gone_410() {
    let lake = absent("issues_gone_410", "issues", "issue tracker removed").await;
    assert_eq!(lake.status("issue_comments"), ListStatus::Unavailable);
    assert_eq!(lake.asked(&["/issues"]), 1);
}

#[tokio::test]
async fn issues_disabled_404() {
    let lake = absent("issues_disabled_404", "issues", "issue tracker disabled").await;
    assert_eq!(lake.asked(&["/issues"]), 0);
}

#[tokio::test]
async fn pipelines_disabled_404() {
    let lake = absent(
        "pipelines_disabled_404",
        "pipelines",
        "pipelines not enabled",
    )
    .await;
    assert_eq!(lake.status("deployments"), ListStatus::Unavailable);
    assert_eq!(lake.asked(&["/steps"]), 0);
}

#[tokio::test]
async fn forbidden_scope_detail_object() {
    let reason = "lacks scope read:pipeline:bitbucket";
    absent("forbidden_scope_detail_object", "pipelines", reason).await;
}

#[tokio::test]
async fn commits_forbidden_403() {
    let mut lake = quirk("commits_forbidden_403").await;
    assert_eq!(lake.status("commits"), ListStatus::Unavailable);
    assert_eq!(lake.status("pull_request_commits"), ListStatus::Complete);
    lake.gives(
        "SELECT right(pull_request_id, 2), commit_sha FROM domain.pull_request_commits",
        &[format!("31 | {}", sha(2))],
    )
    .await;
    assert_eq!(lake.asked(&["/pullrequests/32/commits"]), 0);
    // The next run sends no request for it.
    lake.bench.now += chrono::TimeDelta::days(1);
    lake.bench.complete().await;
    assert_eq!(lake.asked(&["/pullrequests/31/commits"]), 1);
}

#[tokio::test]
async fn empty_list_for_invisible_credentials() {
    let mut bench = Bench::quirk("empty_list_for_invisible_credentials").await;
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 3, "{error}");
    assert!(error.to_string().contains("bitlake.toml"), "{error}");
}

async fn one_pull_request_at_the_second_try(name: &str) {
    let lake = quirk(name).await;
    lake.gives("SELECT title FROM domain.pull_requests", &["Change 31"])
        .await;
    assert_eq!(lake.asked(&["/pullrequests?"]), 2);
}

#[tokio::test]
async fn rate_limited_text_429() {
    one_pull_request_at_the_second_try("rate_limited_text_429").await;
}

#[tokio::test]
async fn server_error_500_once() {
    one_pull_request_at_the_second_try("server_error_500_once").await;
}

#[tokio::test]
async fn sort_with_states_500() {
    let lake = quirk("sort_with_states_500").await;
    lake.gives(
        "SELECT pull_request_key, status FROM domain.pull_requests ORDER BY 1",
        &["31 | OPEN", "32 | MERGED"],
    )
    .await;
}

async fn no_pull_requests_but_commits(name: &str, reason: &str) {
    let lake = failing(name, "pull_requests").await;
    let printed = lake.reason("pull_requests");
    assert!(
        printed.contains(reason) && !printed.contains('\n'),
        "{printed}"
    );
    lake.gives("SELECT * FROM domain.pull_requests", &[""; 0])
        .await;
    lake.gives("SELECT count(*) FROM domain.commits", &["3"])
        .await;
}

#[tokio::test]
async fn html_instead_of_json() {
    no_pull_requests_but_commits("html_instead_of_json", "web page").await;
}

#[tokio::test]
async fn truncated_json() {
    no_pull_requests_but_commits("truncated_json", "not the JSON expected").await;
}
