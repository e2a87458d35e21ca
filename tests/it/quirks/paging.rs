//! Lists of several pages with unreliable links, caps and parameters.

use super::*;

#[tokio::test]
async fn pagelen_over_cap_400() {
    let lake = quirk("pagelen_over_cap_400").await;
    lake.gives("SELECT count(*) FROM domain.pull_requests", &["51"])
        .await;
    assert_eq!(lake.asked(&["/pullrequests?"]), 2);
}

#[tokio::test]
async fn fields_without_next() {
    let lake = quirk("fields_without_next").await;
    lake.gives("SELECT count(*) FROM domain.refs", &["102"])
        .await;
}

async fn no_branches(name: &str, reason: &str) {
    let lake = failing(name, "branches").await;
    assert!(
        lake.reason("branches").contains(reason),
        "{}",
        lake.reason("branches")
    );
    // The first page must not be taken for the whole list.
    lake.gives("SELECT * FROM domain.refs", &[""; 0]).await;
    lake.gives("SELECT count(*) FROM domain.commits", &["3"])
        .await;
}

#[tokio::test]
async fn foreign_next_link() {
    no_branches("foreign_next_link", "another host").await;
}

#[tokio::test]
async fn repeated_next_link() {
    no_branches("repeated_next_link", "repeats").await;
}

#[tokio::test]
async fn duplicate_row_between_pages() {
    let lake = quirk("duplicate_row_between_pages").await;
    lake.gives(
        "SELECT pull_request_key, updated_date FROM domain.pull_requests \
         WHERE title = 'touched during the walk' ORDER BY 1",
        &[
            "1 | 2026-09-27T09:00:00.123456Z",
            "51 | 2026-09-27T09:00:00.123456Z",
        ],
    )
    .await;
    lake.gives("SELECT count(*) FROM domain.pull_requests", &["51"])
        .await;
}

#[tokio::test]
async fn pipelines_next_drops_parameters() {
    let lake = quirk("pipelines_next_drops_parameters").await;
    lake.gives(
        "SELECT count(*), min(build_number), max(build_number) FROM domain.cicd_pipelines",
        &["101 | 1 | 101"],
    )
    .await;
    assert_eq!(lake.asked(&["/pipelines/?", "sort=-created_on"]), 2);
}

#[tokio::test]
async fn pipelines_ignore_q() {
    let lake = quirk("pipelines_ignore_q").await;
    lake.gives("SELECT build_number FROM domain.cicd_pipelines", &["2"])
        .await;
    lake.gives("SELECT count(*) FROM domain.cicd_deployments", &["1"])
        .await;
    assert_eq!(lake.of("pipelines").older, 1);
    assert_eq!(lake.of("deployments").older, 1);
    assert_eq!(lake.asked(&["/steps/"]), 1);
}

#[tokio::test]
async fn pull_request_commits_refuse_page_one() {
    let lake = quirk("pull_request_commits_refuse_page_one").await;
    lake.gives(
        "SELECT right(pull_request_id, 2), commit_sha FROM domain.pull_request_commits",
        &[format!("31 | {}", sha(2))],
    )
    .await;
}

#[tokio::test]
async fn pull_request_commits_beyond_first_page() {
    let lake = quirk("pull_request_commits_beyond_first_page").await;
    lake.gives(
        "SELECT count(DISTINCT commit_sha) FROM domain.pull_request_commits",
        &["101"],
    )
    .await;
    // Unreachable from any branch; only the pull request lists them.
    lake.gives(
        "SELECT head_commit_sha, head_commit_sha_match FROM domain.pull_requests",
        &[format!("{} | prefix", sha(110))],
    )
    .await;
    assert_eq!(lake.asked(&["/pullrequests/31/commits"]), 2);
}

#[tokio::test]
async fn pull_request_commits_bare_not_found() {
    let mut bench = Bench::quirk("pull_request_commits_bare_not_found").await;
    // With the repository's commits, the graph would contain both.
    bench.more =
        "[rules.default]\nentities = [\"review\"]\n[sync]\nsince = \"2026-01-01\"".to_owned();
    let lake = export(bench).await;
    lake.gives(
        "SELECT right(pull_request_id, 2), commit_sha FROM domain.pull_request_commits",
        &[format!("32 | {}", sha(2))],
    )
    .await;
    assert_eq!(lake.of("pull_request_commits").missing_parents, 1);
}
